//! Options of `config`.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print a configuration file in which every key stands with its default.
    Default,
    /// Check the configuration as it would be used, and print it.
    Check,
}

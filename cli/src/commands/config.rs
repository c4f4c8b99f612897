//! `rastro config`: print or check configuration.

use std::process::ExitCode;

use super::Context;
use crate::{
    args::{ConfigAction, Global},
    config::DEFAULT_FILE,
    output,
};

pub(super) fn config(global: &Global, action: &ConfigAction) -> anyhow::Result<ExitCode> {
    match action {
        ConfigAction::Default => output::line(DEFAULT_FILE.trim_end())?,
        ConfigAction::Check => {
            let context = Context::new(global, Vec::new(), "warn")?;
            output::line(toml::to_string(&context.config)?.trim_end())?;
            if !context.quiet {
                eprintln!("the configuration is right");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

//! Logs of Rastro itself, on standard error: standard output belongs to what a command prints.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging. An unusable filter has been refused when the configuration was checked.
pub(crate) fn init(config: &LogConfig, quiet: bool) {
    let level = if quiet { "error" } else { &config.level };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let outcome = match config.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            builder.with_ansi(colours).with_target(false).try_init()
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "logging was started before");
    }
}

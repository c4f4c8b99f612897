//! The one binary: every role as a subcommand, all of them together as `rastro run`, and the client commands.

mod args;
mod commands;
mod config;
mod data_dir;
mod observe;
mod output;
mod roles;

use std::process::ExitCode;

use clap::{CommandFactory, error::ErrorKind};

fn main() -> ExitCode {
    let cli = match args::Cli::parse_from_all(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match commands::execute(cli) {
        Ok(code) => code,
        // A reader that went away (`rastro alarms | head`) is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rastro: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// Prints a usage error; an unknown command is answered with the list of commands (`T_1_22`).
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let _ = error.print();
    if error.kind() == ErrorKind::InvalidSubcommand {
        eprintln!("\n{}", args::Cli::command().render_help());
    }
    ExitCode::from(2)
}

/// The error with its causes, as one sentence: a cause that the text before it tells already is not told again.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = anyhow!("no room").context("cannot write `x`: no room").context("export");
        assert_eq!(sentence(&cause), "export: cannot write `x`: no room");
    }
}

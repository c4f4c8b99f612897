//! `cargo xtask test`: what `.ci/run` runs.

use clap::Args;

use crate::{
    command::{cargo, step},
    lint, services,
};

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Leaves format, lints and licences out.
    #[arg(long)]
    only_tests: bool,
    /// Passed on to `cargo test`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(test: &Test) -> anyhow::Result<()> {
    if !test.only_tests {
        lint::run()?;
    }
    services::provide_redis();
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    command.args(&test.arguments);
    step("tests", &mut command)
}

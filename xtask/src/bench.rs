//! `cargo xtask bench`: the benchmarks of `bench/`, built as they are shipped.

use clap::Args;

use crate::command::{build_rastro, cargo, step};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Small volumes: a minute in all instead of many.
    #[arg(long)]
    quick: bool,
    /// Prints a list of {name, value, unit, against, ratio}.
    #[arg(long)]
    json: bool,
    /// Measures only what has this in its name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let rastro = build_rastro()?;
    let mut command = cargo(&["run", "--release", "--quiet", "--package", "rastro-bench", "--"]);
    command.arg("--rastro").arg(rastro);
    if bench.quick {
        command.arg("--quick");
    }
    if bench.json {
        command.arg("--json");
    }
    if let Some(only) = &bench.only {
        command.arg("--only").arg(only);
    }
    step("benchmarks", &mut command)
}

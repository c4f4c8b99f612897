//! Benchmarks: every figure beside a named peer or limit measured in the same run.

mod brokers;
mod chunks;
mod detectors;
mod generate;
mod idle;
mod measure;
mod naive;
mod parsing;
mod process;
mod report;
mod rotation;
mod shipping;
mod trail;
mod volume;

use std::path::PathBuf;

use clap::Parser;

use report::Report;

/// Benchmarks of Rastro. `cargo xtask bench` builds the binary that it measures.
#[derive(Debug, Parser)]
struct Arguments {
    /// The `rastro` binary, built in release form.
    #[arg(long)]
    rastro: PathBuf,
    /// Small volumes.
    #[arg(long)]
    quick: bool,
    /// Prints a list of {name, value, unit, against, ratio}.
    #[arg(long)]
    json: bool,
    /// Measures only what has this in its name.
    #[arg(long)]
    only: Option<String>,
}

/// What a benchmark needs to know.
struct Settings {
    /// The binary that is measured where a whole process is.
    rastro: PathBuf,
    /// Small volumes.
    quick: bool,
}

type Benchmark = fn(&Settings, &mut Report) -> anyhow::Result<()>;

/// Every benchmark, by group.
const BENCHMARKS: &[(&str, Benchmark)] = &[
    ("parsing", parsing::run),
    ("detectors", detectors::run),
    ("shipping", shipping::run),
    ("rotation", rotation::run),
    ("idle", idle::run),
    ("trail", trail::run),
    ("volume", volume::run),
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let settings = Settings { rastro: arguments.rastro, quick: arguments.quick };
    let mut report = Report::new(arguments.json);
    for (name, benchmark) in BENCHMARKS {
        if arguments.only.as_deref().is_none_or(|only| name.contains(only)) {
            eprintln!("==> {name}");
            benchmark(&settings, &mut report)?;
        }
    }
    report.finish()
}

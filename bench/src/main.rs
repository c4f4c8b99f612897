//! Benchmarks: every figure beside a named peer or limit measured in the same run.

mod away;
mod brokers;
mod chunks;
mod detectors;
mod generate;
mod idle;
mod measure;
mod naive;
mod parsing;
mod pipeline;
mod process;
mod report;
mod rotation;
mod shipping;
mod trail;
mod volume;

use std::path::PathBuf;

use clap::Parser;

use pipeline::Servers;
use rastro_chaos::servers::{Account, Distribution};
use report::Report;

/// Benchmarks of Rastro. `cargo xtask bench` builds the binary that it measures.
#[derive(Debug, Parser)]
struct Arguments {
    /// The `rastro` binary, built in release form.
    #[arg(long)]
    rastro: PathBuf,
    /// The program that writes the pipeline's load; with `--elasticsearch`, `--java` and `--folder`, groups that need servers are measured.
    #[arg(long, requires = "elasticsearch")]
    writer: Option<PathBuf>,
    /// An unpacked Elasticsearch.
    #[arg(long, requires = "java")]
    elasticsearch: Option<PathBuf>,
    /// The Java that it runs on.
    #[arg(long, requires = "folder")]
    java: Option<PathBuf>,
    /// Where servers and roles keep what they have; the servers' user must reach it.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Who the servers run as, UID:GID.
    #[arg(long)]
    account: Option<Account>,
    /// Small volumes.
    #[arg(long)]
    quick: bool,
    /// Prints a list of {name, value, unit, against, ratio}.
    #[arg(long)]
    json: bool,
    /// Measures only the groups that have this in their name; `pipeline/delay` only this part of one.
    #[arg(long)]
    only: Option<String>,
}

/// What a benchmark needs to know.
struct Settings {
    /// The binary that is measured where a whole process is.
    rastro: PathBuf,
    /// Small volumes.
    quick: bool,
    /// What servers are made of, where they may be started.
    servers: Option<Servers>,
    /// What the names of the parts that are measured hold, where a group has parts.
    part: String,
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
    ("pipeline", pipeline::run),
    ("away", away::run),
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let servers = match (arguments.writer, arguments.elasticsearch, arguments.java, arguments.folder) {
        (Some(writer), Some(home), Some(java), Some(folder)) => Some(Servers {
            account: arguments.account,
            elasticsearch: Distribution { home, java, heap: "1g".to_owned() },
            writer,
            folder,
        }),
        _ => None,
    };
    let only = arguments.only.unwrap_or_default();
    let (group, part) = only.split_once('/').unwrap_or((&only, ""));
    let settings =
        Settings { rastro: arguments.rastro, quick: arguments.quick, servers, part: part.to_owned() };
    if !BENCHMARKS.iter().any(|(name, _)| name.contains(group)) {
        anyhow::bail!("there is no group of benchmarks `{group}`; `cargo xtask bench --help` names them");
    }
    let mut report = Report::new(arguments.json);
    for (name, benchmark) in BENCHMARKS {
        if name.contains(group) {
            eprintln!("==> {name}");
            benchmark(&settings, &mut report)?;
        }
    }
    report.finish()
}

//! `cargo xtask chaos` builds and starts this.

use std::{
    io::IsTerminal as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use rastro_chaos::{
    chaos::{self, Outcome, Run},
    plan::{Length, NIGHTLY, SHORT},
    rig::{self, Parts},
    servers::{Account, Distribution},
    writer::{self, Load, Places},
};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the pipeline under faults and count.
    Run(RunArguments),
    /// Be the writer of a run.
    #[command(hide = true)]
    Write(WriteArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The `rastro` binary.
    #[arg(long)]
    rastro: PathBuf,
    /// Where a folder for this run is made.
    #[arg(long)]
    folder: PathBuf,
    /// Who the servers run as, UID:GID.
    #[arg(long)]
    account: Option<Account>,
    /// An unpacked Elasticsearch; without it the embedded store is used.
    #[arg(long, requires = "java")]
    elasticsearch: Option<PathBuf>,
    /// The Java that it runs on.
    #[arg(long)]
    java: Option<PathBuf>,
    /// Memory of Elasticsearch's heap.
    #[arg(long, default_value = "1g")]
    heap: String,
    /// A short run.
    #[arg(long)]
    short: bool,
    /// Decides on the faults; chosen anew for each run, if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of faults.
    #[arg(long)]
    faults: Option<usize>,
    /// Seconds over which they are spread.
    #[arg(long)]
    seconds: Option<u64>,
    /// Calls a second.
    #[arg(long)]
    rate: Option<u64>,
    /// Prints one object.
    #[arg(long)]
    json: bool,
    /// Keeps the folder; it is kept anyway if something is lost.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct WriteArguments {
    #[arg(long)]
    load: PathBuf,
    #[arg(long)]
    logs: PathBuf,
    #[arg(long)]
    shipper: PathBuf,
    #[arg(long)]
    stop: PathBuf,
    #[arg(long)]
    counts: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().action {
        Action::Run(arguments) => run(&arguments),
        Action::Write(arguments) => write(arguments).map(|()| ExitCode::SUCCESS),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("chaos: {error:#}");
        ExitCode::FAILURE
    })
}

fn write(arguments: WriteArguments) -> anyhow::Result<()> {
    let load: Load = serde_json::from_slice(&std::fs::read(&arguments.load)?)?;
    let places = Places {
        logs: arguments.logs,
        shipper: arguments.shipper,
        stop: arguments.stop,
        counts: arguments.counts,
    };
    writer::write(&load, &places)
}

fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = arguments.seed.unwrap_or(now.as_secs() % 1_000_000);
    let (form, rate) = if arguments.short { (SHORT, 2_000) } else { (NIGHTLY, 4_000) };
    let faults = arguments.faults.unwrap_or(form.faults);
    // With another number of faults they come as often as before.
    let time = form.time * faults as u32 / form.faults as u32;
    let time = arguments.seconds.map_or(time, Duration::from_secs);
    let rate = arguments.rate.unwrap_or(rate);
    let folder = std::path::absolute(&arguments.folder)?.join(format!("run-{seed}-{}", std::process::id()));
    let elasticsearch = arguments.elasticsearch.clone().zip(arguments.java.clone());
    let parts = Parts {
        rastro: arguments.rastro.clone(),
        writer: std::env::current_exe()?,
        folder: folder.clone(),
        account: arguments.account,
        elasticsearch: elasticsearch.map(|(home, java)| Distribution {
            home,
            java,
            heap: arguments.heap.clone(),
        }),
        each: 2,
        faulty: true,
        // Learned within the run, so that both what learns and what detects meets faults.
        settings: vec![
            "analyzer.learning_min_calls=20000".to_owned(),
            "analyzer.learning_min_time=\"10s\"".to_owned(),
        ],
    };
    let length = Length { faults, time };
    let is_terminal = std::io::stderr().is_terminal();
    let tell = |line: &str| {
        if is_terminal {
            eprintln!("{line}");
        }
        // What happened when, beside the roles' logs.
        let log = std::fs::File::options().create(true).append(true).open(folder.join("chaos.log"));
        let _ = log.and_then(|mut log| std::io::Write::write_all(&mut log, format!("{line}\n").as_bytes()));
    };
    let mut outcome = chaos::run(&Run { seed, length, rate, parts }, tell)
        .with_context(|| format!("seed {seed}; everything lies in `{}`", folder.display()))?;
    let is_exact = outcome.verdict.is_exact();
    if arguments.keep || !is_exact {
        outcome.folder = Some(folder);
    } else {
        rig::remove(&folder);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print(&outcome);
    }
    Ok(if is_exact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(outcome: &Outcome) {
    let verdict = &outcome.verdict;
    println!("chaos, seed {}, store {}, {:.0} s", outcome.seed, outcome.store, outcome.seconds);
    for (name, value) in [
        ("faults", outcome.faults as u64),
        ("calls written", verdict.calls_written),
        ("calls stored", verdict.calls_stored),
        ("calls lost", verdict.calls_lost),
        ("duplicates", verdict.duplicates),
        ("calls unknown", verdict.calls_unknown),
        ("scores missing", verdict.scores_missing),
        ("scores duplicate", verdict.scores_duplicate),
        ("scores unknown", verdict.scores_unknown),
    ] {
        println!("  {name:<18} {value:>12}");
    }
    println!("  drained in         {:>12.1} s", outcome.drain_seconds);
    for (kind, count) in &outcome.faults_by_kind {
        println!("  fault {kind:<12} {count:>12}");
    }
    for kind in &outcome.left_out {
        println!("  left out: {kind}");
    }
    for (who, (count, words)) in &outcome.unexpected_ends {
        println!("  {who} ended by itself {count} times: {words}");
    }
    for (who, bytes) in &outcome.peak_memory_bytes {
        println!("  {who:<18} {:>12.1} MiB at most", *bytes as f64 / f64::from(1 << 20));
    }
    if let Some(folder) = &outcome.folder {
        println!("  kept in {}", folder.display());
    }
}

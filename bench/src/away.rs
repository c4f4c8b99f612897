//! Memory of every role while a server that it needs is away for long.

mod plot;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rastro_chaos::{
    plan::Target,
    process::Process,
    writer::{Load, now_ns},
};

use crate::{Settings, pipeline::Bench, report::Report};
use plot::{Plot, Span};

/// Calls a second.
const RATE: u64 = 20_000;

/// What a role may have.
const LIMIT_MIB: f64 = 512.0;

/// Longest time until everything is stored in the end.
const CATCH_UP: Duration = Duration::from_mins(5);

/// Roles whose memory is looked at.
const ROLES: [Target; 3] = [Target::Shipper, Target::Transformer(0), Target::Analyzer(0)];

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let Some(servers) = &settings.servers else {
        eprintln!("    skipped: that needs Redis and Elasticsearch, which `cargo xtask bench` installs");
        return Ok(());
    };
    let mut bench = Bench::start(settings, servers)?;
    let outcome = measure(&mut bench, settings, report);
    bench.end(outcome)
}

fn measure(bench: &mut Bench, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let (calm, away) = if settings.quick { (10, 30) } else { (30, 180) };
    let (calm, away) = (Duration::from_secs(calm), Duration::from_secs(away));
    bench.clear()?;
    // Small enough that the queue is full while Elasticsearch is away, so that its being full is measured too.
    bench.rig.configure(vec!["broker.limit_bytes=\"16 MiB\"".to_owned()])?;
    bench.start_roles(&ROLES)?;
    bench.rig.start_agent(&Load {
        containers: 4,
        rate: RATE,
        limit: 0,
        rotate_bytes: 16 << 20,
        base_ns: now_ns(),
        datasets: vec!["away".to_owned()],
        oddity: None,
    })?;
    let begun = Instant::now();
    let mut watch = Watch { begun, samples: BTreeMap::new() };
    let mut spans = Vec::new();
    watch.look(bench, calm)?;
    for (target, name) in [(Target::Elasticsearch, "Elasticsearch away"), (Target::Redis, "Redis away")] {
        let from = begun.elapsed().as_secs_f64();
        bench.rig.process(target).context("no such server")?.kill();
        watch.look(bench, away)?;
        bench.rig.process(target).context("no such server")?.start()?;
        spans.push(Span { name, from, to: begun.elapsed().as_secs_f64() });
        watch.look(bench, calm * 2)?;
    }
    let written: u64 = bench.rig.stop_agent(Duration::from_mins(1))?.values().sum();
    let stopped = Instant::now();
    let indices = "away-*,-*-rollup,-*-anomaly,-*-events,-*-windows";
    bench.wait(written, CATCH_UP, |bench| bench.count(indices, Some("rastro.calls")))?;
    eprintln!("    {written} calls, all stored {:.1} s after the last one", stopped.elapsed().as_secs_f64());
    for (name, samples) in &watch.samples {
        let peak = samples.iter().map(|sample| sample.1).fold(0.0, f64::max);
        report.add(
            &format!(
                "away: peak memory of the {name}, Elasticsearch and then Redis away {} s each",
                away.as_secs()
            ),
            peak,
            "MiB",
            "limit",
            LIMIT_MIB,
        );
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("plots");
    fs::create_dir_all(&folder)?;
    let path = folder.join(if settings.quick { "away-quick.svg" } else { "away.svg" });
    let title = format!("Memory at {RATE} calls/s while a server is away");
    fs::write(&path, Plot { title, unit: "MiB", lines: &watch.samples, spans: &spans }.to_svg())?;
    eprintln!("    plot: {}", path.display());
    Ok(())
}

/// Samples of memory, MiB by seconds.
struct Watch {
    begun: Instant,
    samples: BTreeMap<String, Vec<(f64, f64)>>,
}

impl Watch {
    /// Looks once a second for so long; who has ended is started again, as a service manager would.
    fn look(&mut self, bench: &mut Bench, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            for target in ROLES {
                let Some(process) = bench.rig.process(target) else { continue };
                if !process.is_running() {
                    eprintln!("    {target} has ended by itself: {}", Process::last_words(process));
                    process.start()?;
                }
                let mebibytes = process.memory_bytes() as f64 / f64::from(1 << 20);
                let name = target.to_string().trim_end_matches("-0").to_owned();
                self.samples.entry(name).or_default().push((self.begun.elapsed().as_secs_f64(), mebibytes));
            }
            thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }
}

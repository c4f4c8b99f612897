//! A run: load, faults, draining, counting.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    check::{Facts, Verdict, check},
    clock, facts, faults,
    plan::{Abilities, Fault, Length, Target, plan},
    rig::{Parts, Rig},
    writer::{Load, now_ns},
};

/// Load before the first fault, so that everybody has begun.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long everything may take to be stored and scored once nothing is written any more.
const DRAIN: Duration = Duration::from_mins(4);

/// Pause between two counts.
const COUNT: Duration = Duration::from_secs(2);

/// What is run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Decides on everything.
    pub seed: u64,
    /// How many faults over how long a time.
    pub length: Length,
    /// Calls a second.
    pub rate: u64,
    /// The pipeline.
    pub parts: Parts,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Number of faults done.
    pub faults: usize,
    /// The counts.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What decided on everything.
    pub seed: u64,
    /// Faults by kind.
    pub faults_by_kind: BTreeMap<&'static str, usize>,
    /// Faults by who met them.
    pub faults_by_target: BTreeMap<String, usize>,
    /// Kinds of faults that this machine did not allow.
    pub left_out: Vec<&'static str>,
    /// From the start of the servers to the last count.
    pub seconds: f64,
    /// From the last line written until everything was stored and scored.
    pub drain_seconds: f64,
    /// How often somebody ended without being told to, and their last words.
    pub unexpected_ends: BTreeMap<String, (u32, String)>,
    /// Highest resident memory, bytes.
    pub peak_memory_bytes: BTreeMap<String, u64>,
    /// Where the store was.
    pub store: &'static str,
    /// Where everything lies, if it was kept.
    pub folder: Option<PathBuf>,
}

/// Runs, and tells of its progress.
pub fn run(run: &Run, mut tell: impl FnMut(&str)) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let mut rig = Rig::new(run.parts.clone())?;
    let disks = rig.disks.values().all(crate::disk::Disk::is_mounted);
    let clocks = clock::library().is_some();
    let abilities = Abilities { elasticsearch: rig.elasticsearch.is_some(), disks, clocks };
    let faults = plan(run.seed, run.length, abilities);
    tell("starting the servers");
    rig.start_servers()?;
    rig.start_roles()?;
    rig.start_agent(&Load {
        containers: 5,
        rate: run.rate,
        limit: 0,
        rotate_bytes: 512 << 10,
        base_ns: now_ns(),
        datasets: vec!["chaos-a".to_owned(), "chaos-b".to_owned()],
        oddity: None,
    })?;
    tell(&format!("{:.1} s  everybody runs; seed {}", begun.elapsed().as_secs_f64(), run.seed));
    thread::sleep(WARM_UP);
    faults::run(&mut rig, &faults, &mut tell)?;

    let written = rig.stop_agent(DRAIN)?;
    let drained = Instant::now();
    tell(&format!(
        "the load has ended: {} calls; waiting until they are scored",
        written.values().sum::<u64>()
    ));
    let models = ["stide:6", "stide:10", "bosc:6", "bosc:10"].map(str::to_owned);
    loop {
        faults::look(&mut rig, &[], &mut tell)?;
        let verdict = collect(&rig).map(|facts| check(&facts, &written, &models));
        match &verdict {
            Ok(verdict) if verdict.is_exact() => break,
            _ if drained.elapsed() > DRAIN => break,
            Ok(verdict) => tell(&format!(
                "  {} of {} calls stored, {} scores missing",
                verdict.calls_stored, verdict.calls_written, verdict.scores_missing
            )),
            Err(error) => tell(&format!("  not countable yet: {error:#}")),
        }
        thread::sleep(COUNT);
    }
    let drain_seconds = drained.elapsed().as_secs_f64();
    for unwilling in rig.stop_roles() {
        tell(&format!("did not end well when asked to: {unwilling}"));
    }
    // Counted again when nobody writes any more: what came too late or too often is in it.
    let verdict = check(&collect(&rig)?, &written, &models);
    Ok(outcome(run, &mut rig, &faults, abilities, verdict, (begun, drain_seconds)))
}

fn collect(rig: &Rig) -> anyhow::Result<Facts> {
    match &rig.elasticsearch {
        Some(store) => facts::elastic::collect(&store.server.rest(), "rastro"),
        None => facts::embedded::collect(&rig.embedded_store()),
    }
}

fn outcome(
    run: &Run,
    rig: &mut Rig,
    faults: &[Fault],
    abilities: Abilities,
    verdict: Verdict,
    (begun, drain_seconds): (Instant, f64),
) -> Outcome {
    let mut faults_by_kind = BTreeMap::new();
    let mut faults_by_target = BTreeMap::new();
    for fault in faults {
        *faults_by_kind.entry(fault.kind.name()).or_default() += 1;
        *faults_by_target.entry(fault.target.to_string()).or_default() += 1;
    }
    let mut left_out = Vec::new();
    if !abilities.disks {
        left_out.push("fill-disk (this user may not mount a disk)");
    }
    if !abilities.clocks {
        left_out.push("jump-clock (libfaketime is not installed)");
    }
    let (mut unexpected_ends, mut peak_memory_bytes) = (BTreeMap::new(), BTreeMap::new());
    for target in rig.targets().into_iter().filter(|target| *target != Target::Agent) {
        let Some(process) = rig.process(target) else { continue };
        if process.unexpected_ends() > 0 {
            unexpected_ends.insert(target.to_string(), (process.unexpected_ends(), process.last_words()));
        }
        peak_memory_bytes.insert(target.to_string(), process.peak_bytes());
    }
    Outcome {
        faults: faults.len(),
        verdict,
        seed: run.seed,
        faults_by_kind,
        faults_by_target,
        left_out,
        seconds: begun.elapsed().as_secs_f64(),
        drain_seconds,
        unexpected_ends,
        peak_memory_bytes,
        store: if abilities.elasticsearch { "elasticsearch" } else { "embedded" },
        folder: None,
    }
}

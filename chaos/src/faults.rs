//! Doing faults when their time comes, and undoing them.

use std::{
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    plan::{Fault, Kind, Target},
    rest::Rest,
    rig::Rig,
};

/// How often memory is looked at, and whether everybody is still there.
const LOOK: Duration = Duration::from_secs(1);

/// How long a request about read-only indices is tried: longer than a killed Elasticsearch takes to come back on a busy machine.
const SETTINGS: Duration = Duration::from_mins(6);

/// Something that happens at a time.
#[derive(Debug, Clone, Copy)]
enum Step {
    Begin(usize),
    End(usize),
}

/// Does all faults of a plan; returns when the last one is over.
pub fn run(rig: &mut Rig, faults: &[Fault], mut tell: impl FnMut(&str)) -> anyhow::Result<()> {
    let mut steps: Vec<(Duration, Step)> = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        steps.push((fault.at, Step::Begin(number)));
        steps.push((fault.at + fault.lasts, Step::End(number)));
    }
    steps.sort_by_key(|(at, _)| *at);
    let begun = Instant::now();
    let mut background: Vec<JoinHandle<anyhow::Result<()>>> = Vec::new();
    let mut away = Vec::new();
    for (at, step) in steps {
        loop {
            let left = at.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(LOOK));
            look(rig, &away, &mut tell)?;
        }
        match step {
            Step::Begin(number) => {
                let fault = &faults[number];
                tell(&format!(
                    "{:>7.1} s  fault {:>3}/{}  {} {} for {:.1} s",
                    begun.elapsed().as_secs_f64(),
                    number + 1,
                    faults.len(),
                    fault.kind.name(),
                    fault.target,
                    fault.lasts.as_secs_f64()
                ));
                if fault.kind == Kind::Kill {
                    away.push(fault.target);
                }
                background.extend(begin(rig, fault)?);
            }
            Step::End(number) => {
                let fault = &faults[number];
                if fault.kind == Kind::Kill {
                    away.retain(|target| *target != fault.target);
                }
                end(rig, fault)?;
            }
        }
    }
    for work in background {
        work.join().map_err(|_| anyhow::anyhow!("a fault's thread has panicked"))??;
    }
    Ok(())
}

/// Starts again who has ended without being told to, as a service manager would, and looks at everybody's memory.
pub fn look(rig: &mut Rig, away: &[Target], mut tell: impl FnMut(&str)) -> anyhow::Result<()> {
    for target in rig.targets() {
        let has_written = target == Target::Agent && rig.places.counts.exists();
        let Some(process) = rig.process(target) else { continue };
        process.memory_bytes();
        if away.contains(&target) || has_written || process.is_running() {
            continue;
        }
        tell(&format!("{target} has ended by itself: {}", process.last_words()));
        process.start()?;
    }
    Ok(())
}

fn begin(rig: &mut Rig, fault: &Fault) -> anyhow::Result<Option<JoinHandle<anyhow::Result<()>>>> {
    let target = fault.target;
    match fault.kind {
        Kind::Kill => rig.process(target).context("no such process")?.kill(),
        Kind::Freeze => rig.process(target).context("no such process")?.freeze(),
        Kind::Cut => rig.proxy(target).context("no such proxy")?.cut(),
        Kind::Stall => rig.proxy(target).context("no such proxy")?.stall(fault.lasts),
        Kind::Delay => {
            let delay = Duration::from_millis(fault.by.unsigned_abs());
            rig.proxy(target).context("no such proxy")?.delay(delay);
        }
        Kind::FillDisk => rig.disks.get(&target).context("no such disk")?.fill()?,
        Kind::JumpClock => rig.clocks.get(&target).context("no such clock")?.set(fault.by)?,
        Kind::ReadOnly => {
            let rest = rig.elasticsearch.as_ref().context("no Elasticsearch")?.server.rest();
            let lasts = fault.lasts;
            return Ok(Some(thread::spawn(move || read_only(&rest, lasts))));
        }
    }
    Ok(None)
}

fn end(rig: &mut Rig, fault: &Fault) -> anyhow::Result<()> {
    let target = fault.target;
    match fault.kind {
        Kind::Kill => rig.process(target).context("no such process")?.start()?,
        Kind::Freeze => rig.process(target).context("no such process")?.thaw(),
        Kind::Cut => rig.proxy(target).context("no such proxy")?.mend(),
        Kind::Delay => rig.proxy(target).context("no such proxy")?.delay(Duration::ZERO),
        Kind::FillDisk => rig.disks.get(&target).context("no such disk")?.free(),
        Kind::JumpClock => rig.clocks.get(&target).context("no such clock")?.set(0)?,
        // These end by themselves.
        Kind::Stall | Kind::ReadOnly => {}
    }
    Ok(())
}

/// Does to all indices what Elasticsearch does to those on a disk above the flood stage, and takes it back.
fn read_only(rest: &Rest, lasts: Duration) -> anyhow::Result<()> {
    let set = |value: serde_json::Value| {
        let begun = Instant::now();
        let body = json!({"index.blocks.read_only_allow_delete": value});
        loop {
            match rest.ask("PUT", "/*/_settings", Some(&body)) {
                Ok(_) => return Ok(()),
                Err(error) if begun.elapsed() > SETTINGS => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(500)),
            }
        }
    };
    set(true.into())?;
    thread::sleep(lasts);
    set(serde_json::Value::Null)
}

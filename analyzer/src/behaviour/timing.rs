//! `timing`: how long calls take, how long threads pause before them, how fast calls follow one another; frame by frame.
//!
//! A frame's score is the sum of three parts, each as far as it exceeds everyday variation: the most unusual latency of any call, the most
//! unusual pause of a thread before any call, and the rate of calls. One slow disk slows many calls at once, so the most unusual call
//! speaks for all, and not their sum.
//!
//! Not every source tells time. Latencies that are unknown or 0 teach nothing and are never scored, and neither are times that stand
//! still or tick evenly, as they do where a trace of call numbers was given made-up times.

use rastro_model::CallFigure;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    by_call::{ByCall, OfCall},
    figures::Figure,
    finding::{Finding, Judgement},
    frame::{CallFrame, groups},
    model::BehaviourModel,
};
use crate::{alphabet::Symbol, detector::WindowStatistics};

/// Fewest calls of a frame that have a rate.
const FEWEST_FOR_A_RATE: usize = 16;

/// When calls of one name are made, and how long they take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CallTiming {
    /// Frames that have the call.
    frames: u64,
    latency: Figure,
    pause: Figure,
}

impl OfCall for CallTiming {
    fn frames(&self) -> u64 {
        self.frames
    }

    fn merge(&mut self, other: &Self) {
        self.frames = self.frames.saturating_add(other.frames);
        self.latency.merge(&other.latency);
        self.pause.merge(&other.pause);
    }
}

/// When calls are made, and how long they take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimingModel {
    frames: u64,
    /// Calls seen, with latency or without.
    seen: u64,
    /// By symbol.
    calls: ByCall<CallTiming>,
    /// All pauses, of whichever call.
    pauses: Figure,
    /// Mean time from one call of a frame to the next.
    interval: Figure,
}

/// What a source told of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeSource {
    /// Nothing was learned yet.
    Nothing,
    /// Nothing that differs from call to call: it is not scored.
    Uninformative,
    /// Real times.
    Real,
}

impl TimingModel {
    /// Frames learned.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// What was told of latencies.
    pub fn latency_source(&self) -> TimeSource {
        let known: u64 = self.calls.iter().fold(0, |sum, known| sum.saturating_add(known.latency.len()));
        if self.seen == 0 {
            TimeSource::Nothing
        } else if known == 0 || self.calls.iter().all(|known| known.latency.is_constant()) {
            TimeSource::Uninformative
        } else {
            TimeSource::Real
        }
    }

    /// What was told of times.
    pub fn clock_source(&self) -> TimeSource {
        if self.seen == 0 {
            TimeSource::Nothing
        } else if self.pauses.is_constant() && self.interval.is_constant() {
            TimeSource::Uninformative
        } else {
            TimeSource::Real
        }
    }
}

impl BehaviourModel for TimingModel {
    fn learn(&mut self, frame: &CallFrame<'_>) {
        self.frames = self.frames.saturating_add(1);
        self.seen = self.seen.saturating_add(frame.range.len() as u64);
        let pauses = pauses_in(frame);
        for (symbol, group) in groups(&frame.by_call()) {
            let known = self.calls.entry(symbol);
            known.frames = known.frames.saturating_add(1);
            known.latency.learn(&mut latencies(frame, group));
            let mut of_call = of_group(&pauses, group);
            known.pause.learn(&mut of_call);
            self.pauses.learn(&mut of_call);
        }
        if let Some(interval) = interval_of(frame) {
            self.interval.learn(&mut [interval]);
        }
    }

    fn judge(&self, frame: &CallFrame<'_>) -> Judgement {
        let scores_latency = self.latency_source() == TimeSource::Real;
        let scores_times = self.clock_source() == TimeSource::Real;
        let pauses = if scores_times { pauses_in(frame) } else { FxHashMap::default() };
        let mut by_latency: Option<Finding> = None;
        let mut by_pause: Option<Finding> = None;
        for (symbol, group) in groups(&frame.by_call()) {
            let Some(known) = self.calls.get(symbol) else { continue };
            if scores_latency && let Some(unusual) = known.latency.judge(&mut latencies(frame, group)) {
                heavier(&mut by_latency, Finding::of_figure(Some(symbol), CallFigure::LatencyNs, &unusual));
            }
            if scores_times && let Some(unusual) = known.pause.judge(&mut of_group(&pauses, group)) {
                heavier(&mut by_pause, Finding::of_figure(Some(symbol), CallFigure::PauseNs, &unusual));
            }
        }
        let by_rate = interval_of(frame)
            .filter(|_| scores_times)
            .and_then(|interval| self.interval.judge_one(interval))
            .map(|unusual| Finding::of_figure(None, CallFigure::IntervalNs, &unusual));
        Judgement::of([by_latency, by_pause, by_rate].into_iter().flatten().collect())
    }

    fn merge(&mut self, other: &Self, symbols: &[Symbol]) {
        self.frames = self.frames.saturating_add(other.frames);
        self.seen = self.seen.saturating_add(other.seen);
        self.pauses.merge(&other.pauses);
        self.interval.merge(&other.interval);
        self.calls.merge(&other.calls, symbols);
    }

    fn statistics(&self) -> WindowStatistics {
        self.calls.statistics(self.frames)
    }

    fn describe(&self) -> String {
        let latency = match self.latency_source() {
            TimeSource::Nothing => return "nothing was learned of time".to_owned(),
            TimeSource::Uninformative => "the source gave no latencies, so they are not scored",
            TimeSource::Real => "latencies are scored",
        };
        let clock = match self.clock_source() {
            TimeSource::Real => format!(
                "pauses and rate are scored; the median time between calls of the container is {} ns",
                self.interval.median()
            ),
            _ => "the source's clock stands still or ticks evenly, so pauses and rate are not scored"
                .to_owned(),
        };
        format!("{latency}; {clock}")
    }

    fn check(&self, alphabet: usize) -> Result<(), String> {
        if !self.calls.is_within(alphabet) {
            return Err("it has calls that the profile does not know".to_owned());
        }
        let is_consistent = |known: &CallTiming| {
            known.frames <= self.frames && known.latency.is_consistent() && known.pause.is_consistent()
        };
        let are_consistent = self.calls.iter().all(is_consistent);
        if !are_consistent || !self.pauses.is_consistent() || !self.interval.is_consistent() {
            return Err("its counts contradict one another".to_owned());
        }
        Ok(())
    }
}

fn heavier(best: &mut Option<Finding>, finding: Finding) {
    if best.as_ref().is_none_or(|best| finding.weight > best.weight) {
        *best = Some(finding);
    }
}

/// Latencies that are known and not 0.
fn latencies(frame: &CallFrame<'_>, group: &[(Symbol, u32)]) -> Vec<(u64, u32)> {
    group.iter().filter_map(|&(_, call)| Some((frame.latency(call)?, call))).collect()
}

/// For each call of the frame whose thread made one before it there: the time between the two that it did not spend in this call.
fn pauses_in(frame: &CallFrame<'_>) -> FxHashMap<u32, u64> {
    let calls = &frame.segment.calls;
    let mut last: FxHashMap<Option<i64>, i64> = FxHashMap::default();
    let mut pauses = FxHashMap::default();
    for call in frame.range.clone() {
        let thread = calls.threads[calls.thread[call] as usize].id;
        let ended = calls.time_ns[call];
        if let Some(before) = last.insert(thread, ended)
            && let Ok(between) = u64::try_from(ended.saturating_sub(before))
        {
            pauses.insert(call as u32, between.saturating_sub(frame.latency(call as u32).unwrap_or(0)));
        }
    }
    pauses
}

fn of_group(pauses: &FxHashMap<u32, u64>, group: &[(Symbol, u32)]) -> Vec<(u64, u32)> {
    group.iter().filter_map(|(_, call)| Some((*pauses.get(call)?, *call))).collect()
}

/// Mean time from call to call, with the first call.
fn interval_of(frame: &CallFrame<'_>) -> Option<(u64, u32)> {
    if frame.range.len() < FEWEST_FOR_A_RATE {
        return None;
    }
    let times = &frame.segment.calls.time_ns[frame.range.clone()];
    let (first, last) = (times.iter().min()?, times.iter().max()?);
    let span = u64::try_from(last.saturating_sub(*first)).ok()?;
    Some((span / (frame.range.len() as u64 - 1), frame.range.start as u32))
}

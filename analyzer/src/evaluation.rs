//! How good is a detector? Traces to learn from, normal and attack traces to tell apart.
//!
//! A trace of some hundred calls with no time, which is what the older published data sets consist of, is judged as a whole
//! ([`evaluate`]); a recording of many threads frame by frame, as live ([`evaluate_recordings`]). The results depend on nothing but the traces and the seed: neither on the number of cores nor on the order in
//! which they finish. Times, of course, vary.
//!
//! | module | idea |
//! |---|---|
//! | `traces` | the traces and what they are for |
//! | `recordings` | recordings of many threads, judged frame by frame as live |
//! | `contender` | the one place that touches detectors |
//! | `accuracy` | curves and areas, all attacks and by kind |
//! | `bootstrap` | how far these may be off |
//! | `threshold` | what a threshold set on training data really gives |
//! | `delay` | time to detect |
//! | `supervised` | learners from labels, cross-validated |
//! | `random`, `parallel` | the same numbers for the same seed, whatever the cores |
//!
//! Beside the detectors stand two trivial scores, *few distinct calls* and *many calls*: on some data sets they do nearly as well, which
//! tells more about the data than about the detectors.

mod accuracy;
mod bootstrap;
mod contender;
mod delay;
mod parallel;
mod random;
mod recordings;
mod supervised;
mod threshold;
mod traces;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{alphabet::Symbol, registry::ModelSpec};
use contender::Contender;
use traces::size;

pub use accuracy::{Accuracy, KindAccuracy};
pub use bootstrap::{Interval, Intervals};
pub use delay::{DELAY_FALSE_ALARM_RATE, Delay};
pub use recordings::{Recordings, RecordingsError, Truth, evaluate_recordings};
pub use supervised::evaluate_learners;
pub use threshold::{HeldOutFrom, RealisedThreshold, WANTED_FALSE_ALARM_RATE};
pub use traces::{NoTraces, Part, TraceSets};

/// How to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationOptions {
    /// Threads.
    pub cores: usize,
    /// Decides which traces are drawn, and nothing else.
    pub seed: u64,
    /// Folds of the cross-validation that thresholds are set by; fewer than 2 mean none.
    pub folds: usize,
    /// Resamples for intervals; 0 means no intervals.
    pub resamples: usize,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { cores, seed: 1, folds: 5, resamples: 1000 }
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// One entry a detector, as they were asked for.
    pub detectors: Vec<Measured>,
    /// The trivial score: the fewer distinct calls in a trace, the more anomalous.
    pub trivial: Accuracy,
    /// Another one: the more calls in a trace, the more anomalous.
    pub trivial_length: Accuracy,
    /// Traces and calls to train on.
    pub train: (u64, u64),
    /// Separate normal traces to set thresholds on, and their calls.
    pub calibrate: (u64, u64),
    /// Normal traces and their calls.
    pub normal: (u64, u64),
    /// Attack traces and their calls.
    pub attack: (u64, u64),
}

/// What was measured of one detector.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Its specification.
    pub detector: String,
    /// It learned from attacks as well: each of its scores is by a model that saw neither the trace nor a copy of it.
    pub supervised: bool,
    /// How well it tells attacks from normal.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// What a threshold set before the test gives; absent where none was asked for.
    pub realised: Option<RealisedThreshold>,
    /// What the profile's own threshold gives, where recordings are judged as live.
    pub own_threshold: Option<OwnThreshold>,
    /// Time to detect at [`DELAY_FALSE_ALARM_RATE`]; absent where nothing is detected.
    pub delay: Option<Delay>,
    /// Calls learned a second by one core.
    pub training_calls_per_second: f64,
    /// Calls scored a second by one core.
    pub scoring_calls_per_second: f64,
    /// Size of the model as it is written, before compression, bytes; 0 where it is in no profile.
    pub model_bytes: u64,
    /// Size of a profile file with this model alone, bytes; likewise.
    pub profile_bytes: u64,
    /// Different windows learned.
    pub distinct: u64,
    /// Probability that the next window is a new one, by Good and Turing.
    pub unseen_mass: f64,
}

/// What happens at the threshold that a profile sets for itself, for its budget of false alarms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OwnThreshold {
    /// Share of the normal recordings that alarm.
    pub false_alarm_rate: f64,
    /// Share of the attacks that alarm.
    pub detection_rate: f64,
}

/// Curves and areas alone: no intervals, no thresholds set before.
pub fn evaluate(
    sets: &TraceSets,
    models: &[ModelSpec],
    cores: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Evaluation, NoTraces> {
    let options = EvaluationOptions { cores, folds: 0, resamples: 0, ..EvaluationOptions::default() };
    evaluate_with(sets, models, &options, progress)
}

/// Trains and scores each model. `progress` is told how many of all calls are done.
pub fn evaluate_with(
    sets: &TraceSets,
    models: &[ModelSpec],
    options: &EvaluationOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Evaluation, NoTraces> {
    sets.check()?;
    let (train, calibrate) = (size(&sets.train), size(&sets.calibrate));
    let (normal, attack) = (size(&sets.normal), size(&sets.attack));
    // Separate traces say more of what is to come than held-out training traces, and cost no further training.
    let folds = if sets.calibrate.is_empty() && options.folds >= 2 && sets.train.len() >= 2 {
        options.folds.min(sets.train.len())
    } else {
        0
    };
    let meter = Meter {
        done: AtomicU64::new(0),
        total: (train.1 * (1 + folds as u64) + calibrate.1 + normal.1 + attack.1) * models.len() as u64,
        report: progress,
    };
    let mut trained = train_all(sets, models, folds, options, &meter).into_iter();
    let kinds = sets.places_by_kind();
    let mut detectors = Vec::with_capacity(models.len());
    for spec in models {
        let Some(Trained { contender, training, held_out }) = trained.next() else { break };
        let scores = |traces| score_all(&contender, traces, options.cores, &meter);
        let (normal_scores, normal_time) = scores(&sets.normal);
        let (attack_scores, attack_time) = scores(&sets.attack);
        let (held_out, held_out_from) = if sets.calibrate.is_empty() {
            (held_out, HeldOutFrom::CrossValidation)
        } else {
            (scores(&sets.calibrate).0, HeldOutFrom::SeparateTraces)
        };
        let rate = |calls: u64, time: Duration| calls as f64 / time.as_secs_f64().max(1e-9);
        let statistics = contender.statistics();
        let accuracy = Accuracy::of(&normal_scores, &attack_scores, &kinds, options)?;
        detectors.push(Measured {
            detector: spec.to_string(),
            supervised: false,
            realised: threshold::realised(&held_out, held_out_from, &normal_scores, &attack_scores),
            own_threshold: None,
            delay: delay_of(&contender, &normal_scores, &sets.attack, &attack_scores, options.cores),
            accuracy,
            training_calls_per_second: rate(train.1, training),
            scoring_calls_per_second: rate(normal.1 + attack.1, normal_time + attack_time),
            model_bytes: contender.model_bytes(),
            profile_bytes: contender.profile_bytes(),
            distinct: statistics.distinct,
            unseen_mass: statistics.unseen_mass(),
        });
    }
    let trivial = |score: fn(&[Symbol]) -> f64| {
        let scores = |traces: &[Vec<Symbol>]| traces.iter().map(|trace| score(trace)).collect::<Vec<f64>>();
        Accuracy::of(&scores(&sets.normal), &scores(&sets.attack), &kinds, options)
    };
    let few_distinct =
        |trace: &[Symbol]| -(trace.iter().collect::<std::collections::BTreeSet<_>>().len() as f64);
    Ok(Evaluation {
        detectors,
        trivial: trivial(few_distinct)?,
        trivial_length: trivial(|trace| trace.len() as f64)?,
        train,
        calibrate,
        normal,
        attack,
    })
}

/// A model trained on all training traces, with the scores of these by models that did not learn them.
struct Trained {
    contender: Contender,
    training: Duration,
    held_out: Vec<f64>,
}

/// Trains every model on everything, and on everything but each fold. All of it is independent, so all cores are busy. A model that holds
/// frames out by itself while it fits has its held-out scores already.
fn train_all(
    sets: &TraceSets,
    models: &[ModelSpec],
    folds: usize,
    options: &EvaluationOptions,
    meter: &Meter<'_>,
) -> Vec<Trained> {
    let train_calls = size(&sets.train).1;
    let mut trained: Vec<Trained> = parallel::map(models.len(), options.cores, |place| {
        let begin = Instant::now();
        let contender = Contender::train(&models[place], &sets.alphabet, &sets.train);
        let training = begin.elapsed();
        let held_out = if folds == 0 { Vec::new() } else { contender.held_out().unwrap_or_default() };
        meter.add(if held_out.is_empty() { train_calls } else { train_calls * (1 + folds as u64) });
        Trained { contender, training, held_out }
    });
    let without: Vec<usize> =
        (0..trained.len()).filter(|&model| trained[model].held_out.is_empty()).collect();
    let fold_of = threshold::folds(sets.train.len(), folds, options.seed);
    let scores = parallel::map(without.len() * folds, options.cores, |place| {
        let (spec, fold) = (&models[without[place / folds]], place % folds);
        let with_folds = || sets.train.iter().zip(&fold_of);
        let rest = with_folds().filter(|(_, other)| **other != fold).map(|(trace, _)| trace);
        let contender = Contender::train(spec, &sets.alphabet, rest);
        let held_out = with_folds().filter(|(_, other)| **other == fold);
        let scores: Vec<f64> = held_out.map(|(trace, _)| contender.score(trace)).collect();
        meter.add(train_calls);
        scores
    });
    for (place, scores) in scores.into_iter().enumerate() {
        trained[without[place / folds]].held_out.extend(scores);
    }
    trained
}

fn delay_of(
    contender: &Contender,
    normal_scores: &[f64],
    attack: &[Vec<Symbol>],
    scores: &[f64],
    cores: usize,
) -> Option<Delay> {
    let threshold = delay::threshold(normal_scores)?;
    let calls = parallel::map(attack.len(), cores, |place| {
        (scores[place] > threshold)
            .then(|| delay::of_trace(&attack[place], threshold, |calls| contender.score(calls)))
    });
    delay::summary(calls.into_iter().flatten().collect())
}

struct Meter<'a> {
    done: AtomicU64,
    total: u64,
    report: &'a (dyn Fn(u64, u64) + Sync),
}

impl Meter<'_> {
    fn add(&self, calls: u64) {
        let done = self.done.fetch_add(calls, Ordering::Relaxed) + calls;
        (self.report)(done, self.total);
    }
}

/// Traces that are scored as one piece of work.
const PIECE: usize = 64;

/// Scores of all traces in their order, and the time that cores spent on them.
fn score_all(
    contender: &Contender,
    traces: &[Vec<Symbol>],
    cores: usize,
    meter: &Meter<'_>,
) -> (Vec<f64>, Duration) {
    let pieces: Vec<&[Vec<Symbol>]> = traces.chunks(PIECE).collect();
    let scored = parallel::map(pieces.len(), cores, |piece| {
        let begin = Instant::now();
        let scores: Vec<f64> = pieces[piece].iter().map(|trace| contender.score(trace)).collect();
        let spent = begin.elapsed();
        meter.add(size(pieces[piece]).1);
        (scores, spent)
    });
    let spent = scored.iter().map(|(_, spent)| *spent).sum();
    (scored.into_iter().flat_map(|(scores, _)| scores).collect(), spent)
}

#[cfg(test)]
mod tests;

//! How good is a detector? Traces to learn from, normal and attack traces to tell apart.
//!
//! A trace is judged as a whole: its score is the share of its windows that were never seen in training. (Live, frames are
//! judged; a labelled trace of some hundred calls with no time is what the published data sets consist of.) The results depend on
//! nothing but the traces: neither on the number of cores nor on the order in which they finish. Times, of course, vary.
//!
//! Beside the detectors stands a trivial score, *few distinct calls*: on some data sets (ADFA-LD) it does nearly as well, which tells more
//! about the data than about the detectors.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    alphabet::{Alphabet, Symbol},
    detector::{Judge, verdict},
    profile::Profile,
    registry::ModelSpec,
    roc::Roc,
};

/// What a trace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Normal, to learn from.
    Train,
    /// Normal, to measure false alarms on.
    Normal,
    /// Attack.
    Attack,
}

/// Traces to evaluate on.
#[derive(Debug, Clone, Default)]
pub struct TraceSets {
    alphabet: Alphabet,
    train: Vec<Vec<Symbol>>,
    normal: Vec<Vec<Symbol>>,
    attack: Vec<Vec<Symbol>>,
    /// Kind of each attack trace, where known.
    kinds: Vec<Option<String>>,
}

/// Traces on which nothing can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no {missing} trace; an evaluation needs at least one to train on, one normal and one attack"
)]
pub struct NoTraces {
    missing: &'static str,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// One entry a detector, as they were asked for.
    pub detectors: Vec<Measured>,
    /// The trivial score: the fewer distinct calls in a trace, the more anomalous.
    pub trivial: Accuracy,
    /// Traces and calls to train on.
    pub train: (u64, u64),
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
    /// How well it tells attacks from normal.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// Calls learned a second by one core.
    pub training_calls_per_second: f64,
    /// Calls scored a second by one core.
    pub scoring_calls_per_second: f64,
    /// Size of a profile file with this model alone, bytes.
    pub profile_bytes: u64,
    /// Different windows learned.
    pub distinct: u64,
    /// Probability that the next window is a new one, by Good and Turing.
    pub unseen_mass: f64,
}

/// How well scores tell attacks from normal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accuracy {
    /// The curve with its area.
    pub roc: Roc,
    /// Detection rates, by false-alarm rate.
    pub detection_rates: Vec<(f64, f64)>,
    /// The same for each kind of attack, where kinds are known, by name.
    pub kinds: Vec<KindAccuracy>,
}

/// How well one kind of attack is told from normal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindAccuracy {
    /// The kind.
    pub kind: String,
    /// Its traces.
    pub traces: u64,
    /// Area under its curve.
    pub auc: f64,
    /// Its detection rates, by false-alarm rate.
    pub detection_rates: Vec<(f64, f64)>,
}

impl TraceSets {
    /// No traces.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a trace: names of calls, or numbers as text. `kind` is the kind of attack, where known.
    pub fn add<Name: AsRef<str>>(
        &mut self,
        part: Part,
        calls: impl IntoIterator<Item = Name>,
        kind: Option<&str>,
    ) {
        let calls = calls.into_iter().map(|name| self.alphabet.learn(name.as_ref())).collect();
        match part {
            Part::Train => self.train.push(calls),
            Part::Normal => self.normal.push(calls),
            Part::Attack => {
                self.attack.push(calls);
                self.kinds.push(kind.map(str::to_owned));
            }
        }
    }

    fn size(traces: &[Vec<Symbol>]) -> (u64, u64) {
        (traces.len() as u64, traces.iter().map(|trace| trace.len() as u64).sum())
    }

    fn check(&self) -> Result<(), NoTraces> {
        for (traces, missing) in
            [(&self.train, "training"), (&self.normal, "normal"), (&self.attack, "attack")]
        {
            if traces.is_empty() {
                return Err(NoTraces { missing });
            }
        }
        Ok(())
    }

    fn accuracy(&self, normal: &[f64], attack: &[f64]) -> Result<Accuracy, NoTraces> {
        let roc = |attack: &[f64]| Roc::of(normal, attack).ok_or(NoTraces { missing: "comparable" });
        let mut by_kind: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (kind, &score) in self.kinds.iter().zip(attack) {
            if let Some(kind) = kind {
                by_kind.entry(kind).or_default().push(score);
            }
        }
        let kinds = by_kind
            .into_iter()
            .map(|(kind, scores)| {
                let roc = roc(&scores)?;
                let detection_rates = roc.detection_rates();
                Ok(KindAccuracy {
                    kind: kind.to_owned(),
                    traces: scores.len() as u64,
                    auc: roc.auc,
                    detection_rates,
                })
            })
            .collect::<Result<_, _>>()?;
        let roc = roc(attack)?;
        Ok(Accuracy { detection_rates: roc.detection_rates(), roc, kinds })
    }
}

/// Trains and scores each model on `cores` cores. `progress` is told how many of all calls are done.
pub fn evaluate(
    sets: &TraceSets,
    models: &[ModelSpec],
    cores: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Evaluation, NoTraces> {
    sets.check()?;
    let (train, normal, attack) =
        (TraceSets::size(&sets.train), TraceSets::size(&sets.normal), TraceSets::size(&sets.attack));
    let meter = Meter {
        done: AtomicU64::new(0),
        total: (train.1 + normal.1 + attack.1) * models.len() as u64,
        report: progress,
    };
    let mut detectors = Vec::with_capacity(models.len());
    for spec in models {
        let mut profile = Profile::empty("evaluation", std::slice::from_ref(spec));
        profile.alphabet = sets.alphabet.clone();
        profile.call_counts = vec![0; sets.alphabet.len()];
        let detector = &mut profile.models[0].detector;
        let begin = Instant::now();
        for trace in &sets.train {
            detector.learn(trace, 0);
            meter.add(trace.len());
        }
        let training = begin.elapsed();
        let judge = detector.judge(sets.alphabet.len());
        let statistics = detector.statistics();
        let (normal_scores, normal_time) = score_all(judge.as_ref(), &sets.normal, cores, &meter);
        let (attack_scores, attack_time) = score_all(judge.as_ref(), &sets.attack, cores, &meter);
        let rate = |calls: u64, time: Duration| calls as f64 / time.as_secs_f64().max(1e-9);
        detectors.push(Measured {
            detector: spec.to_string(),
            accuracy: sets.accuracy(&normal_scores, &attack_scores)?,
            training_calls_per_second: rate(train.1, training),
            scoring_calls_per_second: rate(normal.1 + attack.1, normal_time + attack_time),
            profile_bytes: profile.to_bytes().len() as u64,
            distinct: statistics.distinct,
            unseen_mass: statistics.unseen_mass(),
        });
    }
    let few_distinct = |traces: &[Vec<Symbol>]| -> Vec<f64> {
        let distinct = |trace: &Vec<Symbol>| trace.iter().collect::<std::collections::BTreeSet<_>>().len();
        traces.iter().map(|trace| -(distinct(trace) as f64)).collect()
    };
    let trivial = sets.accuracy(&few_distinct(&sets.normal), &few_distinct(&sets.attack))?;
    Ok(Evaluation { detectors, trivial, train, normal, attack })
}

struct Meter<'a> {
    done: AtomicU64,
    total: u64,
    report: &'a (dyn Fn(u64, u64) + Sync),
}

impl Meter<'_> {
    fn add(&self, calls: usize) {
        let done = self.done.fetch_add(calls as u64, Ordering::Relaxed) + calls as u64;
        (self.report)(done, self.total);
    }
}

/// Scores of all traces in their order, and the time that cores spent on them.
fn score_all(
    judge: &dyn Judge,
    traces: &[Vec<Symbol>],
    cores: usize,
    meter: &Meter<'_>,
) -> (Vec<f64>, Duration) {
    let mut scores = vec![0.0; traces.len()];
    let share = traces.len().div_ceil(cores.max(1)).max(1);
    let mut spent = Duration::ZERO;
    std::thread::scope(|scope| {
        let workers: Vec<_> = traces
            .chunks(share)
            .zip(scores.chunks_mut(share))
            .map(|(traces, scores)| {
                scope.spawn(move || {
                    let mut verdicts = Vec::new();
                    let mut spent = Duration::ZERO;
                    for (trace, score) in traces.iter().zip(scores) {
                        let begin = Instant::now();
                        verdicts.resize(trace.len(), 0);
                        judge.judge(trace, 0, &mut verdicts);
                        *score = share_of_unseen(&verdicts);
                        spent += begin.elapsed();
                        meter.add(trace.len());
                    }
                    spent
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(time) => spent += time,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    (scores, spent)
}

/// Share of the windows that are unseen; 0 for a trace that is too short for a window.
fn share_of_unseen(verdicts: &[u8]) -> f64 {
    let (mut windows, mut unseen) = (0u64, 0u64);
    for &verdict in verdicts {
        windows += u64::from(verdict != verdict::NO_WINDOW);
        unseen += u64::from(verdict == verdict::UNSEEN);
    }
    if windows == 0 { 0.0 } else { unseen as f64 / windows as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> TraceSets {
        let mut sets = TraceSets::new();
        let trace =
            |seed: usize, length: usize| (0..length).map(move |place| ((place * seed) % 7).to_string());
        for seed in 1..9 {
            sets.add(Part::Train, trace(seed, 60), None);
            sets.add(Part::Normal, trace(seed + 1, 40), None);
            sets.add(
                Part::Attack,
                trace(seed * seed + 3, 50).chain(["1".to_owned(), "x".to_owned()]),
                Some("odd"),
            );
        }
        sets
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_cores() {
        let models = crate::registry::default_models();
        let accuracies = |cores| -> Vec<Accuracy> {
            let evaluation = evaluate(&sets(), &models, cores, &|_, _| {}).unwrap();
            evaluation.detectors.into_iter().map(|measured| measured.accuracy).collect()
        };
        let one = accuracies(1);
        assert_eq!(one, accuracies(3));
        assert_eq!(one, accuracies(64));
        assert_eq!(one[0].kinds.len(), 1);
    }

    #[test]
    fn the_meter_reaches_its_end() {
        let last = std::sync::Mutex::new((0, 0));
        evaluate(&sets(), &[ModelSpec::parse("stide").unwrap()], 2, &|done, total| {
            let mut last = last.lock().unwrap();
            *last = (last.0.max(done), total);
        })
        .unwrap();
        let (done, total) = *last.lock().unwrap();
        assert_eq!(done, total);
    }

    #[test]
    fn an_empty_part_is_named() {
        let mut sets = TraceSets::new();
        sets.add(Part::Train, ["read"], None);
        let error = evaluate(&sets, &[], 1, &|_, _| {}).unwrap_err();
        assert!(error.to_string().contains("no normal trace"), "{error}");
    }
}

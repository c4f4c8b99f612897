//! Learning from labels: where it is known of some traces that they are attacks.
//!
//! Frames become points of logarithms of counts, ln(1 + times), of the grams that the most frames have. Repetition is no secret to a
//! learner that sees attacks, so nothing is made equal in length.
//!
//! How good such a learner is can only be said of traces that it did not see: [`cross_validated`] divides *distinct* traces into folds, so
//! that copies of one trace never lie on both sides. [`LEARNERS`] is the table of what can learn so; it stands beside the table of detectors,
//! because a profile, which knows normal work only, cannot hold what was learned from attacks.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    features::{Gram, gram_counts},
    gram_table::GramTable,
    random::Random,
};
use crate::alphabet::Symbol;

/// Most grams that are looked at.
pub(crate) const MAX_FEATURES: usize = 1024;

/// A trace and whether it is an attack.
pub type Labelled<'trace> = (&'trace [Symbol], bool);

/// Grams whose counts are coordinates.
#[derive(Debug, Clone)]
pub(crate) struct CountSpace {
    order: u32,
    grams: Vec<Gram>,
    table: GramTable,
}

impl CountSpace {
    /// The grams of 1 to `order` calls that the most traces have, at most `limit`.
    pub(crate) fn of<'trace>(
        traces: impl Iterator<Item = &'trace [Symbol]>,
        order: u32,
        limit: usize,
    ) -> Self {
        let mut traces_with = rustc_hash::FxHashMap::<Gram, u64>::default();
        for trace in traces {
            for (gram, _) in gram_counts(trace, order) {
                *traces_with.entry(gram).or_default() += 1;
            }
        }
        let mut counted: Vec<(Gram, u64)> = traces_with.into_iter().collect();
        counted.sort_unstable_by_key(|&(gram, traces)| (std::cmp::Reverse(traces), gram));
        counted.truncate(limit.min(MAX_FEATURES));
        let mut grams: Vec<Gram> = counted.into_iter().map(|(gram, _)| gram).collect();
        grams.sort_unstable();
        Self::new(order, grams)
    }

    fn new(order: u32, grams: Vec<Gram>) -> Self {
        let table = GramTable::new(&grams);
        Self { order, grams, table }
    }

    /// Number of coordinates: one a gram, and one for all grams that are unknown.
    pub(crate) fn dimensions(&self) -> usize {
        self.grams.len() + 1
    }

    /// The point of a trace.
    pub(crate) fn point(&self, calls: &[Symbol]) -> Vec<f32> {
        let mut point = vec![0.0; self.dimensions()];
        let mut unknown = 0u64;
        for (gram, count) in gram_counts(calls, self.order) {
            match self.table.get(gram) {
                Some(dimension) => point[dimension as usize] = f64::from(count).ln_1p() as f32,
                None => unknown += u64::from(count),
            }
        }
        point[self.grams.len()] = (unknown as f64).ln_1p() as f32;
        point
    }
}

/// A learner from labels.
#[derive(Debug)]
pub struct LearnerInfo {
    /// Name.
    pub name: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// What it does and where it comes from.
    pub description: &'static str,
    /// Learns from traces; the same traces in the same order and the same seed give the same scores.
    pub learn: fn(&[Labelled<'_>], u64) -> Box<dyn LabelModel>,
}

/// What was learned from labels.
pub trait LabelModel: std::fmt::Debug + Send + Sync {
    /// How much a trace looks like an attack: the higher, the more.
    fn score(&self, calls: &[Symbol]) -> f64;
}

/// Learns from traces, with a seed.
pub type Learn = dyn Fn(&[Labelled<'_>], u64) -> Box<dyn LabelModel> + Sync;

/// Every learner.
pub static LEARNERS: &[LearnerInfo] = &[super::random_forest::LEARNER, super::logistic_regression::LEARNER];

/// The fold of each trace. Copies of a trace share one; each label is dealt out by itself, so that every fold has its share of attacks.
fn folds_of(traces: &[Labelled<'_>], folds: usize, seed: u64) -> Vec<usize> {
    let mut fold_of = rustc_hash::FxHashMap::<&[Symbol], usize>::default();
    for label in [false, true] {
        let of_label = traces.iter().filter(|trace| trace.1 == label).map(|trace| trace.0);
        let mut distinct: Vec<&[Symbol]> = of_label.collect::<BTreeSet<_>>().into_iter().collect();
        let count = distinct.len();
        Random::new(seed, u64::from(label)).draw(&mut distinct, count);
        for (place, trace) in distinct.into_iter().enumerate() {
            // What has both labels stays where the first put it.
            fold_of.entry(trace).or_insert(place % folds.max(1));
        }
    }
    traces.iter().map(|trace| fold_of.get(trace.0).copied().unwrap_or_default()).collect()
}

/// A score for each trace, given by a learner that saw neither the trace nor a copy of it. The result depends on the traces and the seed
/// only, not on the number of cores.
pub fn cross_validated(
    traces: &[Labelled<'_>],
    folds: usize,
    seed: u64,
    cores: usize,
    learn: &Learn,
) -> Vec<f64> {
    let folds = folds.max(2);
    let fold_of = folds_of(traces, folds, seed);
    let one_fold = |fold: usize| -> Vec<(usize, f64)> {
        let seen = traces.iter().zip(&fold_of).filter(|(_, of)| **of != fold).map(|(trace, _)| *trace);
        let model = learn(&seen.collect::<Vec<_>>(), seed);
        let held_out = traces.iter().zip(&fold_of).enumerate().filter(|(_, (_, of))| **of == fold);
        held_out.map(|(place, (trace, _))| (place, model.score(trace.0))).collect()
    };
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut scored = Vec::new();
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold >= folds {
                return scored;
            }
            scored.extend(one_fold(fold));
        }
    };
    let mut scores = vec![0.0; traces.len()];
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.clamp(1, folds)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            match worker.join() {
                Ok(scored) => scored.into_iter().for_each(|(place, score)| scores[place] = score),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_trace_never_lie_on_both_sides() {
        let traces = vec![(vec![1, 2], true); 4];
        let others: Vec<(Vec<Symbol>, bool)> = (3..9).map(|call| (vec![call], false)).collect();
        let all = [traces, others].concat();
        let folds =
            folds_of(&all.iter().map(|(calls, label)| (calls.as_slice(), *label)).collect::<Vec<_>>(), 3, 1);
        assert!(folds[..4].iter().all(|fold| *fold == folds[0]));
        let sizes: Vec<usize> =
            (0..3).map(|fold| folds[4..].iter().filter(|of| **of == fold).count()).collect();
        assert_eq!(sizes, [2, 2, 2]);
    }
}

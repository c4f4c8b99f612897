//! Learners from labels: what could be reached if the attacks were known.
//!
//! They learn from attacks, so they cannot be measured on traces that they saw: all traces, normal ones to train on included, are dealt into
//! folds, copies of a trace into the same one, and each is scored by a model of the other folds. Their figures stand beside those of the
//! detectors and are named as what they are.

use std::time::Instant;

use super::{Accuracy, EvaluationOptions, Measured, NoTraces, TraceSets, size};
use crate::{
    alphabet::Symbol,
    vector::supervised::{Labelled, LearnerInfo, cross_validated},
};

/// Fewest folds.
const LEAST_FOLDS: usize = 2;

/// Measures each learner by cross-validation over whole traces.
pub fn evaluate_learners(
    sets: &TraceSets,
    learners: &[&LearnerInfo],
    options: &EvaluationOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Vec<Measured>, NoTraces> {
    sets.check()?;
    let (train, normal) = (labelled(&sets.train, false), labelled(&sets.normal, false));
    let all = [train, normal, labelled(&sets.attack, true)].concat();
    let calls: u64 = [&sets.train, &sets.normal, &sets.attack].map(|traces| size(traces).1).iter().sum();
    let (first_normal, first_attack) = (sets.train.len(), sets.train.len() + sets.normal.len());
    let kinds = sets.places_by_kind();
    let mut measured = Vec::with_capacity(learners.len());
    for (place, learner) in learners.iter().enumerate() {
        progress(place as u64, learners.len() as u64);
        let folds = options.folds.max(LEAST_FOLDS);
        let scores = cross_validated(&all, folds, options.seed, options.cores, &learner.learn);
        let accuracy =
            Accuracy::of(&scores[first_normal..first_attack], &scores[first_attack..], &kinds, options)?;
        // For the times alone: the scores of a model for traces that it saw say nothing.
        let begin = Instant::now();
        let model = (learner.learn)(&all, options.seed);
        let training = begin.elapsed();
        let begin = Instant::now();
        for trace in &sets.attack {
            std::hint::black_box(model.score(trace));
        }
        let scoring = begin.elapsed();
        let rate = |calls: u64, time: std::time::Duration| calls as f64 / time.as_secs_f64().max(1e-9);
        measured.push(Measured {
            detector: learner.name.to_owned(),
            supervised: true,
            accuracy,
            realised: None,
            own_threshold: None,
            delay: None,
            training_calls_per_second: rate(calls, training),
            scoring_calls_per_second: rate(size(&sets.attack).1, scoring),
            model_bytes: 0,
            profile_bytes: 0,
            distinct: 0,
            unseen_mass: 0.0,
        });
    }
    progress(learners.len() as u64, learners.len() as u64);
    Ok(measured)
}

fn labelled(traces: &[Vec<Symbol>], is_attack: bool) -> Vec<Labelled<'_>> {
    traces.iter().map(|trace| (trace.as_slice(), is_attack)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{evaluation::Part, vector::supervised::LEARNERS};

    #[test]
    fn learners_know_attacks_that_look_normal_call_by_call_and_give_the_same_figures_again() {
        let mut sets = TraceSets::new();
        for round in 0..30 {
            let normal = ["open", "read", "read", "write", "close"].repeat(4 + round);
            sets.add(Part::Train, &normal, None);
            sets.add(Part::Normal, &normal[..normal.len() - 1 - round % 3], None);
            sets.add(Part::Attack, ["read", "open", "write", "close"].repeat(5 + round), Some("loop"));
        }
        let options = EvaluationOptions { cores: 1, folds: 3, resamples: 10, seed: 3 };
        let learners: Vec<&LearnerInfo> = LEARNERS.iter().collect();
        let figures = |options: &EvaluationOptions| -> Vec<(String, Accuracy)> {
            let measured = evaluate_learners(&sets, &learners, options, &|_, _| {}).unwrap();
            measured.into_iter().map(|measured| (measured.detector, measured.accuracy)).collect()
        };
        let one = figures(&options);
        assert_eq!(one.len(), LEARNERS.len());
        for (name, accuracy) in &one {
            assert!(accuracy.roc.auc > 0.9, "{name}: {}", accuracy.roc.auc);
            assert_eq!(accuracy.kinds[0].traces, 30);
        }
        assert_eq!(one, figures(&EvaluationOptions { cores: 3, ..options }));
    }
}

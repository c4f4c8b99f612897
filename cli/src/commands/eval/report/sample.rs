//! An evaluation for tests, with times that are always the same.

use rastro_analyzer::{
    ModelSpec,
    evaluation::{Evaluation, EvaluationOptions, Part, TraceSets, evaluate_with},
};

pub(super) fn evaluation() -> Evaluation {
    let mut sets = TraceSets::new();
    for round in 0..4 {
        sets.add(Part::Train, ["open", "read", "write", "close"].repeat(5 + round), None);
        sets.add(Part::Normal, ["open", "read", "write", "close"].repeat(3 + round), None);
        sets.add(Part::Attack, ["open", "execve", "read", "close"].repeat(3 + round), Some("shell\x1b"));
    }
    let models = [ModelSpec::parse("stide:n=3").unwrap(), ModelSpec::parse("bosc:w=4").unwrap()];
    let options = EvaluationOptions { cores: 1, seed: 1, folds: 2, resamples: 50 };
    let mut evaluation = evaluate_with(&sets, &models, &options, &|_, _| {}).unwrap();
    for measured in &mut evaluation.detectors {
        measured.training_calls_per_second = 3_000_000.0;
        measured.scoring_calls_per_second = 42_000_000.0;
        // The file's size is another test's matter.
        measured.profile_bytes = 321;
        measured.model_bytes = 654;
    }
    evaluation
}

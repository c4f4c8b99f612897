//! Evaluation of trace sets: what is drawn, learned and measured.

use super::*;

fn sets() -> TraceSets {
    let mut sets = TraceSets::new();
    let trace = |seed: usize, length: usize| (0..length).map(move |place| ((place * seed) % 7).to_string());
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

fn options(cores: usize) -> EvaluationOptions {
    EvaluationOptions { cores, seed: 4, folds: 3, resamples: 60 }
}

type Results = Vec<(Accuracy, Option<RealisedThreshold>, Option<Delay>)>;

#[test]
fn results_do_not_depend_on_the_number_of_cores() {
    let models = crate::registry::default_models();
    let results = |cores| -> Results {
        let evaluation = evaluate_with(&sets(), &models, &options(cores), &|_, _| {}).unwrap();
        let result = |measured: Measured| (measured.accuracy, measured.realised, measured.delay);
        evaluation.detectors.into_iter().map(result).collect()
    };
    let one = results(1);
    assert_eq!(one, results(3));
    assert_eq!(one, results(64));
    assert_eq!(one.len(), models.len());
    assert_eq!(one[0].0.kinds.len(), 1);
    assert!(one[0].0.intervals.is_some());
    let realised = one[0].1.unwrap();
    assert_eq!((realised.held_out, realised.held_out_from), (8, HeldOutFrom::CrossValidation));
}

#[test]
fn separate_normals_set_the_threshold_where_there_are_some() {
    let mut sets = sets();
    for _ in 0..5 {
        sets.add(Part::Calibrate, ["1", "2", "3"].repeat(9), None);
    }
    let models = [ModelSpec::parse("stide").unwrap()];
    let evaluation = evaluate_with(&sets, &models, &options(2), &|_, _| {}).unwrap();
    let realised = evaluation.detectors[0].realised.unwrap();
    assert_eq!((realised.held_out, realised.held_out_from), (5, HeldOutFrom::SeparateTraces));
    assert_eq!(evaluation.calibrate, (5, 135));
    let plain = evaluate(&super::tests::sets(), &models, 2, &|_, _| {}).unwrap();
    assert_eq!(plain.detectors[0].realised, None);
    assert_eq!(plain.detectors[0].accuracy.roc, evaluation.detectors[0].accuracy.roc);
}

#[test]
fn the_meter_reaches_its_end() {
    let last = std::sync::Mutex::new((0, 0));
    evaluate_with(&sets(), &[ModelSpec::parse("stide").unwrap()], &options(2), &|done, total| {
        let mut last = last.lock().unwrap();
        *last = (last.0.max(done), total);
    })
    .unwrap();
    let (done, total) = *last.lock().unwrap();
    assert_eq!(done, total);
}

#[test]
fn an_empty_part_is_named_and_a_trace_without_calls_is_none() {
    let mut sets = TraceSets::new();
    sets.add(Part::Train, ["read"], None);
    sets.add(Part::Normal, [""; 0], None);
    let error = evaluate(&sets, &[], 1, &|_, _| {}).unwrap_err();
    assert!(error.to_string().contains("no normal trace"), "{error}");
}

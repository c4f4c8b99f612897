//! What all models over points have in common, proved for each of them.

use proptest::prelude::*;

use super::{
    FrameScore, cluster_centres::ClusterCentres, density_clusters::DensityClusters, feature_space::Weighting,
    frame_sample::FrameSample, gaussian_mixture::GaussianMixture, isolation_forest::IsolationForest,
    principal_components::PrincipalComponents,
};
use crate::alphabet::Symbol;

const ALPHABET: u16 = 6;

/// Kinds of work, each a loop with a few turns.
fn workload(frames: u16) -> Vec<Vec<Symbol>> {
    (0..frames)
        .map(|frame| (0..40).map(|place| (place * (frame % 3 + 1) + place * frame / 40) % 5).collect())
        .collect()
}

/// Holds for a model with these ways to fit it and to score with it.
fn check<Model>(fit: impl Fn(&FrameSample) -> Model, score: impl Fn(&Model, &[Symbol]) -> f64) {
    let config = ProptestConfig::with_cases(24);
    let frames = proptest::collection::vec(proptest::collection::vec(0u16..ALPHABET, 1..25), 0..40);
    let probe = proptest::collection::vec(0u16..9, 0..30);
    proptest!(config, |(mut frames in frames, probe in probe)| {
        let expected = score(&fit(&FrameSample::of(&frames)), &probe);
        prop_assert!(expected.is_finite() && expected >= 0.0, "{}", expected);
        frames.reverse();
        prop_assert_eq!(score(&fit(&FrameSample::of(&frames)), &probe).to_bits(), expected.to_bits());
    });
    let normal = workload(120);
    let model = fit(&FrameSample::of(&normal));
    let strange: Vec<Symbol> = (0..40).map(|place| 5 + place % 3).collect();
    let highest = normal.iter().map(|frame| score(&model, frame)).fold(f64::NEG_INFINITY, f64::max);
    let of_strange = score(&model, &strange);
    assert!(of_strange > highest, "{of_strange} {highest}");
}

#[test]
fn principal_components_keep_what_they_promise() {
    for weighting in [Weighting::Set, Weighting::Frequency, Weighting::TfIdf] {
        check(|sample| PrincipalComponents::fit(sample, 2, weighting, 4), PrincipalComponents::score);
    }
}

#[test]
fn a_gaussian_mixture_keeps_what_it_promises() {
    check(|sample| GaussianMixture::fit(sample, 2, Weighting::Set, (4, 3), 7), GaussianMixture::score);
}

#[test]
fn cluster_centres_keep_what_they_promise() {
    check(|sample| ClusterCentres::fit(sample, 2, Weighting::Set, 4, 7), ClusterCentres::score);
}

#[test]
fn density_clusters_keep_what_they_promise() {
    check(|sample| DensityClusters::fit(sample, 2, Weighting::Set, 3, 0.75), DensityClusters::score);
}

#[test]
fn an_isolation_forest_keeps_what_it_promises() {
    check(|sample| IsolationForest::fit(sample, 2, Weighting::Set, (20, 64), 7), IsolationForest::score);
}

#[test]
fn a_lonely_frame_of_training_does_not_make_its_like_normal() {
    let mut frames: Vec<Vec<Symbol>> =
        (20..80).map(|length| (0..length).map(|place| place % 4).collect()).collect();
    let lonely: Vec<Symbol> = vec![5; 10];
    frames.push(lonely.clone());
    let model = DensityClusters::fit(&FrameSample::of(&frames), 2, Weighting::Set, 3, 0.75);
    assert!((1.0..2.0).contains(&model.score(&lonely)), "{}", model.score(&lonely));
    assert!(model.score(&frames[0]) < 1e-6);
}

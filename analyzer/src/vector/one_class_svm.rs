//! One-class support vector machine on sets of n-grams.
//!
//! Finds the half-space that holds all but a share `nu` of the training frames and lies as far from the origin as it can (B. Schölkopf,
//! J. Platt, J. Shawe-Taylor, A. Smola, R. Williamson, "Estimating the support of a high-dimensional distribution", Neural
//! Computation 13, 2001). The kernel is the cosine of two frames' sets of grams; it is linear, so what is stored is one weight a gram, not
//! support vectors, and scoring costs one look-up a gram.

use super::{
    FrameScore,
    feature_space::{FeatureSpace, MAX_DIMENSIONS, SparseVector, Weighting},
    frame_sample::FrameSample,
    smo,
};
use crate::{
    alphabet::Symbol,
    fitted::{Fitting, Member},
    registry::{DetectorInfo, Maker, ParameterInfo},
};

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "ocsvm",
    title: "One-class support vector machine",
    description: "The half-space that holds nearly all normal frames, seen as sets of n-grams, and lies as far out as it can (Schölkopf et al. 2001).",
    parameters: &[
        ParameterInfo::whole("n", 3, (1, 4)).about("longest n-gram, calls"),
        ParameterInfo::real("nu", 0.05, (0.001, 0.5)).about("share of normal frames that may lie outside"),
    ],
    maker: Maker::Fitted(&FITTING),
};

static FITTING: Fitting = Fitting {
    frames: 2048,
    ..Fitting::single(
        &[Member {
            scores: &["one-class SVM"],
            fit: |spec, sample| Box::new(OneClassSvm::fit(sample, spec.whole("n"), spec.value("nu"))),
        }],
        super::OUTSIDE,
    )
};

/// The half-space.
#[derive(Debug, Clone)]
pub(crate) struct OneClassSvm {
    space: FeatureSpace,
    /// One weight a dimension.
    weights: Vec<f32>,
    /// Inner product at the border.
    border: f64,
}

impl OneClassSvm {
    /// Fits a machine on grams of 1 to `order` calls that may leave out a share `nu` of the frames. The same sample gives the same machine, to the bit.
    pub(crate) fn fit(sample: &FrameSample, order: u32, nu: f64) -> Self {
        let space = FeatureSpace::of(sample, order, Weighting::Set, MAX_DIMENSIONS);
        let vectors: Vec<SparseVector> = sample.frames().map(|(frame, _)| space.vector(frame)).collect();
        // Each example's bound in units of one frame; their mean is 1, so that numbers do not depend on how much was learned.
        let frames: f64 = sample.frames().map(|(_, count)| count as f64).sum();
        let unit = vectors.len() as f64 / frames.max(1.0);
        let upper: Vec<f64> = sample.frames().map(|(_, count)| count as f64 * unit).collect();
        let row = |example: usize| {
            let mut dense = vec![0.0f32; space.dimensions()];
            for &(dimension, value) in &vectors[example].entries {
                dense[dimension as usize] = value;
            }
            let with = |other: &SparseVector| -> f64 {
                other.entries.iter().map(|&(place, value)| f64::from(value * dense[place as usize])).sum()
            };
            vectors.iter().map(|other| with(other) as f32).collect()
        };
        let solution = smo::solve(&upper, nu * vectors.len() as f64, row);
        let mut weights = vec![0.0f64; space.dimensions()];
        for (vector, alpha) in vectors.iter().zip(&solution.alpha) {
            if *alpha > 0.0 {
                for &(dimension, value) in &vector.entries {
                    weights[dimension as usize] += alpha * f64::from(value);
                }
            }
        }
        let weights = weights.into_iter().map(|weight| weight as f32).collect();
        Self { space, weights, border: solution.border }
    }
}

impl FrameScore for OneClassSvm {
    /// How far a frame lies out: 1 at the border, less inside, 2 where it has nothing in common with what is normal.
    fn score(&self, calls: &[Symbol]) -> f64 {
        if self.border <= 0.0 {
            return 2.0;
        }
        let vector = self.space.vector(calls);
        let product: f64 = vector
            .entries
            .iter()
            .map(|&(dimension, value)| f64::from(value) * f64::from(self.weights[dimension as usize]))
            .sum();
        2.0 - product / self.border
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn scores_do_not_depend_on_the_order_of_training(
            frames in proptest::collection::vec(proptest::collection::vec(0u16..5, 1..25), 1..20),
            probe in proptest::collection::vec(0u16..7, 0..40),
            order in 1u32..=4,
            nu in 0.01f64..=0.5,
        ) {
            let machine = OneClassSvm::fit(&FrameSample::of(&frames), order, nu);
            let score = machine.score(&probe);
            prop_assert!(score <= 2.0 && score.is_finite());
            let mut backwards = frames.clone();
            backwards.reverse();
            prop_assert_eq!(OneClassSvm::fit(&FrameSample::of(&backwards), order, nu).score(&probe).to_bits(), score.to_bits());
        }
    }

    #[test]
    fn at_most_the_share_nu_of_the_training_frames_lies_outside() {
        let frames: Vec<Vec<Symbol>> = (0..200u16)
            .map(|frame| (0..60).map(|place| (place * (frame % 7 + 1) + frame / 60) % 11).collect())
            .collect();
        let machine = OneClassSvm::fit(&FrameSample::of(&frames), 3, 0.1);
        let outside = frames.iter().filter(|frame| machine.score(frame) > 1.001).count();
        assert!(outside <= 20, "{outside} of 200 lie outside");
        let strange: Vec<Symbol> = (0..60).map(|place| 20 + place % 9).collect();
        assert!((machine.score(&strange) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_machine_that_learned_nothing_finds_everything_strange() {
        let machine = OneClassSvm::fit(&FrameSample::of(&[]), 3, 0.1);
        assert!((machine.score(&[1, 2, 3]) - 2.0).abs() < 1e-9);
    }
}

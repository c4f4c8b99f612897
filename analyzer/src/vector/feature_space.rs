//! The grams known from training as dimensions, and frames as sparse vectors of unit length in them.
//!
//! Grams that training never saw have no dimension, but they have a share of the vector's length: a frame full of new grams is far
//! from everything, as it should be, although none of its new grams has a coordinate.

use super::{
    features::{Gram, gram_counts},
    frame_sample::FrameSample,
    gram_table::GramTable,
};
use crate::alphabet::Symbol;

/// Most dimensions.
pub(crate) const MAX_DIMENSIONS: usize = 1 << 20;

/// How often a gram occurs in a frame becomes its coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weighting {
    /// Whether it occurs.
    Set,
    /// How often it occurs.
    Frequency,
    /// The logarithm of how often, times the logarithm of how few training frames have it (G. Salton, C. Buckley, "Term-weighting
    /// approaches in automatic text retrieval", Information Processing & Management 24, 1988).
    TfIdf,
}

/// Dimensions of vectors.
#[derive(Debug, Clone)]
pub(crate) struct FeatureSpace {
    order: u32,
    weighting: Weighting,
    grams: Vec<Gram>,
    /// Weight of each gram, and of one that is unknown.
    weights: Vec<f32>,
    unknown_weight: f32,
    table: GramTable,
}

/// A frame in a space, of length 1 together with what the space does not know.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SparseVector {
    /// Dimensions, ascending, with coordinates.
    pub(crate) entries: Vec<(u32, f32)>,
    /// Share of the squared length that lies in unknown grams.
    pub(crate) unknown: f32,
}

impl FeatureSpace {
    /// The space of the grams of these frames; at most `limit` of them, those that the most frames have.
    pub(crate) fn of(sample: &FrameSample, order: u32, weighting: Weighting, limit: usize) -> Self {
        let mut frames_with = rustc_hash::FxHashMap::<Gram, u32>::default();
        for (frame, _) in sample.frames() {
            for (gram, _) in gram_counts(frame, order) {
                *frames_with.entry(gram).or_default() += 1;
            }
        }
        let mut counted: Vec<(Gram, u32)> = frames_with.into_iter().collect();
        let limit = limit.min(MAX_DIMENSIONS);
        if counted.len() > limit {
            counted.sort_unstable_by_key(|&(gram, frames)| (std::cmp::Reverse(frames), gram));
            counted.truncate(limit);
        }
        counted.sort_unstable();
        let frames = sample.distinct() as f64;
        let weight = |with: u32| match weighting {
            Weighting::Set | Weighting::Frequency => 1.0,
            Weighting::TfIdf => (((1.0 + frames) / (1.0 + f64::from(with))).ln() + 1.0) as f32,
        };
        let weights = counted.iter().map(|&(_, with)| weight(with)).collect();
        let grams: Vec<Gram> = counted.into_iter().map(|(gram, _)| gram).collect();
        let table = GramTable::new(&grams);
        Self { order, weighting, grams, weights, unknown_weight: weight(0), table }
    }

    /// Number of dimensions.
    pub(crate) fn dimensions(&self) -> usize {
        self.grams.len()
    }

    /// The vector of a frame.
    pub(crate) fn vector(&self, calls: &[Symbol]) -> SparseVector {
        let mut vector = SparseVector::default();
        let (mut squares, mut unknown_squares) = (0.0f64, 0.0f64);
        for (gram, count) in gram_counts(calls, self.order) {
            let amount = match self.weighting {
                Weighting::Set => 1.0,
                Weighting::Frequency => f64::from(count),
                Weighting::TfIdf => 1.0 + f64::from(count).ln(),
            };
            if let Some(dimension) = self.table.get(gram) {
                let coordinate = amount * f64::from(self.weights[dimension as usize]);
                vector.entries.push((dimension, coordinate as f32));
                squares += coordinate * coordinate;
            } else {
                let coordinate = amount * f64::from(self.unknown_weight);
                unknown_squares += coordinate * coordinate;
            }
        }
        let length = (squares + unknown_squares).sqrt();
        if length > 0.0 {
            for (_, coordinate) in &mut vector.entries {
                *coordinate = (f64::from(*coordinate) / length) as f32;
            }
            vector.unknown = (unknown_squares / (squares + unknown_squares)) as f32;
        }
        vector.entries.sort_unstable_by_key(|&(dimension, _)| dimension);
        vector
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn space(frames: &[Vec<Symbol>], order: u32, weighting: Weighting) -> FeatureSpace {
        FeatureSpace::of(&FrameSample::of(frames), order, weighting, 4096)
    }

    fn weighting() -> impl Strategy<Value = Weighting> {
        prop_oneof![Just(Weighting::Set), Just(Weighting::Frequency), Just(Weighting::TfIdf)]
    }

    proptest! {
        #[test]
        fn a_vector_has_length_one_together_with_what_is_unknown(
            frames in proptest::collection::vec(proptest::collection::vec(0u16..4, 1..20), 1..8),
            probe in proptest::collection::vec(0u16..6, 1..40),
            order in 1u32..=4,
            weighting in weighting(),
        ) {
            let space = space(&frames, order, weighting);
            let vector = space.vector(&probe);
            let known: f64 = vector.entries.iter().map(|&(_, x)| f64::from(x) * f64::from(x)).sum();
            prop_assert!((known + f64::from(vector.unknown) - 1.0).abs() < 1e-5);
            prop_assert!(vector.entries.is_sorted_by(|a, b| a.0 < b.0));
        }
    }

    #[test]
    fn a_set_forgets_how_often_and_rare_grams_weigh_more_in_tf_idf() {
        let frames = [vec![0, 1], vec![0, 2], vec![0, 0]];
        let set = space(&frames, 1, Weighting::Set);
        assert_eq!(set.vector(&[0, 1, 1, 1]), set.vector(&[1, 0]));
        let frequency = space(&frames, 1, Weighting::Frequency).vector(&[0, 1, 1, 1]);
        assert!((frequency.entries[1].1 / frequency.entries[0].1 - 3.0).abs() < 1e-5);
        let tf_idf = space(&frames, 1, Weighting::TfIdf).vector(&[0, 1]);
        assert!(tf_idf.entries[1].1 > tf_idf.entries[0].1 * 1.5);
    }
}

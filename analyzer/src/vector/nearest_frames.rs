//! Distance to the nearest normal frames.
//!
//! A frame is as strange as its distance to the `k` training frames nearest to it (S. Ramaswamy, R. Rastogi, K. Shim, "Efficient
//! algorithms for mining outliers from large data sets", SIGMOD 2000; for system calls Y. Liao, V. Vemuri, "Use of k-nearest
//! neighbor classifier for intrusion detection", Computers & Security 21, 2002). Sets are compared by the share of their grams that they do
//! not have in common (P. Jaccard, 1912), frequencies by their angle.
//!
//! Distances to all training frames are found together, gram by gram, from lists of the frames that have each gram: exact, and cheap
//! because frames share few grams.

use super::{
    FrameScore,
    feature_space::{FeatureSpace, MAX_DIMENSIONS, SparseVector, Weighting},
    frame_sample::FrameSample,
};
use crate::{
    alphabet::Symbol,
    fitted::{Fitting, FrameModel, Member},
    registry::{DetectorInfo, Maker, ModelSpec, ParameterInfo},
};

const PARAMETERS: &[ParameterInfo] = &[
    ParameterInfo::whole("n", 1, (1, 4)).about("longest n-gram, calls"),
    ParameterInfo::whole("k", 1, (1, 64)).about("neighbours whose distance counts"),
];

/// Its line of the table.
pub(crate) const SETS: DetectorInfo = DetectorInfo {
    name: "knn",
    title: "Nearest neighbour on sets",
    description: "Distance of the set of n-grams in a frame to the nearest sets of normal frames (Ramaswamy, Rastogi and Shim 2000; Liao and Vemuri 2002).",
    parameters: PARAMETERS,
    maker: Maker::Fitted(&SETS_FITTING),
};

static SETS_FITTING: Fitting = Fitting::single(
    &[Member { scores: &["nearest neighbour"], fit: |spec, sample| fit(spec, sample, Weighting::Set) }],
    super::DISTANCE,
);

/// Its line of the table.
pub(crate) const FREQUENCIES: DetectorInfo = DetectorInfo {
    name: "knnfreq",
    title: "Nearest neighbour on frequencies",
    description: "Angle between the frequencies of n-grams in a frame and those of the nearest normal frames (Liao and Vemuri 2002).",
    parameters: PARAMETERS,
    maker: Maker::Fitted(&FREQUENCIES_FITTING),
};

static FREQUENCIES_FITTING: Fitting = Fitting::single(
    &[Member {
        scores: &["nearest neighbour by frequency"],
        fit: |spec, sample| fit(spec, sample, Weighting::Frequency),
    }],
    super::DISTANCE,
);

/// Its line of the table.
pub(crate) const TF_IDF: DetectorInfo = DetectorInfo {
    name: "tfidf",
    title: "n-gram frequencies (TF-IDF)",
    description: "Angle between the n-grams of a frame, weighted by how often they occur in it and in how few normal frames, and those of the nearest normal frames (Salton and Buckley 1988; Liao and Vemuri 2002).",
    parameters: PARAMETERS,
    maker: Maker::Fitted(&TF_IDF_FITTING),
};

static TF_IDF_FITTING: Fitting = Fitting::single(
    &[Member { scores: &["n-gram frequencies"], fit: |spec, sample| fit(spec, sample, Weighting::TfIdf) }],
    super::DISTANCE,
);

fn fit(spec: &ModelSpec, sample: &FrameSample, weighting: Weighting) -> Box<dyn FrameModel> {
    Box::new(NearestFrames::fit(sample, spec.whole("n"), weighting, spec.whole("k")))
}

/// Normal frames as vectors, equal ones once.
#[derive(Debug, Clone)]
pub(crate) struct NearestFrames {
    space: FeatureSpace,
    weighting: Weighting,
    neighbours: u32,
    frames: Vec<(SparseVector, u64)>,
    /// For each dimension: the frames that have it, with their coordinates.
    postings: Vec<Vec<(u32, f32)>>,
}

impl NearestFrames {
    /// Remembers the frames of a sample. The same sample gives the same scores, to the bit.
    pub(crate) fn fit(sample: &FrameSample, order: u32, weighting: Weighting, neighbours: u32) -> Self {
        let space = FeatureSpace::of(sample, order, weighting, MAX_DIMENSIONS);
        let mut frames: Vec<(SparseVector, u64)> =
            sample.frames().map(|(frame, count)| (space.vector(frame), count)).collect();
        let key = |vector: &SparseVector| -> Vec<(u32, u32)> {
            vector.entries.iter().map(|&(dimension, value)| (dimension, value.to_bits())).collect()
        };
        frames.sort_by_cached_key(|(vector, _)| key(vector));
        frames.dedup_by(|other, kept| {
            let same = key(&other.0) == key(&kept.0);
            if same {
                kept.1 = kept.1.saturating_add(other.1);
            }
            same
        });
        Self::new(space, weighting, neighbours, frames)
    }

    fn new(
        space: FeatureSpace,
        weighting: Weighting,
        neighbours: u32,
        frames: Vec<(SparseVector, u64)>,
    ) -> Self {
        let mut postings = vec![Vec::new(); space.dimensions()];
        for (number, (vector, _)) in frames.iter().enumerate() {
            for &(dimension, value) in &vector.entries {
                postings[dimension as usize].push((number as u32, value));
            }
        }
        Self { space, weighting, neighbours: neighbours.max(1), frames, postings }
    }

    /// Distance to every frame, with its number.
    fn distances(&self, calls: &[Symbol]) -> Vec<(f64, u32)> {
        let vector = self.space.vector(calls);
        let mut products = vec![0.0f32; self.frames.len()];
        let is_set = self.weighting == Weighting::Set;
        for &(dimension, value) in &vector.entries {
            for &(frame, other) in &self.postings[dimension as usize] {
                products[frame as usize] += if is_set { 1.0 } else { value * other };
            }
        }
        // A set's vector has equal coordinates, so the number of its grams follows from the number of known ones.
        let size = vector.entries.len() as f64 / f64::from(1.0 - vector.unknown).max(f64::MIN_POSITIVE);
        let size = if vector.entries.is_empty() { 1.0 } else { size.round() };
        let distance = |(number, &product): (usize, &f32)| {
            let product = f64::from(product);
            let distance = if is_set {
                1.0 - product / (size + self.frames[number].0.entries.len() as f64 - product)
            } else {
                (1.0 - product).max(0.0)
            };
            (distance, number as u32)
        };
        products.iter().enumerate().map(distance).collect()
    }
}

impl FrameScore for NearestFrames {
    /// Mean distance to the nearest neighbours: 0 for a frame like those of training, 1 for one that shares nothing with any.
    fn score(&self, calls: &[Symbol]) -> f64 {
        let mut left = u64::from(self.neighbours);
        let mut distances = self.distances(calls);
        if left == 1 {
            return distances.iter().map(|&(distance, _)| distance).fold(1.0, f64::min);
        }
        distances.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut sum = 0.0;
        for (distance, frame) in distances {
            let taken = left.min(self.frames[frame as usize].1);
            sum += distance * taken as f64;
            left -= taken;
            if left == 0 {
                break;
            }
        }
        (sum + left as f64) / f64::from(self.neighbours)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vector::features::{Gram, gram_counts};

    /// Jaccard distances to every frame as one would write them down.
    fn naive(frames: &[Vec<Symbol>], probe: &[Symbol], order: u32, neighbours: usize) -> f64 {
        let of = |calls: &[Symbol]| -> std::collections::BTreeSet<Gram> {
            gram_counts(calls, order).into_iter().map(|(gram, _)| gram).collect()
        };
        let probe = of(probe);
        let distance = |frame: &Vec<Symbol>| {
            let frame = of(frame);
            1.0 - frame.intersection(&probe).count() as f64 / frame.union(&probe).count() as f64
        };
        let mut distances: Vec<f64> = frames.iter().map(distance).collect();
        distances.resize(distances.len().max(neighbours), 1.0);
        distances.sort_by(f64::total_cmp);
        distances[..neighbours].iter().sum::<f64>() / neighbours as f64
    }

    proptest! {
        #[test]
        fn distances_between_sets_are_those_of_jaccard(
            frames in proptest::collection::vec(proptest::collection::vec(0u16..6, 1..12), 1..15),
            probe in proptest::collection::vec(0u16..8, 1..20),
            order in 1u32..=3,
            neighbours in 1u32..5,
        ) {
            let model = NearestFrames::fit(&FrameSample::of(&frames), order, Weighting::Set, neighbours);
            let expected = naive(&frames, &probe, order, neighbours as usize);
            prop_assert!((model.score(&probe) - expected).abs() < 1e-9, "{} {expected}", model.score(&probe));
        }

        #[test]
        fn scores_do_not_depend_on_the_order_of_training(
            frames in proptest::collection::vec(proptest::collection::vec(0u16..6, 1..12), 1..15),
            probe in proptest::collection::vec(0u16..8, 1..20),
            neighbours in 1u32..5,
            weighting in prop_oneof![Just(Weighting::Set), Just(Weighting::Frequency), Just(Weighting::TfIdf)],
        ) {
            let model = NearestFrames::fit(&FrameSample::of(&frames), 2, weighting, neighbours);
            let score = model.score(&probe);
            prop_assert!((0.0..=1.0).contains(&score));
            let mut backwards = frames.clone();
            backwards.reverse();
            let other = NearestFrames::fit(&FrameSample::of(&backwards), 2, weighting, neighbours);
            prop_assert_eq!(other.score(&probe).to_bits(), score.to_bits());
        }
    }

    #[test]
    fn a_frame_of_training_has_no_distance_and_one_that_shares_nothing_the_greatest() {
        let frames = [vec![0, 1, 2, 1], vec![3, 4, 3]];
        for weighting in [Weighting::Set, Weighting::Frequency, Weighting::TfIdf] {
            let model = NearestFrames::fit(&FrameSample::of(&frames), 2, weighting, 1);
            assert!(model.score(&frames[0]) < 1e-6);
            assert!((model.score(&[7, 8]) - 1.0).abs() < 1e-9);
        }
    }
}

//! Models over whole frames: a frame, or a labelled trace, becomes one vector of the n-grams in it.
//!
//! | module | idea |
//! |---|---|
//! | `features` | grams of one to four calls as numbers |
//! | `frame_sample` | the bounded sample of frames that every model is fitted to |
//! | `feature_space` | grams as dimensions, frames as vectors of unit length |
//! | `one_class_svm`, `smo` | one-class support vector machine |
//! | `nearest_frames` | distance to the nearest normal frames |
//! | `dense` | frames as points with few enough coordinates to write them all out |
//! | `principal_components`, `gaussian_mixture` | what main directions leave over, mixtures in their subspace |
//! | `cluster_centres`, `density_clusters` | k-means, DBSCAN |
//! | `isolation_forest` | random cuts |
//! | `supervised`, `random_forest`, `logistic_regression` | learning from labels, and how good it is |
//! | `decision_tree`, `random` | what forests are made of |
//! | `call_mix`, `local_calibration` | p-values among frames that behave alike, and their mean |
//!
//! Models that learn what is normal are fitted to a `FrameSample` and give a frame's calls a score: the higher, the stranger.
//! Each has its line of the table of detectors in its file; `fitted` makes a detector of anything that can fit and score.

use crate::{alphabet::Symbol, detector::RawScale};

pub(crate) mod call_mix;
pub(crate) mod cluster_centres;
pub(crate) mod decision_tree;
pub(crate) mod dense;
pub(crate) mod density_clusters;
pub(crate) mod feature_space;
pub(crate) mod features;
pub(crate) mod frame_sample;
pub(crate) mod gaussian_mixture;
pub(crate) mod gram_table;
pub(crate) mod isolation_forest;
pub(crate) mod local_calibration;
pub(crate) mod logistic_regression;
pub(crate) mod nearest_frames;
pub(crate) mod one_class_svm;
pub(crate) mod principal_components;
#[cfg(test)]
mod properties;
pub(crate) mod random;
pub(crate) mod random_forest;
pub(crate) mod smo;
pub mod supervised;

/// A model that gives a frame one score.
pub(crate) trait FrameScore {
    /// How strange a frame's calls are. It is finite; the higher, the stranger.
    fn score(&self, calls: &[Symbol]) -> f64;
}

/// The scale of distances, which go from 0 to 1 or a little beyond.
pub(crate) const DISTANCE: RawScale = RawScale {
    units: 16_384,
    name: "of the way to where nothing is shared with normal frames",
    least_mean_excess: 0.03,
    least_threshold: 0.05,
    highest_threshold: 1.0,
};

/// The scale of what has a border: 1 is the border, 2 where nothing is shared with what is normal.
pub(crate) const OUTSIDE: RawScale = RawScale {
    units: 16_384,
    name: "times as far out as the border",
    least_mean_excess: 0.02,
    least_threshold: 1.0,
    highest_threshold: 2.0,
};

/// The scale of standard deviations.
pub(crate) const DEVIATIONS: RawScale = RawScale {
    units: 256,
    name: "standard deviations",
    least_mean_excess: 1.0,
    least_threshold: 3.0,
    highest_threshold: 250.0,
};

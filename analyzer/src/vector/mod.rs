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
//! | `decision_tree` | what forests are made of |
//! | `call_mix`, `local_calibration` | p-values among frames that behave alike, and their mean |
//!
//! All models are used alike: learn frames into a [`frame_sample::FrameSample`], `fit` to it, `score` a frame's calls (higher is
//! stranger). `to_content` and `from_content` are what bytes hold, checked when it comes back.

pub mod call_mix;
pub mod cluster_centres;
pub mod decision_tree;
pub mod dense;
pub mod density_clusters;
pub mod feature_space;
pub mod features;
pub mod frame_sample;
pub mod gaussian_mixture;
pub mod gram_table;
pub mod isolation_forest;
pub mod local_calibration;
pub mod logistic_regression;
pub mod nearest_frames;
pub mod one_class_svm;
pub mod principal_components;
#[cfg(test)]
mod properties;
pub mod random_forest;
pub mod smo;
pub mod supervised;

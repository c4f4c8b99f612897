//! Frames as points: the vectors of a [`FeatureSpace`] with every coordinate written out, for models that compute with all of them.

use ndarray::Array2;

use super::{
    feature_space::{FeatureSpace, Weighting},
    frame_sample::FrameSample,
};
use crate::alphabet::Symbol;

/// Most coordinates of a point.
pub const MAX_COORDINATES: usize = 512;

/// The coordinates of points.
#[derive(Debug, Clone)]
pub struct DenseSpace {
    space: FeatureSpace,
}

/// A frame as a point. Together with what lies in unknown grams it has length 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Coordinates.
    pub coordinates: Vec<f64>,
    /// Share of the squared length that lies in unknown grams. It counts as distance from everything.
    pub unknown: f64,
}

impl DenseSpace {
    /// The grams of 1 to `order` calls that the most frames have.
    pub fn of(sample: &FrameSample, order: u32, weighting: Weighting) -> Self {
        Self { space: FeatureSpace::of(sample, order, weighting, MAX_COORDINATES) }
    }

    /// Number of coordinates.
    pub fn dimensions(&self) -> usize {
        self.space.dimensions()
    }

    /// The features.
    pub fn features(&self) -> &FeatureSpace {
        &self.space
    }

    /// The point of a frame.
    pub fn point(&self, calls: &[Symbol]) -> Point {
        let vector = self.space.vector(calls);
        let mut coordinates = vec![0.0; self.dimensions()];
        for &(dimension, value) in &vector.entries {
            coordinates[dimension as usize] = f64::from(value);
        }
        let unknown = if vector.entries.is_empty() { 1.0 } else { f64::from(vector.unknown) };
        Point { coordinates, unknown }
    }

    /// One row for each of the first `limit` different frames.
    pub fn matrix(&self, sample: &FrameSample, limit: usize) -> Array2<f64> {
        let mut matrix = Array2::zeros((sample.distinct().min(limit), self.dimensions()));
        for (mut row, (frame, _)) in matrix.rows_mut().into_iter().zip(sample.frames()) {
            for (place, value) in row.iter_mut().zip(self.point(frame).coordinates) {
                *place = value;
            }
        }
        matrix
    }
}

/// Squared distance of coordinates.
pub(crate) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

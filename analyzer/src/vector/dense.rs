//! Frames as points: the vectors of a [`FeatureSpace`] with every coordinate written out, for models that compute with all of them.

use ndarray::Array2;

use super::{
    feature_space::{FeatureSpace, SparseVector, Weighting},
    frame_sample::FrameSample,
};
use crate::alphabet::Symbol;

/// Most coordinates of a point.
pub(crate) const MAX_COORDINATES: usize = 512;

/// The coordinates of points.
#[derive(Debug, Clone)]
pub(crate) struct DenseSpace {
    space: FeatureSpace,
}

/// A frame as a point. Together with what lies in unknown grams it has length 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    /// Coordinates.
    pub(crate) coordinates: Vec<f64>,
    /// Share of the squared length that lies in unknown grams. It counts as distance from everything.
    pub(crate) unknown: f64,
}

impl DenseSpace {
    /// The grams of 1 to `order` calls that the most frames have.
    pub(crate) fn of(sample: &FrameSample, order: u32, weighting: Weighting) -> Self {
        Self { space: FeatureSpace::of(sample, order, weighting, MAX_COORDINATES) }
    }

    /// Number of coordinates.
    pub(crate) fn dimensions(&self) -> usize {
        self.space.dimensions()
    }

    /// The features.
    pub(crate) fn features(&self) -> &FeatureSpace {
        &self.space
    }

    /// The point of a frame.
    pub(crate) fn point(&self, calls: &[Symbol]) -> Point {
        let vector = self.space.vector(calls);
        let mut coordinates = vec![0.0; self.dimensions()];
        for &(dimension, value) in &vector.entries {
            coordinates[dimension as usize] = f64::from(value);
        }
        let unknown = if vector.entries.is_empty() { 1.0 } else { f64::from(vector.unknown) };
        Point { coordinates, unknown }
    }

    /// One row for each of the first `limit` different frames.
    pub(crate) fn matrix(&self, sample: &FrameSample, limit: usize) -> Array2<f64> {
        let mut matrix = Array2::zeros((sample.distinct().min(limit), self.dimensions()));
        for (mut row, (frame, _)) in matrix.rows_mut().into_iter().zip(sample.frames()) {
            for (place, value) in row.iter_mut().zip(self.point(frame).coordinates) {
                *place = value;
            }
        }
        matrix
    }
}

/// Points to find the nearest of.
///
/// Frames have few of all grams, so inner products are summed gram by gram over all points at once, from columns that lie together in
/// memory.
#[derive(Debug, Clone)]
pub(crate) struct Landmarks {
    /// For each dimension the coordinates of all points.
    columns: Vec<Vec<f64>>,
    /// Squared length of each point.
    squares: Vec<f64>,
}

impl Landmarks {
    /// These points, each as long as there are dimensions.
    pub(crate) fn new(points: &[Vec<f64>], dimensions: usize) -> Self {
        let column = |dimension: usize| points.iter().map(|point| point[dimension]).collect();
        let square = |point: &Vec<f64>| point.iter().map(|x| x * x).sum();
        Self { columns: (0..dimensions).map(column).collect(), squares: points.iter().map(square).collect() }
    }

    /// Squared distance of a frame to each point; what lies in unknown grams counts as distance from all of them.
    pub(crate) fn squared_distances(&self, vector: &SparseVector) -> Vec<f64> {
        let unknown = if vector.entries.is_empty() { 1.0 } else { f64::from(vector.unknown) };
        let own: f64 = vector.entries.iter().map(|&(_, value)| f64::from(value) * f64::from(value)).sum();
        let mut distances: Vec<f64> = self.squares.iter().map(|square| square + own + unknown).collect();
        for &(dimension, value) in &vector.entries {
            let twice = 2.0 * f64::from(value);
            for (distance, coordinate) in distances.iter_mut().zip(&self.columns[dimension as usize]) {
                *distance -= twice * coordinate;
            }
        }
        distances
    }

    /// Distance to the nearest point; 1 where there is none.
    pub(crate) fn nearest(&self, vector: &SparseVector) -> f64 {
        let nearest = self.squared_distances(vector).into_iter().fold(f64::INFINITY, f64::min);
        if nearest.is_finite() { nearest.max(0.0).sqrt() } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn distances_are_those_of_the_points_written_out(
            frames in proptest::collection::vec(proptest::collection::vec(0u16..5, 1..12), 1..12),
            probe in proptest::collection::vec(0u16..7, 1..15),
        ) {
            let sample = FrameSample::of(&frames);
            let space = DenseSpace::of(&sample, 2, Weighting::Set);
            let points: Vec<Vec<f64>> = sample.frames().map(|(frame, _)| space.point(frame).coordinates).collect();
            let landmarks = Landmarks::new(&points, space.dimensions());
            let here = space.point(&probe);
            let distances = landmarks.squared_distances(&space.features().vector(&probe));
            prop_assert_eq!(distances.len(), points.len());
            for (distance, point) in distances.iter().zip(&points) {
                let pairs = here.coordinates.iter().zip(point);
                let expected: f64 = pairs.map(|(x, y)| (x - y) * (x - y)).sum::<f64>() + here.unknown;
                prop_assert!((distance - expected).abs() < 1e-9);
            }
        }
    }
}

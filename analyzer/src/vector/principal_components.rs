//! Principal components: how much of a frame cannot be put together from the main directions of normal frames.
//!
//! The score is the length of what is left of a frame's vector after it was projected to the subspace in which normal frames
//! vary most (M.-L. Shyu, S.-C. Chen, K. Sarinnapakorn, L. Chang, "A novel anomaly detection scheme based on principal component
//! classifier", ICDM 2003). Components are found by `linfa-reduction`; scoring is ours, since a profile must be checked when it is read.

use linfa::{DatasetBase, traits::Fit};
use linfa_reduction::Pca;
use ndarray::Array2;

use super::{
    FrameScore,
    dense::{DenseSpace, Point},
    feature_space::Weighting,
    frame_sample::{FrameSample, MAX_FRAMES},
};
use crate::{
    alphabet::Symbol,
    fitted::{Fitting, Member},
    registry::{DetectorInfo, Maker, ParameterInfo},
};

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "pca",
    title: "Principal components",
    description: "What is left of a frame outside the subspace in which normal frames vary most (Shyu et al. 2003).",
    parameters: &[
        ParameterInfo::whole("n", 1, (1, 4)).about("longest n-gram, calls"),
        ParameterInfo::whole("components", 10, (1, MAX_COMPONENTS)).about("main directions"),
    ],
    maker: Maker::Fitted(&FITTING),
};

static FITTING: Fitting = Fitting::single(
    &[Member {
        scores: &["principal components"],
        fit: |spec, sample| {
            let (n, components) = (spec.whole("n"), spec.whole("components"));
            Box::new(PrincipalComponents::fit(sample, n, Weighting::Set, components))
        },
    }],
    super::DISTANCE,
);

/// Most components.
pub(crate) const MAX_COMPONENTS: u32 = 64;

/// The main directions of normal frames.
#[derive(Debug, Clone)]
pub(crate) struct PrincipalComponents {
    space: DenseSpace,
    mean: Vec<f64>,
    /// Unit vectors, orthogonal to one another.
    components: Vec<Vec<f64>>,
}

impl PrincipalComponents {
    /// Finds at most `components` directions of the sample, on grams of 1 to `order` calls.
    pub(crate) fn fit(sample: &FrameSample, order: u32, weighting: Weighting, components: u32) -> Self {
        let space = DenseSpace::of(sample, order, weighting);
        let matrix = space.matrix(sample, MAX_FRAMES);
        let (rows, columns) = matrix.dim();
        let mean: Vec<f64> =
            matrix.columns().into_iter().map(|column| column.sum() / rows.max(1) as f64).collect();
        // As many directions as there are to be found: the solver breaks down where nothing varies any more.
        let count = (components.clamp(1, MAX_COMPONENTS) as usize).min(columns / 3).min(rows / 3);
        let components = if count == 0 { Vec::new() } else { directions(matrix, count) };
        Self { space, mean, components }
    }

    /// Coordinates along the directions, and the squared length of what is left.
    pub(crate) fn project(&self, point: &Point) -> (Vec<f64>, f64) {
        let centred: Vec<f64> = point.coordinates.iter().zip(&self.mean).map(|(x, mean)| x - mean).collect();
        let along = |component: &Vec<f64>| component.iter().zip(&centred).map(|(c, x)| c * x).sum::<f64>();
        let coordinates: Vec<f64> = self.components.iter().map(along).collect();
        let squares = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>();
        let left = (squares(&centred) - squares(&coordinates)).max(0.0) + point.unknown;
        (coordinates, left)
    }

    /// The coordinates in which points are given.
    pub(crate) fn space(&self) -> &DenseSpace {
        &self.space
    }

    /// Number of directions.
    pub(crate) fn count(&self) -> usize {
        self.components.len()
    }
}

impl FrameScore for PrincipalComponents {
    /// How much of a frame is left, from 0 to a little above 1.
    fn score(&self, calls: &[Symbol]) -> f64 {
        let point = self.space.point(calls);
        self.project(&point).1.sqrt()
    }
}

/// Directions of a matrix that has more than one row, made orthonormal: the solver's are so only to its tolerance.
fn directions(matrix: Array2<f64>, count: usize) -> Vec<Vec<f64>> {
    let fitted = Pca::params(count).fit(&DatasetBase::from(matrix));
    let Ok(fitted) = fitted else { return Vec::new() };
    let mut directions: Vec<Vec<f64>> = Vec::with_capacity(count);
    for row in fitted.components().rows() {
        let mut direction = row.to_vec();
        for other in &directions {
            let shared: f64 = direction.iter().zip(other).map(|(x, y)| x * y).sum();
            direction.iter_mut().zip(other).for_each(|(x, y)| *x -= shared * y);
        }
        let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length.is_finite() && length > 1e-6 {
            for x in &mut direction {
                *x /= length;
            }
            directions.push(direction);
        }
    }
    directions
}

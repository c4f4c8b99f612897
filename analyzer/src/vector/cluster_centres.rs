//! k-means: distance to the nearest of a few centres of normal frames.
//!
//! (L. Portnoy, E. Eskin, S. Stolfo, "Intrusion detection with unlabeled data using clustering", DMSA 2001.) Centres are found by
//! `linfa-clustering`, beginning with k-means++.

use linfa::{DatasetBase, ParamGuard, traits::Fit};
use linfa_clustering::KMeans;
use ndarray::Array2;
use rand_xoshiro::{Xoshiro256Plus, rand_core::SeedableRng};

use super::{
    FrameScore,
    dense::{DenseSpace, Landmarks},
    feature_space::Weighting,
    frame_sample::{FrameSample, MAX_FRAMES},
};
use crate::{
    alphabet::Symbol,
    fitted::{Fitting, Member},
    registry::{DetectorInfo, Maker, ParameterInfo},
};

/// Decides about everything that is left to chance.
const SEED: u64 = 0;

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "kmeans",
    title: "k-means",
    description: "Distance to the nearest of a few centres of normal frames (Portnoy, Eskin and Stolfo 2001).",
    parameters: &[
        ParameterInfo::whole("n", 1, (1, 4)).about("longest n-gram, calls"),
        ParameterInfo::whole("k", 32, (1, MAX_CENTRES)).about("centres"),
    ],
    maker: Maker::Fitted(&FITTING),
};

static FITTING: Fitting = Fitting::single(
    &[Member {
        scores: &["k-means"],
        fit: |spec, sample| {
            let (n, centres) = (spec.whole("n"), spec.whole("k"));
            Box::new(ClusterCentres::fit(sample, n, Weighting::Set, centres, SEED))
        },
    }],
    super::DISTANCE,
);

/// Most centres.
pub(crate) const MAX_CENTRES: u32 = 256;

/// Steps until centres must stand still.
const MAX_STEPS: u64 = 100;

/// Centres of normal frames.
#[derive(Debug, Clone)]
pub(crate) struct ClusterCentres {
    space: DenseSpace,
    centres: Landmarks,
}

impl ClusterCentres {
    /// Finds at most `centres` centres. The same sample and seed give the same ones.
    pub(crate) fn fit(
        sample: &FrameSample,
        order: u32,
        weighting: Weighting,
        centres: u32,
        seed: u64,
    ) -> Self {
        let space = DenseSpace::of(sample, order, weighting);
        let matrix = space.matrix(sample, MAX_FRAMES);
        let count = (centres.clamp(1, MAX_CENTRES) as usize).min(matrix.nrows());
        let rows =
            |matrix: &Array2<f64>| matrix.rows().into_iter().map(|row| row.to_vec()).collect::<Vec<_>>();
        // With as many centres as frames there is nothing to find.
        let centres = if count == matrix.nrows() || space.dimensions() == 0 {
            rows(&matrix)
        } else {
            let parameters = KMeans::params_with_rng(count, Xoshiro256Plus::seed_from_u64(seed))
                .n_runs(1)
                .max_n_iterations(MAX_STEPS)
                .tolerance(1e-4)
                .check();
            let dataset = DatasetBase::from(matrix);
            let fitted = parameters.ok().and_then(|parameters| parameters.fit(&dataset).ok());
            fitted.map(|fitted| rows(fitted.centroids())).unwrap_or_default()
        };
        let centres = Landmarks::new(&centres, space.dimensions());
        Self { space, centres }
    }
}

impl FrameScore for ClusterCentres {
    /// Distance to the nearest centre.
    fn score(&self, calls: &[Symbol]) -> f64 {
        self.centres.nearest(&self.space.features().vector(calls))
    }
}

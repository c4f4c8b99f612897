//! DBSCAN: distance to the nearest normal frame that lies in a crowd.
//!
//! As the distance to the nearest neighbour, but frames of training that lie alone teach nothing: one strange frame in the training data
//! does not make its like normal (M. Ester, H.-P. Kriegel, J. Sander, X. Xu, "A density-based algorithm for discovering clusters in
//! large spatial databases with noise", KDD 1996). How near neighbours must be follows from the training data: a quantile of the distances to
//! the k-th neighbour. Clusters are found by `linfa-clustering`.

use linfa::{ParamGuard, traits::Transformer};
use linfa_clustering::Dbscan;

use super::{
    FrameScore,
    dense::{DenseSpace, Landmarks},
    feature_space::Weighting,
    frame_sample::FrameSample,
};
use crate::{
    alphabet::Symbol,
    fitted::{Fitting, Member},
    registry::{DetectorInfo, Maker, ParameterInfo},
};

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "dbscan",
    title: "DBSCAN",
    description: "Distance to the nearest normal frame that lies in a crowd (Ester et al. 1996).",
    parameters: &[
        ParameterInfo::whole("n", 1, (1, 4)).about("longest n-gram, calls"),
        ParameterInfo::whole("neighbours", 4, (1, 64)).about("frames that make a crowd"),
        ParameterInfo::real("quantile", 0.75, (0.1, 1.0)).about(
            "share of normal frames that have so many neighbours at the distance that follows from it",
        ),
    ],
    maker: Maker::Fitted(&FITTING),
};

static FITTING: Fitting = Fitting {
    frames: MAX_CLUSTERED,
    ..Fitting::single(
        &[Member {
            scores: &["DBSCAN"],
            fit: |spec, sample| {
                let (neighbours, quantile) = (spec.whole("neighbours"), spec.value("quantile"));
                Box::new(DensityClusters::fit(sample, spec.whole("n"), Weighting::Set, neighbours, quantile))
            },
        }],
        super::DISTANCE,
    )
};

/// Most frames that neighbours are searched among: the effort grows with their square.
pub(crate) const MAX_CLUSTERED: usize = 2048;

/// Frames that lie in crowds.
#[derive(Debug, Clone)]
pub(crate) struct DensityClusters {
    space: DenseSpace,
    frames: Landmarks,
}

impl DensityClusters {
    /// Finds the frames that lie in crowds: those with `neighbours` others, or near one of these, within the distance at which a share `quantile` of
    /// all frames has so many.
    pub(crate) fn fit(
        sample: &FrameSample,
        order: u32,
        weighting: Weighting,
        neighbours: u32,
        quantile: f64,
    ) -> Self {
        let space = DenseSpace::of(sample, order, weighting);
        let matrix = space.matrix(sample, MAX_CLUSTERED);
        let rows: Vec<Vec<f64>> = matrix.rows().into_iter().map(|row| row.to_vec()).collect();
        let all = Landmarks::new(&rows, space.dimensions());
        let neighbours = (neighbours.max(1) as usize).min(rows.len().saturating_sub(1));
        if neighbours < 1 || space.dimensions() == 0 {
            return Self { space, frames: all };
        }
        let of_frame = |(frame, _): (&[Symbol], u64)| {
            let mut distances = all.squared_distances(&space.features().vector(frame));
            *distances.select_nth_unstable_by(neighbours, f64::total_cmp).1
        };
        let mut to_neighbours: Vec<f64> = sample.frames().take(MAX_CLUSTERED).map(of_frame).collect();
        to_neighbours.sort_unstable_by(f64::total_cmp);
        let place = (quantile.clamp(0.0, 1.0) * (to_neighbours.len() - 1) as f64).round() as usize;
        let tolerance = to_neighbours[place].max(0.0).sqrt().max(1e-6);
        // A frame is its own neighbour here.
        let parameters = Dbscan::params(neighbours + 1).tolerance(tolerance).check();
        let clusters = parameters.ok().map(|parameters| parameters.transform(&matrix));
        let is_crowded = |row: usize| clusters.as_ref().is_none_or(|clusters| clusters[row].is_some());
        let crowded = rows.into_iter().enumerate().filter(|(row, _)| is_crowded(*row));
        let crowded: Vec<Vec<f64>> = crowded.map(|(_, point)| point).collect();
        let frames = Landmarks::new(&crowded, space.dimensions());
        Self { space, frames }
    }
}

impl FrameScore for DensityClusters {
    /// Distance to the nearest frame in a crowd.
    fn score(&self, calls: &[Symbol]) -> f64 {
        self.frames.nearest(&self.space.features().vector(calls))
    }
}

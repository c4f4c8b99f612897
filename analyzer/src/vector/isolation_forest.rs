//! Isolation forest: how few random cuts does it take to set a frame apart from normal ones?
//!
//! (F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation forest", ICDM 2008.) Ours, because the crate `extended-isolation-forest` wants the number of
//! dimensions at compile time, and cannot be checked when it is read back.
//!
//! Random cuts find what lies *outside*. A frame that does less than normal ones lies in their midst: on ADFA-LD, whose attacks make few
//! different calls, it does no better than the length of a trace would.

use super::{
    FrameScore,
    decision_tree::DecisionTree,
    dense::{DenseSpace, Point},
    feature_space::Weighting,
    frame_sample::{FrameSample, MAX_FRAMES},
    random::Random,
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
    name: "iforest",
    title: "Isolation forest",
    description: "How few random cuts set a frame apart from normal ones (Liu, Ting and Zhou 2008).",
    parameters: &[
        ParameterInfo::whole("n", 1, (1, 4)).about("longest n-gram, calls"),
        ParameterInfo::whole("trees", 200, (1, MAX_TREES)).about("trees"),
        ParameterInfo::whole("frames", 256, (2, MAX_FRAMES_A_TREE)).about("frames that a tree is grown from"),
    ],
    maker: Maker::Fitted(&FITTING),
};

static FITTING: Fitting = Fitting::single(
    &[Member {
        scores: &["isolation forest"],
        fit: |spec, sample| {
            let size = (spec.whole("trees"), spec.whole("frames"));
            Box::new(IsolationForest::fit(sample, spec.whole("n"), Weighting::Set, size, SEED))
        },
    }],
    super::DISTANCE,
);

/// Most trees.
pub(crate) const MAX_TREES: u32 = 1000;

/// Most frames that a tree is grown from.
pub(crate) const MAX_FRAMES_A_TREE: u32 = 1024;

/// Euler's constant.
const GAMMA: f64 = 0.577_215_664_901_532_9;

/// Trees that set frames apart.
#[derive(Debug, Clone)]
pub(crate) struct IsolationForest {
    space: DenseSpace,
    /// Leaves say how many cuts it takes.
    trees: Vec<DecisionTree>,
    /// Cuts that it takes on average.
    usual: f64,
}

impl IsolationForest {
    /// Grows so many trees from so many frames each. The same sample and seed give the same forest.
    pub(crate) fn fit(
        sample: &FrameSample,
        order: u32,
        weighting: Weighting,
        (trees, frames_a_tree): (u32, u32),
        seed: u64,
    ) -> Self {
        let space = DenseSpace::of(sample, order, weighting);
        let points: Vec<Vec<f32>> =
            sample.frames().take(MAX_FRAMES).map(|(frame, _)| rounded(&space.point(frame))).collect();
        let drawn = (frames_a_tree.clamp(2, MAX_FRAMES_A_TREE) as usize).min(points.len());
        let highest = (drawn as f64).log2().ceil() as u32;
        let grow = |number: u32| {
            let mut random = Random::new(seed, u64::from(number));
            let mut of_tree: Vec<&[f32]> = points.iter().map(Vec::as_slice).collect();
            random.draw(&mut of_tree, drawn);
            of_tree.truncate(drawn);
            let mut tree = DecisionTree::new();
            grow(&mut tree, 0, &mut of_tree, 0, highest, &mut random);
            tree
        };
        let trees = if drawn < 2 { Vec::new() } else { (0..trees.clamp(1, MAX_TREES)).map(grow).collect() };
        Self { space, trees, usual: cuts(drawn).max(1.0) }
    }
}

impl FrameScore for IsolationForest {
    /// From 0 to 1; a half is usual. No cut can be made in what training never saw, so the unknown share of a frame counts by itself.
    fn score(&self, calls: &[Symbol]) -> f64 {
        if self.trees.is_empty() {
            return 1.0;
        }
        let point = self.space.point(calls);
        let coordinates = rounded(&point);
        let depth: f64 = self.trees.iter().map(|tree| f64::from(tree.value(&coordinates))).sum();
        let isolated = (-depth / self.trees.len() as f64 / self.usual).exp2();
        isolated + (1.0 - isolated) * point.unknown
    }
}

fn rounded(point: &Point) -> Vec<f32> {
    point.coordinates.iter().map(|&value| value as f32).collect()
}

fn grow(
    tree: &mut DecisionTree,
    place: u32,
    points: &mut [&[f32]],
    depth: u32,
    highest: u32,
    random: &mut Random,
) {
    let cut = if depth < highest && points.len() > 1 { random_cut(points, random) } else { None };
    let Some((dimension, threshold)) = cut else {
        tree.set_leaf(place, (f64::from(depth) + cuts(points.len())) as f32);
        return;
    };
    let (low, high) = tree.split(place, dimension, threshold);
    points.sort_by_key(|point| point[dimension as usize] >= threshold);
    let border = points.partition_point(|point| point[dimension as usize] < threshold);
    let (lower, higher) = points.split_at_mut(border);
    grow(tree, low, lower, depth + 1, highest, random);
    grow(tree, high, higher, depth + 1, highest, random);
}

/// A cut between the extremes of a coordinate in which the points differ.
fn random_cut(points: &[&[f32]], random: &mut Random) -> Option<(u32, f32)> {
    let dimensions = points.first()?.len();
    let extremes = |dimension: usize| {
        let of = points.iter().map(|point| point[dimension]);
        of.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
    };
    let different: Vec<(usize, f32, f32)> = (0..dimensions)
        .map(|dimension| (dimension, extremes(dimension)))
        .filter(|(_, (low, high))| low < high)
        .map(|(dimension, (low, high))| (dimension, low, high))
        .collect();
    if different.is_empty() {
        return None;
    }
    let (dimension, low, high) = different[random.below(different.len())];
    let threshold = low + (high - low) * random.share() as f32;
    // Both sides get at least one point.
    Some((dimension as u32, if threshold > low { threshold } else { high }))
}

/// Cuts that it takes on average to set one of so many apart.
fn cuts(count: usize) -> f64 {
    let count = count as f64;
    if count <= 1.0 {
        0.0
    } else if count <= 2.0 {
        1.0
    } else {
        2.0 * ((count - 1.0).ln() + GAMMA) - 2.0 * (count - 1.0) / count
    }
}

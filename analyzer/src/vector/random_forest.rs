//! Random forest: trees that each learned from other traces and looked at other calls vote on whether a trace is an attack.
//!
//! (L. Breiman, "Random forests", Machine Learning 45, 2001.) Ours, because `linfa-ensemble` draws features once a tree and not once a split,
//! says which class wins and not with how many votes, and lets ties be decided by the order of a hash table, which differs from run to run.

use super::{
    decision_tree::{DecisionTree, MAX_NODES},
    random::Random,
    supervised::{CountSpace, LabelModel, Labelled, LearnerInfo, MAX_FEATURES},
};
use crate::alphabet::Symbol;

/// Its line of the table.
pub(crate) const LEARNER: LearnerInfo = LearnerInfo {
    name: "forest",
    title: "Random forest",
    description: "100 trees that each learned from other traces and looked at other calls vote (Breiman 2001).",
    learn: |traces, seed| Box::new(RandomForest::fit(traces, 1, 100, seed)),
};

/// Most trees.
pub(crate) const MAX_TREES: u32 = 1000;

/// Coordinates are compared with at most so many thresholds.
const MAX_LEVELS: usize = 255;

/// Trees that vote.
#[derive(Debug, Clone)]
pub(crate) struct RandomForest {
    space: CountSpace,
    /// Leaves say which share of their traces were attacks.
    trees: Vec<DecisionTree>,
}

impl RandomForest {
    /// Grows `trees` trees on grams of 1 to `order` calls. The same traces in the same order and the same seed give the same forest.
    pub(crate) fn fit(traces: &[Labelled<'_>], order: u32, trees: u32, seed: u64) -> Self {
        let space = CountSpace::of(traces.iter().map(|trace| trace.0), order, MAX_FEATURES);
        let levels = Levels::of(&space, traces);
        let labels: Vec<bool> = traces.iter().map(|trace| trace.1).collect();
        let grow = |number: u32| {
            let mut random = Random::new(seed, u64::from(number));
            let mut drawn: Vec<u32> = (0..labels.len()).map(|_| random.below(labels.len()) as u32).collect();
            Growth { levels: &levels, labels: &labels, random }.tree(&mut drawn)
        };
        let trees = if traces.is_empty() { 0 } else { trees.clamp(1, MAX_TREES) };
        Self { trees: (0..trees).map(grow).collect(), space }
    }

    /// The probability that the trace is an attack, as the trees see it.
    pub(crate) fn score(&self, calls: &[Symbol]) -> f64 {
        let point = self.space.point(calls);
        let votes: f64 = self.trees.iter().map(|tree| f64::from(tree.value(&point))).sum();
        votes / self.trees.len().max(1) as f64
    }
}

impl LabelModel for RandomForest {
    fn score(&self, calls: &[Symbol]) -> f64 {
        self.score(calls)
    }
}

/// Coordinates as small numbers, so that splits are found by counting.
struct Levels {
    /// By dimension: thresholds, ascending. A level is the number of thresholds that are not above the coordinate.
    thresholds: Vec<Vec<f32>>,
    /// By dimension: the level of each trace.
    levels: Vec<Vec<u8>>,
}

impl Levels {
    fn of(space: &CountSpace, traces: &[Labelled<'_>]) -> Self {
        let points: Vec<Vec<f32>> = traces.iter().map(|trace| space.point(trace.0)).collect();
        let of_dimension = |dimension: usize| -> Vec<f32> {
            let mut values: Vec<f32> = points.iter().map(|point| point[dimension]).collect();
            values.sort_unstable_by(f32::total_cmp);
            values.dedup();
            let between: Vec<f32> = values.windows(2).map(|pair| f32::midpoint(pair[0], pair[1])).collect();
            if between.len() <= MAX_LEVELS {
                return between;
            }
            (0..MAX_LEVELS).map(|level| between[level * between.len() / MAX_LEVELS]).collect()
        };
        let thresholds: Vec<Vec<f32>> = (0..space.dimensions()).map(of_dimension).collect();
        let level = |(dimension, thresholds): (usize, &Vec<f32>)| -> Vec<u8> {
            let of = |point: &Vec<f32>| {
                thresholds.partition_point(|&threshold| threshold <= point[dimension]) as u8
            };
            points.iter().map(of).collect()
        };
        let levels = thresholds.iter().enumerate().map(level).collect();
        Self { thresholds, levels }
    }
}

struct Growth<'a> {
    levels: &'a Levels,
    labels: &'a [bool],
    random: Random,
}

impl Growth<'_> {
    fn tree(mut self, traces: &mut [u32]) -> DecisionTree {
        let mut tree = DecisionTree::new();
        let mut dimensions: Vec<u32> = (0..self.levels.levels.len() as u32).collect();
        let mut open: Vec<(u32, &mut [u32])> = vec![(0, traces)];
        while let Some((place, traces)) = open.pop() {
            let attacks = traces.iter().filter(|&&trace| self.labels[trace as usize]).count();
            tree.set_leaf(place, attacks as f32 / traces.len().max(1) as f32);
            if attacks == 0 || attacks == traces.len() || tree.nodes() + 2 > MAX_NODES {
                continue;
            }
            let Some((dimension, level)) = self.best_split(traces, attacks, &mut dimensions) else {
                continue;
            };
            let of_trace = &self.levels.levels[dimension as usize];
            let threshold = self.levels.thresholds[dimension as usize][usize::from(level)];
            traces.sort_by_key(|&trace| of_trace[trace as usize] > level);
            let border = traces.partition_point(|&trace| of_trace[trace as usize] <= level);
            let (low, high) = tree.split(place, dimension, threshold);
            let (lower, higher) = traces.split_at_mut(border);
            open.push((low, lower));
            open.push((high, higher));
        }
        tree
    }

    /// The split, among those of as many drawn dimensions as the root of all, after which labels are purest (C. Gini). Levels up to the one
    /// given go low. Dimensions in which the traces do not differ are drawn again.
    fn best_split(&mut self, traces: &[u32], attacks: usize, dimensions: &mut [u32]) -> Option<(u32, u8)> {
        let wanted = (dimensions.len() as f64).sqrt().ceil() as usize;
        let mut best: Option<(f64, u32, u8)> = None;
        let mut tried = 0;
        for place in 0..dimensions.len() {
            let other = place + self.random.below(dimensions.len() - place);
            dimensions.swap(place, other);
            let dimension = dimensions[place];
            let mut counts = [(0u32, 0u32); MAX_LEVELS + 1];
            let of_trace = &self.levels.levels[dimension as usize];
            for &trace in traces {
                let count = &mut counts[usize::from(of_trace[trace as usize])];
                count.0 += 1;
                count.1 += u32::from(self.labels[trace as usize]);
            }
            let (mut low, mut low_attacks) = (0.0, 0.0);
            let (all, all_attacks) = (traces.len() as f64, attacks as f64);
            let mut differs = false;
            for (level, &(count, attacks)) in counts.iter().enumerate() {
                low += f64::from(count);
                low_attacks += f64::from(attacks);
                if count == 0 || low >= all {
                    continue;
                }
                differs = true;
                let (high, high_attacks) = (all - low, all_attacks - low_attacks);
                let impurity =
                    low_attacks * (low - low_attacks) / low + high_attacks * (high - high_attacks) / high;
                if best.is_none_or(|(least, _, _)| impurity < least) {
                    best = Some((impurity, dimension, level as u8));
                }
            }
            tried += usize::from(differs);
            if tried >= wanted {
                break;
            }
        }
        best.map(|(_, dimension, level)| (dimension, level))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vector::supervised::cross_validated;

    fn traces() -> Vec<(Vec<Symbol>, bool)> {
        (0..120u16)
            .map(|number| {
                let is_attack = number % 3 == 0;
                let turn = if is_attack { 7 } else { 5 };
                ((0..30 + number % 11).map(|place| (place * (number % 4 + 1)) % turn).collect(), is_attack)
            })
            .collect()
    }

    fn borrowed(traces: &[(Vec<Symbol>, bool)]) -> Vec<Labelled<'_>> {
        traces.iter().map(|(calls, label)| (calls.as_slice(), *label)).collect()
    }

    #[test]
    fn traces_that_were_not_seen_are_told_apart() {
        let traces = traces();
        let traces = borrowed(&traces);
        let scores = |cores| {
            cross_validated(&traces, 5, 1, cores, &|seen, seed| {
                Box::new(RandomForest::fit(seen, 2, 30, seed))
            })
        };
        assert_eq!(scores(1), scores(3));
        let scores = scores(2);
        for (score, (_, is_attack)) in scores.iter().zip(&traces) {
            assert_eq!(*score > 0.5, *is_attack);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_same_seed_gives_the_same_forest(
            traces in proptest::collection::vec((proptest::collection::vec(0u16..6, 0..20), any::<bool>()), 0..30),
            probe in proptest::collection::vec(0u16..9, 0..20),
            seed in any::<u64>(),
        ) {
            let forest = RandomForest::fit(&borrowed(&traces), 2, 8, seed);
            let score = forest.score(&probe);
            prop_assert!((0.0..=1.0).contains(&score));
            prop_assert_eq!(RandomForest::fit(&borrowed(&traces), 2, 8, seed).score(&probe).to_bits(), score.to_bits());
        }
    }
}

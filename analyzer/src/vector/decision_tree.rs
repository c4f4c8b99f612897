//! Binary trees that lead a point to a number: what forests are made of.

use serde::{Deserialize, Serialize};

/// Most nodes of a tree.
pub const MAX_NODES: usize = 1 << 16;

/// A tree. Nodes lie in one list, parents before their children, the root first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DecisionTree {
    nodes: Vec<Node>,
}

/// Where a point goes next, or what it has come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Node {
    /// To `low` if the coordinate is less than the threshold, else to `high`.
    Split {
        /// Which coordinate.
        dimension: u32,
        /// What it is compared with.
        threshold: f32,
        /// Place of the next node for lower coordinates.
        low: u32,
        /// Place of the next node for the others.
        high: u32,
    },
    /// The end.
    Leaf(f32),
}

impl DecisionTree {
    /// A tree of one leaf that will be grown.
    pub fn new() -> Self {
        Self { nodes: vec![Node::Leaf(0.0)] }
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Sets what a leaf says.
    pub fn set_leaf(&mut self, place: u32, value: f32) {
        self.nodes[place as usize] = Node::Leaf(value);
    }

    /// Makes a leaf a split; gives the places of the two new leaves.
    pub fn split(&mut self, place: u32, dimension: u32, threshold: f32) -> (u32, u32) {
        let low = self.nodes.len() as u32;
        self.nodes[place as usize] = Node::Split { dimension, threshold, low, high: low + 1 };
        self.nodes.extend([Node::Leaf(0.0); 2]);
        (low, low + 1)
    }

    /// What the tree says of a point. Coordinates that the point lacks are 0.
    #[inline]
    pub fn value(&self, point: &[f32]) -> f32 {
        let mut place = 0;
        loop {
            match self.nodes.get(place) {
                Some(&Node::Split { dimension, threshold, low, high }) => {
                    let coordinate = point.get(dimension as usize).copied().unwrap_or(0.0);
                    place = if coordinate < threshold { low } else { high } as usize;
                }
                Some(&Node::Leaf(value)) => return value,
                None => return 0.0,
            }
        }
    }

    /// Calls `visit` with every coordinate that decides about the point.
    pub fn visit_path(&self, point: &[f32], mut visit: impl FnMut(u32)) {
        let mut place = 0;
        while let Some(&Node::Split { dimension, threshold, low, high }) = self.nodes.get(place) {
            visit(dimension);
            let coordinate = point.get(dimension as usize).copied().unwrap_or(0.0);
            place = if coordinate < threshold { low } else { high } as usize;
        }
    }

    /// Whether every path ends, and at a number; coordinates are less than `dimensions`.
    pub fn is_sound(&self, dimensions: usize) -> bool {
        let count = self.nodes.len();
        // Children lie behind their parents, so no path can come back.
        let is_node = |(place, node): (usize, &Node)| match *node {
            Node::Split { dimension, threshold, low, high } => {
                let is_behind = |child: u32| (place + 1..count).contains(&(child as usize));
                (dimension as usize) < dimensions
                    && threshold.is_finite()
                    && is_behind(low)
                    && is_behind(high)
            }
            Node::Leaf(value) => value.is_finite(),
        };
        (1..=MAX_NODES).contains(&count) && self.nodes.iter().enumerate().all(is_node)
    }
}

/// Random numbers that are the same everywhere: SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// One stream of numbers for each seed and place.
    pub(crate) fn new(seed: u64, place: u64) -> Self {
        let mut random = Self(seed ^ place.wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to `end`, exclusive. The bias is less than `end` / 2^64.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// From 0 to 1, exclusive.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Moves `count` items drawn without replacement to the front.
    pub(crate) fn draw<T>(&mut self, items: &mut [T], count: usize) {
        for place in 0..count.min(items.len()) {
            let other = place + self.below(items.len() - place);
            items.swap(place, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_goes_where_its_coordinates_lead() {
        let mut tree = DecisionTree::new();
        let (low, high) = tree.split(0, 1, 0.5);
        tree.set_leaf(low, 1.0);
        let (lower, higher) = tree.split(high, 0, -1.0);
        tree.set_leaf(lower, 2.0);
        tree.set_leaf(higher, 3.0);
        let values: Vec<f32> =
            [[0.0, 0.0], [-2.0, 0.5], [-1.0, 7.0]].iter().map(|point| tree.value(point)).collect();
        assert!(values.iter().zip([1.0, 2.0, 3.0]).all(|(value, expected)| (value - expected).abs() < 1e-9));
        let mut path = Vec::new();
        tree.visit_path(&[-2.0, 0.5], |dimension| path.push(dimension));
        assert_eq!(path, [1, 0]);
        assert!(tree.is_sound(2) && !tree.is_sound(1));
    }

    #[test]
    fn a_tree_that_leads_back_is_refused() {
        let split = |low, high| Node::Split { dimension: 0, threshold: 0.0, low, high };
        for nodes in [
            vec![split(0, 1), Node::Leaf(0.0)],
            vec![split(1, 2), Node::Leaf(0.0)],
            vec![split(1, 2), split(1, 2), Node::Leaf(0.0)],
            vec![Node::Leaf(f32::NAN)],
            vec![],
        ] {
            assert!(!DecisionTree { nodes }.is_sound(1));
        }
    }

    #[test]
    fn draws_are_without_replacement_and_reach_everything() {
        let mut seen = [0; 10];
        let mut random = Random::new(1, 2);
        for _ in 0..1000 {
            let mut items: Vec<usize> = (0..10).collect();
            random.draw(&mut items, 3);
            seen[items[0]] += 1;
            items.sort_unstable();
            assert_eq!(items, (0..10).collect::<Vec<_>>());
        }
        assert!(seen.iter().all(|&count| (60..140).contains(&count)), "{seen:?}");
        assert!((0..1000).map(|_| random.share()).all(|share| (0.0..1.0).contains(&share)));
    }
}

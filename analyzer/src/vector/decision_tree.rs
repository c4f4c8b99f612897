//! Binary trees that lead a point to a number: what forests are made of.

/// Most nodes of a tree.
pub(crate) const MAX_NODES: usize = 1 << 16;

/// A tree. Nodes lie in one list, parents before their children, the root first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct DecisionTree {
    nodes: Vec<Node>,
}

/// Where a point goes next, or what it has come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Node {
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
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::Leaf(0.0)] }
    }

    /// Number of nodes.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Sets what a leaf says.
    pub(crate) fn set_leaf(&mut self, place: u32, value: f32) {
        self.nodes[place as usize] = Node::Leaf(value);
    }

    /// Makes a leaf a split; gives the places of the two new leaves.
    pub(crate) fn split(&mut self, place: u32, dimension: u32, threshold: f32) -> (u32, u32) {
        let low = self.nodes.len() as u32;
        self.nodes[place as usize] = Node::Split { dimension, threshold, low, high: low + 1 };
        self.nodes.extend([Node::Leaf(0.0); 2]);
        (low, low + 1)
    }

    /// What the tree says of a point. Coordinates that the point lacks are 0.
    #[inline]
    pub(crate) fn value(&self, point: &[f32]) -> f32 {
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
    }
}

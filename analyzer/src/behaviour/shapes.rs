//! A bounded set of shapes of which it is certain what it does not know.
//!
//! Where more shapes occur than are kept, those with the lowest hashes are: which ones that are depends neither on their order nor on how
//! training was divided, and a shape whose hash would have been kept is known never to have occurred. Shapes of higher hashes are not judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::paths::MAX_SHAPE;

/// Most shapes that are kept of one call.
const MAX_SHAPES: usize = 512;

/// Shapes with how often they occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shapes {
    /// By hash and shape.
    kept: BTreeMap<(u64, String), u64>,
    /// Shapes whose hash is not lower are not kept.
    kept_below: Option<u64>,
    /// Occurrences of shapes, kept or not.
    learned: u64,
    /// Occurrences of kept shapes when they were kept.
    judged: u64,
}

impl Shapes {
    pub(crate) fn learn(&mut self, shape: &str) {
        self.learned = self.learned.saturating_add(1);
        self.add(shape, 1);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.learned = self.learned.saturating_add(other.learned);
        for ((_, shape), &count) in &other.kept {
            self.add(shape, count);
        }
        if let Some(hash) = other.kept_below {
            self.drop_from(hash);
        }
    }

    fn add(&mut self, shape: &str, count: u64) {
        let hash = hash_of(shape);
        if !self.is_judged(hash) {
            return;
        }
        let known = self.kept.entry((hash, shape.to_owned())).or_insert(0);
        *known = known.saturating_add(count);
        self.judged = self.judged.saturating_add(count);
        if self.kept.len() > MAX_SHAPES
            && let Some((&(last, _), _)) = self.kept.last_key_value()
        {
            self.drop_from(last);
        }
    }

    fn drop_from(&mut self, hash: u64) {
        for (_, count) in self.kept.split_off(&(hash, String::new())) {
            self.judged -= count.min(self.judged);
        }
        self.kept_below = Some(self.kept_below.map_or(hash, |before| before.min(hash)));
    }

    fn is_judged(&self, hash: u64) -> bool {
        self.kept_below.is_none_or(|limit| hash < limit)
    }

    /// Whether a shape certainly never occurred.
    pub(crate) fn is_unseen(&self, shape: &str) -> bool {
        let hash = hash_of(shape);
        self.is_judged(hash) && !self.kept.contains_key(&(hash, shape.to_owned()))
    }

    /// Probability that the next shape is one that never occurred, by Good and Turing: the share of those that occurred once; with one
    /// more of them, so that it is never 0.
    pub(crate) fn unseen_mass(&self) -> f64 {
        let once = self.kept.values().filter(|&&count| count == 1).count();
        (once as f64 + 1.0) / (self.judged as f64 + 2.0)
    }

    /// Occurrences of shapes.
    pub(crate) fn learned(&self) -> u64 {
        self.learned
    }

    /// Number of shapes that are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn is_consistent(&self) -> bool {
        let sum = self.kept.values().try_fold(0u64, |sum, &count| sum.checked_add(count));
        self.kept.len() <= MAX_SHAPES
            && sum.is_some_and(|sum| sum == self.judged && sum <= self.learned)
            && self.kept.iter().all(|((hash, shape), &count)| {
                count > 0 && shape.len() <= MAX_SHAPE && *hash == hash_of(shape) && self.is_judged(*hash)
            })
    }
}

fn hash_of(shape: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(shape.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learned(shapes: &[u16]) -> Shapes {
        let mut set = Shapes::default();
        for shape in shapes {
            set.learn(&format!("/srv/{shape}"));
        }
        set
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_kept_depends_neither_on_order_nor_on_how_learning_was_divided(
            shapes in proptest::collection::vec(0u16..1500, 0..2000),
            cut in 0usize..2000,
            probe in 0u16..3000,
        ) {
            let all = learned(&shapes);
            let mut backwards = shapes.clone();
            backwards.reverse();
            prop_assert_eq!(&learned(&backwards), &all);
            let (left, right) = shapes.split_at(cut.min(shapes.len()));
            let mut merged = learned(left);
            merged.merge(&learned(right));
            prop_assert_eq!(&merged, &all);
            prop_assert!(all.is_consistent());
            prop_assert!(all.len() <= MAX_SHAPES);
            if all.is_unseen(&format!("/srv/{probe}")) {
                prop_assert!(!shapes.contains(&probe));
            } else if shapes.len() <= MAX_SHAPES {
                prop_assert!(shapes.contains(&probe));
            }
        }
    }

    #[test]
    fn the_more_shapes_repeat_the_less_a_new_one_is_expected() {
        let repeated = learned(&[1; 100]);
        let once: Vec<u16> = (0..100).collect();
        assert!(repeated.unseen_mass() < 0.02);
        assert!(learned(&once).unseen_mass() > 0.9);
        assert!(Shapes::default().unseen_mass() > 0.4);
    }
}

//! Numbers for grams: which of the grams known from training is this one?
//!
//! Open addressing with linear probing in a power-of-two table at most half full. Made once when a model is fitted or loaded; scoring
//! asks it once for every gram.

use super::features::Gram;

/// No gram has this key: its calls would be no symbols.
const FREE: Gram = Gram::MAX;

/// Multiplier of Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Grams, numbered by their place in the list that the table was made of.
#[derive(Debug, Clone)]
pub(crate) struct GramTable {
    slots: Box<[(Gram, u32)]>,
    shift: u32,
}

impl GramTable {
    /// Numbers `grams`, which must differ from one another.
    pub(crate) fn new(grams: &[Gram]) -> Self {
        let size = (grams.len() * 2).next_power_of_two().max(16);
        let mut table =
            Self { slots: vec![(FREE, 0); size].into_boxed_slice(), shift: 64 - size.trailing_zeros() };
        for (number, &gram) in grams.iter().enumerate() {
            let mut place = table.home(gram);
            while table.slots[place].0 != FREE {
                place = (place + 1) & (size - 1);
            }
            table.slots[place] = (gram, number as u32);
        }
        table
    }

    /// The number of `gram`, if it is known.
    #[inline]
    pub(crate) fn get(&self, gram: Gram) -> Option<u32> {
        let last = self.slots.len() - 1;
        let mut place = self.home(gram);
        loop {
            let (found, number) = self.slots[place];
            if found == gram {
                return Some(number);
            }
            if found == FREE {
                return None;
            }
            place = (place + 1) & last;
        }
    }

    #[inline]
    fn home(&self, gram: Gram) -> usize {
        // The masks change nothing; they spare a bounds check.
        ((gram ^ gram >> 32).wrapping_mul(GOLDEN) >> self.shift) as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_gram_has_the_number_of_its_place(
            grams in proptest::collection::hash_set(1u64..3000, 0..400),
            probes in proptest::collection::vec(1u64..3000, 0..200),
        ) {
            let grams: Vec<Gram> = grams.into_iter().map(|gram| gram << (gram % 40)).collect::<std::collections::BTreeSet<_>>().into_iter().collect();
            let table = GramTable::new(&grams);
            for (number, &gram) in grams.iter().enumerate() {
                prop_assert_eq!(table.get(gram), Some(number as u32));
            }
            for probe in probes {
                prop_assert_eq!(table.get(probe).is_some(), grams.contains(&probe));
            }
        }
    }
}

//! Sets of windows made for one question: is this window in it?
//!
//! Open addressing with linear probing in a power-of-two table that is at most a quarter full (half full where it is large), so that
//! a lookup is a multiplication, a load and a comparison, and the branch behind it is nearly always taken the same way.

/// A window packed into a number.
pub(crate) trait Key: Copy + Eq + std::fmt::Debug + Send + Sync + 'static {
    /// Marks a free place; no window has this key.
    const FREE: Self;

    /// A well-mixed 64-bit digest.
    fn digest(self) -> u64;
}

/// Multiplier of Fibonacci hashing: 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming 3, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Key for u64 {
    const FREE: Self = Self::MAX;

    fn digest(self) -> u64 {
        self.wrapping_mul(GOLDEN)
    }
}

impl Key for u128 {
    const FREE: Self = Self::MAX;

    fn digest(self) -> u64 {
        (self as u64 ^ ((self >> 64) as u64).rotate_left(29).wrapping_mul(GOLDEN)).wrapping_mul(GOLDEN)
    }
}

impl Key for [u128; 2] {
    const FREE: Self = [u128::MAX; 2];

    fn digest(self) -> u64 {
        self[0].digest() ^ self[1].digest().rotate_left(31).wrapping_mul(GOLDEN)
    }
}

/// A set of keys that does not change.
#[derive(Debug)]
pub(crate) struct WindowSet<K> {
    table: Box<[K]>,
    shift: u32,
}

impl<K: Key> WindowSet<K> {
    /// A set of these keys, of which there are `count`; [`Key::FREE`] must not be among them.
    pub(crate) fn new(count: usize, keys: impl Iterator<Item = K>) -> Self {
        let slots = if count <= 1 << 16 { count * 4 } else { count * 2 }.next_power_of_two().max(16);
        let mut table = vec![K::FREE; slots].into_boxed_slice();
        let shift = 64 - slots.trailing_zeros();
        for key in keys {
            debug_assert!(key != K::FREE);
            let mut place = (key.digest() >> shift) as usize;
            while table[place] != K::FREE && table[place] != key {
                place = (place + 1) & (slots - 1);
            }
            table[place] = key;
        }
        Self { table, shift }
    }

    /// Whether `key` is in the set.
    #[inline]
    pub(crate) fn contains(&self, key: K) -> bool {
        let last = self.table.len() - 1;
        let mut place = (key.digest() >> self.shift) as usize & last;
        loop {
            let found = self.table[place];
            if found == key {
                return true;
            }
            if found == K::FREE {
                return false;
            }
            place = (place + 1) & last;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_into_it_and_nothing_else(
            keys in proptest::collection::hash_set(0u64..2000, 0..300),
            probes in proptest::collection::vec(0u64..2000, 0..300),
        ) {
            let narrow = WindowSet::<u64>::new(keys.len(), keys.iter().copied());
            let wide = WindowSet::<u128>::new(keys.len(), keys.iter().map(|&key| u128::from(key) << 60));
            let widest = WindowSet::<[u128; 2]>::new(keys.len(), keys.iter().map(|&key| [1, u128::from(key) << 60]));
            for probe in probes {
                let expected = keys.contains(&probe);
                prop_assert_eq!(narrow.contains(probe), expected);
                prop_assert_eq!(wide.contains(u128::from(probe) << 60), expected);
                prop_assert_eq!(widest.contains([1, u128::from(probe) << 60]), expected);
            }
        }
    }
}

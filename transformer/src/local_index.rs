//! Numbers of one dictionary to numbers of another, smaller one.

use rustc_hash::FxHashMap;

/// Numbers below this are looked up in an array. Larger ones are the exception, and an array for them in each of many
/// containers would cost more memory than the lines do.
const DENSE_LENGTH: usize = 1024;

const NONE: u32 = u32::MAX;

/// Which local number a global number has, where it has one.
#[derive(Debug, Default)]
pub(crate) struct LocalIndex {
    dense: Vec<u32>,
    sparse: FxHashMap<u32, u32>,
}

impl LocalIndex {
    #[inline]
    pub(crate) fn get(&self, global: u32) -> Option<u32> {
        match self.dense.get(global as usize) {
            Some(&NONE) => None,
            Some(&local) => Some(local),
            None if (global as usize) < DENSE_LENGTH => None,
            None => self.sparse.get(&global).copied(),
        }
    }

    pub(crate) fn insert(&mut self, global: u32, local: u32) {
        let place = global as usize;
        if place >= DENSE_LENGTH {
            self.sparse.insert(global, local);
            return;
        }
        if place >= self.dense.len() {
            let length = (place + 1).next_power_of_two().clamp(64, DENSE_LENGTH);
            self.dense.resize(length, NONE);
        }
        self.dense[place] = local;
    }

    pub(crate) fn clear(&mut self) {
        self.dense.fill(NONE);
        self.sparse.clear();
        self.sparse.shrink_to(DENSE_LENGTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_on_both_sides_of_the_arrays_end() {
        let mut index = LocalIndex::default();
        let numbers = [0, 63, 64, 1023, 1024, 70_000, u32::MAX - 1];
        for (local, &global) in numbers.iter().enumerate() {
            assert_eq!(index.get(global), None);
            index.insert(global, local as u32);
        }
        for (local, &global) in numbers.iter().enumerate() {
            assert_eq!(index.get(global), Some(local as u32));
        }
        index.clear();
        assert!(numbers.iter().all(|&global| index.get(global).is_none()));
    }
}

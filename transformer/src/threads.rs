//! Thread ids to numbers, for the length of one chunk.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use rustc_hash::FxSeededState;

use crate::part::KEPT_LENGTH;

/// Number of the thread that stands for every event without a thread id.
pub(crate) const UNKNOWN_THREAD: u32 = 0;

/// Thread ids in order of appearance; [`UNKNOWN_THREAD`] is always there.
#[derive(Debug)]
pub(crate) struct Threads {
    numbers: HashMap<i64, u32, FxSeededState>,
    /// A thread makes several calls in a row more often than not.
    last: (Option<i64>, u32),
}

impl Threads {
    pub(crate) fn new() -> Self {
        // Seeded because ids come from outside and could be chosen to collide.
        let seed = RandomState::new().hash_one(0_u8) as usize;
        Self { numbers: HashMap::with_hasher(FxSeededState::with_seed(seed)), last: (None, UNKNOWN_THREAD) }
    }

    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        self.numbers.shrink_to(KEPT_LENGTH);
        self.last = (None, UNKNOWN_THREAD);
    }

    /// Number of a thread.
    #[inline]
    pub(crate) fn number(&mut self, id: Option<i64>) -> u32 {
        if self.last.0 == id {
            return self.last.1;
        }
        let number = match id {
            None => UNKNOWN_THREAD,
            Some(id) => {
                let next = self.numbers.len() as u32 + 1;
                *self.numbers.entry(id).or_insert(next)
            }
        };
        self.last = (id, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_numbered_in_order_of_appearance() {
        let mut threads = Threads::new();
        let ids = [Some(7), None, Some(-1), Some(7), Some(7), Some(i64::MAX), None];
        let numbers: Vec<u32> = ids.into_iter().map(|id| threads.number(id)).collect();
        assert_eq!(numbers, [1, 0, 2, 1, 1, 3, 0]);
        threads.clear();
        assert_eq!(threads.number(Some(i64::MAX)), 1);
    }
}

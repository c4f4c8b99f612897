//! From calls to features: the n-grams of a frame, as a set or with counts.
//!
//! A gram of up to four calls is one number ([`Gram`]): exact, so that two grams never share a feature as they would by hashing.

use crate::alphabet::Symbol;

/// Stands between calls of different threads: no gram goes across it.
pub const BREAK: Symbol = Symbol::MAX;

/// One to four consecutive calls: each symbol plus one in 16 bits, the last call lowest.
pub(crate) type Gram = u64;

/// Longest gram.
pub(crate) const MAX_ORDER: u32 = 4;

const BITS: u32 = 16;

/// The different grams of 1 to `order` calls, ascending, with the number of times that each occurs. No gram goes across a [`BREAK`].
pub(crate) fn gram_counts(calls: &[Symbol], order: u32) -> Vec<(Gram, u32)> {
    debug_assert!((1..=MAX_ORDER).contains(&order));
    let mut grams = Vec::with_capacity(calls.len() * order as usize);
    let mut last_calls = 0u64;
    let mut known = 0;
    for &call in calls {
        if call == BREAK {
            known = 0;
            continue;
        }
        last_calls = last_calls << BITS | (u64::from(call) + 1);
        known = order.min(known + 1);
        grams.extend((1..=known).map(|length| last_calls & (u64::MAX >> (64 - BITS * length))));
    }
    grams.sort_unstable();
    grams.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The calls of a gram, oldest first.
    fn calls_of(gram: Gram) -> Vec<Symbol> {
        let of_place = |place: u32| (gram >> (BITS * place)) & 0xffff;
        (0..MAX_ORDER).rev().map(of_place).filter(|&part| part > 0).map(|part| (part - 1) as Symbol).collect()
    }

    proptest! {
        #[test]
        fn grams_are_the_windows_of_every_length_that_no_break_interrupts(
            calls in proptest::collection::vec(0u16..6, 0..40),
            order in 1u32..=MAX_ORDER,
        ) {
            let calls: Vec<Symbol> = calls.into_iter().map(|call| if call == 5 { BREAK } else { call }).collect();
            let mut expected = std::collections::BTreeMap::<Vec<Symbol>, u32>::new();
            for length in 1..=order as usize {
                for window in calls.windows(length).filter(|window| !window.contains(&BREAK)) {
                    *expected.entry(window.to_vec()).or_default() += 1;
                }
            }
            let counts: std::collections::BTreeMap<Vec<Symbol>, u32> =
                gram_counts(&calls, order).into_iter().map(|(gram, count)| (calls_of(gram), count)).collect();
            prop_assert_eq!(&counts, &expected);
        }
    }
}

//! From calls to features: the n-grams of a frame, as a set or with counts.
//!
//! A gram of up to four calls is one number ([`Gram`]): exact, so that two grams never share a feature as they would by hashing, and
//! reversible, so that an explanation can name the calls and a merge can rename them.

use crate::alphabet::Symbol;

/// Stands between calls of different threads: no gram goes across it.
pub const BREAK: Symbol = Symbol::MAX;

/// One to four consecutive calls: each symbol plus one in 16 bits, the last call lowest.
pub type Gram = u64;

/// Longest gram.
pub const MAX_ORDER: u32 = 4;

const BITS: u32 = 16;

/// Calls `visit` with every gram of 1 to `order` calls, and the place of its last call. No gram goes across a [`BREAK`].
#[inline]
pub fn visit_grams(calls: &[Symbol], order: u32, mut visit: impl FnMut(Gram, usize)) {
    debug_assert!((1..=MAX_ORDER).contains(&order));
    let mut last_calls = 0u64;
    let mut known = 0;
    for (place, &call) in calls.iter().enumerate() {
        if call == BREAK {
            known = 0;
            continue;
        }
        last_calls = last_calls << BITS | (u64::from(call) + 1);
        known = order.min(known + 1);
        for length in 1..=known {
            visit(last_calls & (u64::MAX >> (64 - BITS * length)), place);
        }
    }
}

/// The different grams of 1 to `order` calls, ascending.
pub fn gram_set(calls: &[Symbol], order: u32) -> Vec<Gram> {
    let mut grams = Vec::with_capacity(calls.len() * order as usize);
    visit_grams(calls, order, |gram, _| grams.push(gram));
    grams.sort_unstable();
    grams.dedup();
    grams
}

/// The different grams of 1 to `order` calls, ascending, with the number of times that each occurs.
pub fn gram_counts(calls: &[Symbol], order: u32) -> Vec<(Gram, u32)> {
    let mut grams = Vec::with_capacity(calls.len() * order as usize);
    visit_grams(calls, order, |gram, _| grams.push(gram));
    grams.sort_unstable();
    grams.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect()
}

/// The calls of a gram, oldest first.
pub fn calls_of(gram: Gram) -> Vec<Symbol> {
    let of_place = |place: u32| (gram >> (BITS * place)) & 0xffff;
    (0..MAX_ORDER).rev().map(of_place).filter(|&part| part > 0).map(|part| (part - 1) as Symbol).collect()
}

/// Whether this is a gram of 1 to `order` calls, all of them less than `alphabet`.
pub fn is_gram(gram: Gram, order: u32, alphabet: usize) -> bool {
    let length = (64 - gram.leading_zeros()).div_ceil(BITS);
    (1..=order).contains(&length)
        && (0..length).all(|place| {
            let part = (gram >> (BITS * place)) & 0xffff;
            part > 0 && part as usize <= alphabet
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let set = gram_set(&calls, order);
            prop_assert_eq!(set.len(), expected.len());
            prop_assert!(set.iter().all(|&gram| is_gram(gram, order, 5)));
        }

        #[test]
        fn only_what_can_be_counted_is_a_gram(gram in any::<u64>(), order in 1u32..=MAX_ORDER, alphabet in 1usize..70_000) {
            let calls = calls_of(gram);
            let packed = calls.iter().fold(0u64, |sum, &call| sum << BITS | (u64::from(call) + 1));
            let expected = packed == gram
                && (1..=order as usize).contains(&calls.len())
                && calls.iter().all(|&call| usize::from(call) < alphabet);
            prop_assert_eq!(is_gram(gram, order, alphabet), expected);
        }
    }
}

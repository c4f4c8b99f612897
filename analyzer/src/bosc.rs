//! BoSC: bags of calls that were never seen.
//!
//! D.-K. Kang, D. Fuller, V. Honavar, "Learning classifiers for misuse and anomaly detection using a bag of system calls representation",
//! IEEE Information Assurance Workshop, 2005; with sliding windows and a set of known bags as in A. Abed, T. Clancy, D. Levy,
//! "Intrusion detection system for applications using Linux containers", 2015. A window's bag counts how often each call occurs in
//! it; order is forgotten, so the profile is smaller than STIDE's and a change of order is invisible to it.
//!
//! # How it is fast
//!
//! A bag is named by the sum of 128-bit keys, one a symbol, drawn once from a fixed generator: the next bag is an addition and a
//! subtraction away. Two bags have the same sum only if the keys have an integer relation whose coefficients are as small as a
//! window; for any two given bags the probability is 2^-128, and even among all 10^11 bags of ten calls out of sixty names it is below
//! 10^-15 that any two meet. The calls of a bag are kept beside its sum while learning, for explanation and for the profile file.

use std::any::Any;

use crate::{
    alphabet::Symbol,
    detector::{CallJudge, Detector, Judge, RawScale, WindowStatistics, alike, verdict},
    novelty,
    registry::{DetectorInfo, Maker, ModelSpec, ParameterInfo},
    window_counts::WindowCounts,
    window_set::WindowSet,
};

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "bosc",
    title: "BoSC: bags of calls never seen",
    description: "The profile is the set of all bags (which calls, how often, in any order) of w consecutive calls of a thread; a bag \
                  outside it is unseen (Kang, Fuller and Honavar 2005; Abed, Clancy and Levy 2015).",
    parameters: &[ParameterInfo::whole("w", 10, (2, Bosc::MAX_WINDOW as u32))
        .or(&["window", "n"])
        .about("size of a bag, calls")],
    maker: Maker::Own {
        window: |spec| spec.whole("w"),
        create: |spec| Box::new(Bosc::new(spec)),
        decode: |spec, bytes, alphabet| {
            Bosc::decode(spec, bytes, alphabet).map(|bosc| Box::new(bosc) as Box<dyn Detector>)
        },
    },
};

/// What BoSC has learned.
#[derive(Debug, Clone)]
pub(crate) struct Bosc {
    spec: ModelSpec,
    width: usize,
    /// Bags as sorted windows.
    bags: WindowCounts<u128>,
}

impl Bosc {
    pub(crate) const MAX_WINDOW: usize = 64;

    fn new(spec: &ModelSpec) -> Self {
        let width = spec.window() as usize;
        Self { spec: spec.clone(), width, bags: WindowCounts::new(width) }
    }

    fn decode(spec: &ModelSpec, bytes: &[u8], alphabet: usize) -> Result<Self, String> {
        let width = spec.window() as usize;
        let bags = WindowCounts::decode(bytes, width, alphabet, |bag| bag.is_sorted().then(|| sum_of(bag)))?;
        Ok(Self { spec: spec.clone(), width, bags })
    }
}

impl Detector for Bosc {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn learn(&mut self, calls: &[Symbol], context: usize) {
        let start = context.saturating_sub(self.width - 1);
        let mut sum = 0u128;
        for end in start..calls.len() {
            sum = sum.wrapping_add(key_of(calls[end]));
            if let Some(leaving) = end.checked_sub(self.width).filter(|&leaving| leaving >= start) {
                sum = sum.wrapping_sub(key_of(calls[leaving]));
            }
            if end >= context && end + 1 >= self.width {
                self.bags.add(sum, 1, |symbols| {
                    let bag = symbols.len();
                    symbols.extend_from_slice(&calls[end + 1 - self.width..=end]);
                    symbols[bag..].sort_unstable();
                });
            }
        }
    }

    fn judge(&self, alphabet: usize) -> Judge {
        // The last key stands for every unknown call: no known bag contains it.
        let keys = (0..=alphabet).map(|symbol| key_of(symbol as Symbol)).collect();
        let set = WindowSet::new(self.bags.distinct(), self.bags.keys());
        Judge::Calls(Box::new(BoscJudge { width: self.width, unknown: alphabet as Symbol, keys, set }))
    }

    fn scale(&self) -> RawScale {
        novelty::scale(self.width as u32)
    }

    fn statistics(&self) -> WindowStatistics {
        self.bags.statistics()
    }

    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool {
        let Some(other) = alike(self, other) else { return false };
        for (bag, count) in other.bags.sorted() {
            let mut bag: Vec<Symbol> = bag.iter().map(|&symbol| symbols[usize::from(symbol)]).collect();
            bag.sort_unstable();
            self.bags.add(sum_of(&bag), count, |symbols| symbols.extend_from_slice(&bag));
        }
        self.bags.add_refused(other.statistics().refused);
        true
    }

    fn visit_windows(&self, visit: &mut dyn FnMut(&[Symbol], u64)) {
        for (bag, count) in self.bags.sorted() {
            visit(bag, count);
        }
    }

    fn forgets_order(&self) -> bool {
        true
    }

    /// By the number of calls to exchange; among equals the one that occurred most often, then the smallest.
    fn nearest(&self, window: &[Symbol]) -> Option<(Vec<Symbol>, u32)> {
        let mut bag = window.to_vec();
        bag.sort_unstable();
        self.bags
            .windows()
            .map(|(known, count)| {
                ((self.width - in_common(known, &bag)) as u32, std::cmp::Reverse(count), known)
            })
            .min()
            .map(|(distance, _, known)| (known.to_vec(), distance))
    }

    fn encode(&self) -> Vec<u8> {
        self.bags.encode()
    }

    fn boxed_clone(&self) -> Box<dyn Detector> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Number of calls that two sorted bags share.
fn in_common(a: &[Symbol], b: &[Symbol]) -> usize {
    let (mut left, mut right, mut common) = (0, 0, 0);
    while left < a.len() && right < b.len() {
        match a[left].cmp(&b[right]) {
            std::cmp::Ordering::Less => left += 1,
            std::cmp::Ordering::Greater => right += 1,
            std::cmp::Ordering::Equal => {
                common += 1;
                left += 1;
                right += 1;
            }
        }
    }
    common
}

/// The key of a symbol: two steps of SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014), seeded by the symbol.
fn key_of(symbol: Symbol) -> u128 {
    let mix = |mut value: u64| {
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    let seed = (2 * u64::from(symbol) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u128::from(mix(seed)) << 64 | u128::from(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

fn sum_of(bag: &[Symbol]) -> u128 {
    bag.iter().fold(0, |sum: u128, &symbol| sum.wrapping_add(key_of(symbol)))
}

#[derive(Debug)]
struct BoscJudge {
    width: usize,
    unknown: Symbol,
    keys: Box<[u128]>,
    set: WindowSet<u128>,
}

impl BoscJudge {
    #[inline]
    fn key(&self, symbol: Symbol) -> u128 {
        self.keys[usize::from(symbol.min(self.unknown))]
    }
}

impl CallJudge for BoscJudge {
    fn judge(&self, calls: &[Symbol], context: usize, verdicts: &mut [u8]) {
        let first_window = context.max(self.width - 1).min(calls.len());
        let start = (first_window + 1).saturating_sub(self.width).min(first_window);
        let (without_window, with_window) = verdicts.split_at_mut(first_window - context);
        without_window.fill(verdict::NO_WINDOW);
        let mut sum = calls[start..first_window]
            .iter()
            .fold(0, |sum: u128, &symbol| sum.wrapping_add(self.key(symbol)));
        for ((verdict, &entering), &leaving) in
            with_window.iter_mut().zip(&calls[first_window..]).zip(&calls[start..])
        {
            sum = sum.wrapping_add(self.key(entering));
            *verdict = if self.set.contains(sum) { verdict::KNOWN } else { verdict::UNSEEN };
            sum = sum.wrapping_sub(self.key(leaving));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// BoSC as its authors describe it, in as few words as possible.
    fn naive(training: &[Symbol], calls: &[Symbol], w: usize, context: usize) -> Vec<u8> {
        let bag = |window: &[Symbol]| {
            let mut bag = window.to_vec();
            bag.sort_unstable();
            bag
        };
        let known: HashSet<Vec<Symbol>> = training.windows(w).map(bag).collect();
        (context..calls.len())
            .map(|end| match (end + 1).checked_sub(w) {
                None => verdict::NO_WINDOW,
                Some(start) if known.contains(&bag(&calls[start..=end])) => verdict::KNOWN,
                Some(_) => verdict::UNSEEN,
            })
            .collect()
    }

    fn trained(w: usize, training: &[Symbol]) -> Bosc {
        let mut bosc = Bosc::new(&ModelSpec::parse(&format!("bosc:w={w}")).unwrap());
        bosc.learn(training, 0);
        bosc
    }

    proptest! {
        #[test]
        fn bosc_equals_a_naive_version(
            w in 2usize..=20,
            names in 2u16..8,
            mut training in proptest::collection::vec(0u16..300, 0..300),
            mut calls in proptest::collection::vec(0u16..310, 0..300),
            context in 0usize..40,
        ) {
            for symbol in &mut training {
                *symbol %= names;
            }
            for symbol in &mut calls {
                *symbol %= names + 1;
            }
            let context = context.min(calls.len());
            let mut verdicts = vec![7; calls.len() - context];
            trained(w, &training).judge(usize::from(names)).as_calls().unwrap().judge(&calls, context, &mut verdicts);
            prop_assert_eq!(verdicts, naive(&training, &calls, w, context));
        }

        #[test]
        fn learning_does_not_depend_on_where_the_calls_were_cut(
            w in 2usize..=20,
            calls in proptest::collection::vec(0u16..4, 0..200),
            cut in 0usize..200,
        ) {
            let cut = cut.min(calls.len());
            let mut pieces = trained(w, &calls[..cut]);
            let context = cut.min(30);
            pieces.learn(&calls[cut - context..], context);
            prop_assert_eq!(pieces.encode(), trained(w, &calls).encode());
        }

        #[test]
        fn what_was_stored_is_what_is_loaded(w in 2usize..=20, calls in proptest::collection::vec(0u16..5, 0..200)) {
            let bosc = trained(w, &calls);
            let loaded = Bosc::decode(&bosc.spec, &bosc.encode(), 5).unwrap();
            prop_assert_eq!(loaded.encode(), bosc.encode());
            prop_assert_eq!(loaded.statistics(), bosc.statistics());
        }
    }

    #[test]
    fn the_nearest_bag_differs_by_the_fewest_calls() {
        let bosc = trained(3, &[0, 1, 2, 0, 3]);
        assert_eq!(bosc.nearest(&[3, 2, 2]), Some((vec![0, 2, 3], 1)));
        assert_eq!(bosc.nearest(&[1, 2, 0]), Some((vec![0, 1, 2], 0)));
    }

    #[test]
    fn a_window_with_two_unknown_calls_is_never_known() {
        let bosc = trained(2, &[0, 1, 0]);
        let mut verdicts = [0; 3];
        bosc.judge(2).as_calls().unwrap().judge(&[2, 3, 1], 0, &mut verdicts);
        assert_eq!(verdicts, [verdict::NO_WINDOW, verdict::UNSEEN, verdict::UNSEEN]);
    }
}

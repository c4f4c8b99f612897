//! STIDE: sequences of calls that were never seen.
//!
//! S. Forrest, S. Hofmeyr, A. Somayaji, T. Longstaff, "A sense of self for Unix processes", IEEE Symposium on Security and Privacy,
//! 1996; S. Hofmeyr, S. Forrest, A. Somayaji, "Intrusion detection using sequences of system calls", Journal of Computer
//! Security 6, 1998. The profile is the set of all sequences of `n` consecutive calls of a thread; a sequence outside it is a
//! mismatch.
//!
//! # How it is fast
//!
//! A window is one number: its symbols side by side, each in as many bits as the alphabet needs. The next window is a shift, an
//! `or` and a mask away, and the question is one lookup in a [`WindowSet`]. 60 names and `n` = 6 take 36 bits; the widest case (16
//! calls of an alphabet of more than 254 names) takes 256, and nothing is ever hashed to fewer bits than it has: an answer is exact.

use std::any::Any;

use crate::{
    alphabet::Symbol,
    detector::{CallJudge, Detector, Expectation, Judge, RawScale, WindowStatistics, alike, verdict},
    novelty,
    registry::{DetectorInfo, Maker, ModelSpec, ParameterInfo},
    window_counts::WindowCounts,
    window_set::{Key, WindowSet},
};

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "stide",
    title: "STIDE: sequences never seen",
    description: "The profile is the set of all sequences of n consecutive calls of a thread; a sequence outside it is unseen \
                  (Forrest et al. 1996; Hofmeyr, Forrest and Somayaji 1998).",
    parameters: &[ParameterInfo::whole("n", 6, (2, Stide::MAX_WINDOW as u32))
        .or(&["window", "w"])
        .about("length of a sequence, calls")],
    maker: Maker::Own {
        window: |spec| spec.whole("n"),
        create: |spec| Box::new(Stide::new(spec)),
        decode: |spec, bytes, alphabet| {
            Stide::decode(spec, bytes, alphabet).map(|stide| Box::new(stide) as Box<dyn Detector>)
        },
    },
};

/// What STIDE has learned.
#[derive(Debug, Clone)]
pub(crate) struct Stide {
    spec: ModelSpec,
    width: usize,
    windows: WindowCounts<LearnedKey>,
    /// Share of training below which a window is rare (`tstide`); 0 for STIDE.
    rare: f64,
}

fn rare(spec: &ModelSpec) -> f64 {
    spec.value("rare") / 100.0
}

/// 16 symbols of 16 bits each: while learning, the alphabet still grows.
type LearnedKey = [u128; 2];

impl Stide {
    pub(crate) const MAX_WINDOW: usize = 16;

    fn new(spec: &ModelSpec) -> Self {
        let width = spec.window() as usize;
        Self { spec: spec.clone(), width, windows: WindowCounts::new(width), rare: rare(spec) }
    }

    fn decode(spec: &ModelSpec, bytes: &[u8], alphabet: usize) -> Result<Self, String> {
        let width = spec.window() as usize;
        let packing = Packing::<LearnedKey>::new(width, Symbol::BITS);
        let windows = WindowCounts::decode(bytes, width, alphabet, |window| Some(packing.pack(window)))?;
        Ok(Self { spec: spec.clone(), width, windows, rare: rare(spec) })
    }

    fn judge_with<K: Packable>(&self, bits: u32, unknown: Symbol) -> Judge {
        let packing = Packing::<K>::new(self.width, bits);
        let least = if self.rare > 0.0 { self.rare * self.windows.statistics().windows as f64 } else { 0.0 };
        let known = self.windows.windows().filter(|&(_, count)| count as f64 >= least);
        let set = WindowSet::new(self.windows.distinct(), known.map(|(window, _)| packing.pack(window)));
        Judge::Calls(Box::new(StideJudge { width: self.width, unknown, packing, set }))
    }
}

impl Detector for Stide {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn learn(&mut self, calls: &[Symbol], context: usize) {
        let packing = Packing::<LearnedKey>::new(self.width, Symbol::BITS);
        let first = context.saturating_sub(self.width - 1);
        let mut key = LearnedKey::ZERO;
        for (end, &symbol) in calls.iter().enumerate().skip(first) {
            key = packing.push(key, symbol);
            let has_window = end >= context && end + 1 >= self.width;
            if has_window {
                self.windows
                    .add(key, 1, |symbols| symbols.extend_from_slice(&calls[end + 1 - self.width..=end]));
            }
        }
    }

    fn judge(&self, alphabet: usize) -> Judge {
        // One code more than there are symbols stands for every unknown one, and the code of all ones stays unused, so that no
        // window ever has the key that marks a free place.
        let unknown = alphabet as Symbol;
        let bits = usize::BITS - (alphabet + 1).leading_zeros();
        match self.width as u32 * bits {
            0..=64 => self.judge_with::<u64>(bits, unknown),
            65..=128 => self.judge_with::<u128>(bits, unknown),
            _ => self.judge_with::<[u128; 2]>(Symbol::BITS, unknown),
        }
    }

    fn scale(&self) -> RawScale {
        novelty::scale(self.width as u32)
    }

    fn statistics(&self) -> WindowStatistics {
        self.windows.statistics()
    }

    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool {
        let Some(other) = alike(self, other) else { return false };
        let packing = Packing::<LearnedKey>::new(self.width, Symbol::BITS);
        for (window, count) in other.windows.sorted() {
            let window: Vec<Symbol> = window.iter().map(|&symbol| symbols[usize::from(symbol)]).collect();
            self.windows.add(packing.pack(&window), count, |symbols| symbols.extend_from_slice(&window));
        }
        self.windows.add_refused(other.statistics().refused);
        true
    }

    fn visit_windows(&self, visit: &mut dyn FnMut(&[Symbol], u64)) {
        for (window, count) in self.windows.sorted() {
            visit(window, count);
        }
    }

    fn forgets_order(&self) -> bool {
        false
    }

    /// By Hamming distance; among equals the one that occurred most often, then the smallest.
    fn nearest(&self, window: &[Symbol]) -> Option<(Vec<Symbol>, u32)> {
        let distance = |known: &[Symbol]| known.iter().zip(window).filter(|(a, b)| a != b).count() as u32;
        self.windows
            .windows()
            .map(|(known, count)| (distance(known), std::cmp::Reverse(count), known))
            .min()
            .map(|(distance, _, known)| (known.to_vec(), distance))
    }

    fn expectation(&self, window: &[Symbol]) -> Option<Expectation> {
        if self.rare <= 0.0 || window.len() != self.width {
            return None;
        }
        let key = Packing::<LearnedKey>::new(self.width, Symbol::BITS).pack(window);
        self.windows.count(key).map(|trained| Expectation::Rare { trained })
    }

    fn encode(&self) -> Vec<u8> {
        self.windows.encode()
    }

    fn boxed_clone(&self) -> Box<dyn Detector> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A number that symbols can be shifted into.
trait Packable: Key {
    const ZERO: Self;
    fn shift_in(self, symbol: Symbol, bits: u32) -> Self;
    fn masked(self, mask: Self) -> Self;
    /// The `bits` lowest bits set.
    fn low_ones(bits: u32) -> Self;
}

impl Packable for u64 {
    const ZERO: Self = 0;
    fn shift_in(self, symbol: Symbol, bits: u32) -> Self {
        self << bits | Self::from(symbol)
    }
    fn masked(self, mask: Self) -> Self {
        self & mask
    }
    fn low_ones(bits: u32) -> Self {
        if bits >= Self::BITS { Self::MAX } else { (1 << bits) - 1 }
    }
}

impl Packable for u128 {
    const ZERO: Self = 0;
    fn shift_in(self, symbol: Symbol, bits: u32) -> Self {
        self << bits | Self::from(symbol)
    }
    fn masked(self, mask: Self) -> Self {
        self & mask
    }
    fn low_ones(bits: u32) -> Self {
        if bits >= Self::BITS { Self::MAX } else { (1 << bits) - 1 }
    }
}

/// The higher half first.
impl Packable for [u128; 2] {
    const ZERO: Self = [0; 2];
    fn shift_in(self, symbol: Symbol, bits: u32) -> Self {
        [self[0] << bits | self[1] >> (u128::BITS - bits), self[1] << bits | u128::from(symbol)]
    }
    fn masked(self, mask: Self) -> Self {
        [self[0] & mask[0], self[1] & mask[1]]
    }
    fn low_ones(bits: u32) -> Self {
        [u128::low_ones(bits.saturating_sub(u128::BITS)), u128::low_ones(bits)]
    }
}

/// How windows become numbers.
#[derive(Debug, Clone, Copy)]
struct Packing<K> {
    bits: u32,
    mask: K,
}

impl<K: Packable> Packing<K> {
    fn new(width: usize, bits: u32) -> Self {
        Self { bits, mask: K::low_ones(width as u32 * bits) }
    }

    #[inline]
    fn push(self, key: K, symbol: Symbol) -> K {
        key.shift_in(symbol, self.bits).masked(self.mask)
    }

    fn pack(self, window: &[Symbol]) -> K {
        window.iter().fold(K::ZERO, |key, &symbol| self.push(key, symbol))
    }
}

#[derive(Debug)]
struct StideJudge<K> {
    width: usize,
    unknown: Symbol,
    packing: Packing<K>,
    set: WindowSet<K>,
}

impl<K: Packable> CallJudge for StideJudge<K> {
    fn judge(&self, calls: &[Symbol], context: usize, verdicts: &mut [u8]) {
        // Calls before the first window are packed without asking.
        let first_window = context.max(self.width - 1).min(calls.len());
        let start = (first_window + 1).saturating_sub(self.width).min(first_window);
        let (without_window, with_window) = verdicts.split_at_mut(first_window - context);
        without_window.fill(verdict::NO_WINDOW);
        let push = |key, symbol: Symbol| self.packing.push(key, symbol.min(self.unknown));
        let mut key = calls[start..first_window].iter().fold(K::ZERO, |key, &symbol| push(key, symbol));
        for (verdict, &symbol) in with_window.iter_mut().zip(&calls[first_window..]) {
            key = push(key, symbol);
            *verdict = if self.set.contains(key) { verdict::KNOWN } else { verdict::UNSEEN };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// STIDE as its authors describe it, in as few words as possible.
    fn naive(training: &[Symbol], calls: &[Symbol], n: usize, context: usize) -> Vec<u8> {
        let known: HashSet<&[Symbol]> = training.windows(n).collect();
        (context..calls.len())
            .map(|end| match (end + 1).checked_sub(n) {
                None => verdict::NO_WINDOW,
                Some(start) if known.contains(&calls[start..=end]) => verdict::KNOWN,
                Some(_) => verdict::UNSEEN,
            })
            .collect()
    }

    fn trained(n: usize, training: &[Symbol]) -> Stide {
        let mut stide = Stide::new(&ModelSpec::parse(&format!("stide:n={n}")).unwrap());
        stide.learn(training, 0);
        stide
    }

    proptest! {
        #[test]
        fn stide_equals_a_naive_version(
            n in 2usize..=16,
            names in prop_oneof![Just(2u16), Just(3), Just(60), Just(300)],
            mut training in proptest::collection::vec(0u16..300, 0..400),
            mut calls in proptest::collection::vec(0u16..310, 0..200),
            copied in 0usize..200,
            context in 0usize..40,
        ) {
            for symbol in &mut training {
                *symbol %= names;
            }
            for symbol in &mut calls {
                *symbol %= names + 2;
            }
            calls.extend_from_slice(&training[..copied.min(training.len())]);
            let context = context.min(calls.len());
            let stide = trained(n, &training);
            let mut verdicts = vec![7; calls.len() - context];
            stide.judge(usize::from(names)).as_calls().unwrap().judge(&calls, context, &mut verdicts);
            prop_assert_eq!(verdicts, naive(&training, &calls, n, context));
        }

        #[test]
        fn learning_does_not_depend_on_where_the_calls_were_cut(
            n in 2usize..=16,
            calls in proptest::collection::vec(0u16..4, 0..200),
            cut in 0usize..200,
        ) {
            let cut = cut.min(calls.len());
            let mut pieces = trained(n, &calls[..cut]);
            let context = cut.min(20);
            pieces.learn(&calls[cut - context..], context);
            prop_assert_eq!(pieces.encode(), trained(n, &calls).encode());
        }

        #[test]
        fn what_was_stored_is_what_is_loaded(n in 2usize..=16, calls in proptest::collection::vec(0u16..5, 0..200)) {
            let stide = trained(n, &calls);
            let loaded = Stide::decode(&stide.spec, &stide.encode(), 5).unwrap();
            prop_assert_eq!(loaded.encode(), stide.encode());
            prop_assert_eq!(loaded.statistics(), stide.statistics());
            let mut twice = loaded.clone();
            prop_assert!(twice.merge(&stide, &[0, 1, 2, 3, 4]));
            prop_assert_eq!(twice.statistics().distinct, stide.statistics().distinct);
            prop_assert_eq!(twice.statistics().windows, 2 * stide.statistics().windows);
        }
    }

    #[test]
    fn the_nearest_sequence_differs_in_the_fewest_places() {
        let stide = trained(3, &[0, 1, 2, 0, 1, 2, 3]);
        assert_eq!(stide.nearest(&[0, 1, 3]), Some((vec![0, 1, 2], 1)));
        assert_eq!(stide.nearest(&[2, 0, 1]), Some((vec![2, 0, 1], 0)));
        assert_eq!(trained(3, &[]).nearest(&[1, 1, 1]), None);
    }
}

//! Random numbers that are the same for the same seed, on every machine and for ever: SplitMix64 (G. L. Steele, D. Lea, C. H. Flood,
//! "Fast splittable pseudorandom number generators", OOPSLA 2014). Good enough to draw samples; no secret is made of them.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream `number` of a seed. Streams of different numbers have nothing to do with each other, so work that is shared out
    /// among cores draws the same numbers whatever their count.
    pub(crate) fn stream(seed: u64, number: u64) -> Self {
        let mut random = Self(seed);
        let start = random.next();
        let mut random = Self(start ^ number.wrapping_mul(GOLDEN));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`, which must not be 0. (The bias of one part in 2^64 / bound is far below what a sample can show.)
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// Puts things in random order.
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for place in (1..things.len()).rev() {
            things.swap(place, self.below(place + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_what_it_is_for_ever_and_differs_from_the_next() {
        // The first three of the reference implementation for the seed 1234567.
        let mut random = Random(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        assert_ne!(Random::stream(1, 0).next(), Random::stream(1, 1).next());
        assert_ne!(Random::stream(1, 0).next(), Random::stream(2, 0).next());
    }

    #[test]
    fn every_number_below_the_bound_is_drawn_and_a_shuffle_loses_nothing() {
        let mut random = Random::stream(7, 0);
        let mut seen = [0u32; 5];
        for _ in 0..5000 {
            seen[random.below(5)] += 1;
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
        let mut things: Vec<usize> = (0..100).collect();
        random.shuffle(&mut things);
        assert!(!things.is_sorted());
        things.sort_unstable();
        assert!(things.into_iter().eq(0..100));
    }
}

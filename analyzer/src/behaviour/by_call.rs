//! What is known of each call by name: a table that grows with the calls that are met.

use serde::{Deserialize, Serialize};

use super::frame::MAX_CALLS;
use crate::{alphabet::Symbol, detector::WindowStatistics};

/// What is known of the calls of one name.
pub(crate) trait OfCall: Clone + Default {
    /// Frames that have the call.
    fn frames(&self) -> u64;

    /// Learns what `other` has learned.
    fn merge(&mut self, other: &Self);
}

/// What is known of calls, by symbol. In bytes it is a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ByCall<Known>(Vec<Known>);

impl<Known> Default for ByCall<Known> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<Known: OfCall> ByCall<Known> {
    /// What is known of a call; `None` if it is beyond every call that was met.
    pub(crate) fn get(&self, symbol: Symbol) -> Option<&Known> {
        self.0.get(usize::from(symbol))
    }

    /// What is known of a call, to learn more of it. Its symbol must be below [`MAX_CALLS`], as all of a frame's groups are.
    pub(crate) fn entry(&mut self, symbol: Symbol) -> &mut Known {
        let place = usize::from(symbol);
        if self.0.len() <= place {
            self.0.resize(place + 1, Known::default());
        }
        &mut self.0[place]
    }

    /// What is known of every call.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Known> {
        self.0.iter()
    }

    /// Learns what `other` has learned, with its symbol `s` being `symbols[s]` here.
    pub(crate) fn merge(&mut self, other: &Self, symbols: &[Symbol]) {
        for (known, &symbol) in other.iter().zip(symbols) {
            if usize::from(symbol) < MAX_CALLS {
                self.entry(symbol).merge(known);
            }
        }
    }

    /// How much was learned in so many frames: the frames, and calls by name.
    pub(crate) fn statistics(&self, frames: u64) -> WindowStatistics {
        let seen = |frames: u64| self.iter().filter(|known| known.frames() >= frames).count() as u64;
        WindowStatistics { windows: frames, distinct: seen(1), singletons: seen(1) - seen(2), refused: 0 }
    }

    /// Whether every call is one that a profile with so many symbols can name.
    pub(crate) fn is_within(&self, alphabet: usize) -> bool {
        self.0.len() <= alphabet.min(MAX_CALLS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
    struct Frames(u64);

    impl OfCall for Frames {
        fn frames(&self) -> u64 {
            self.0
        }

        fn merge(&mut self, other: &Self) {
            self.0 += other.0;
        }
    }

    #[test]
    fn merging_renames_calls_and_leaves_out_those_beyond_the_limit() {
        let mut table = ByCall::<Frames>::default();
        table.entry(1).merge(&Frames(2));
        let mut other = ByCall::<Frames>::default();
        for (symbol, frames) in [(0, 3), (1, 4), (2, 5)] {
            *other.entry(symbol) = Frames(frames);
        }
        table.merge(&other, &[1, MAX_CALLS as Symbol, 3]);
        assert_eq!(table, ByCall([0, 5, 0, 5].map(Frames).to_vec()));
        assert_eq!(table.statistics(9).distinct, 2);
        assert!(table.is_within(4) && !table.is_within(3));
    }

    #[test]
    fn in_bytes_it_is_a_sequence() {
        let table = ByCall([1, 2].map(Frames).to_vec());
        assert_eq!(postcard::to_stdvec(&table), postcard::to_stdvec(&[Frames(1), Frames(2)].as_slice()));
    }
}

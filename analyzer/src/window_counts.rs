//! Windows that were learned, with how often each occurred.

use std::hash::Hash;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{alphabet::Symbol, detector::WindowStatistics};

/// Most different windows that one model learns. A workload has thousands, rarely a million: what exceeds this is no
/// regularity, and a hostile container must not fill the memory. Further windows are counted as refused.
pub(crate) const MAX_DISTINCT: usize = 1 << 22;

/// Windows of `width` calls with their counts, found by a key of type `K`.
#[derive(Debug, Clone)]
pub(crate) struct WindowCounts<K> {
    width: usize,
    places: FxHashMap<K, u32>,
    symbols: Vec<Symbol>,
    counts: Vec<u64>,
    refused: u64,
}

/// The form in a file: windows in ascending order, one after the other.
#[derive(Serialize, Deserialize)]
struct Stored {
    symbols: Vec<Symbol>,
    counts: Vec<u64>,
    refused: u64,
}

impl<K: Copy + Eq + Hash> WindowCounts<K> {
    pub(crate) fn new(width: usize) -> Self {
        Self { width, places: FxHashMap::default(), symbols: Vec::new(), counts: Vec::new(), refused: 0 }
    }

    /// Adds `times` occurrences of the window with this key; `window` gives its calls if it is new.
    #[inline]
    pub(crate) fn add(&mut self, key: K, times: u64, window: impl FnOnce(&mut Vec<Symbol>)) {
        if let Some(&place) = self.places.get(&key) {
            let count = &mut self.counts[place as usize];
            *count = count.saturating_add(times);
        } else if self.counts.len() >= MAX_DISTINCT {
            self.refused = self.refused.saturating_add(times);
        } else {
            self.places.insert(key, self.counts.len() as u32);
            self.counts.push(times);
            window(&mut self.symbols);
            debug_assert_eq!(self.symbols.len(), self.counts.len() * self.width);
        }
    }

    /// How often the window with this key occurred, if it did.
    pub(crate) fn count(&self, key: K) -> Option<u64> {
        self.places.get(&key).map(|&place| self.counts[place as usize])
    }

    pub(crate) fn distinct(&self) -> usize {
        self.counts.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.places.keys().copied()
    }

    /// Windows that were not learned elsewhere are not learned here either.
    pub(crate) fn add_refused(&mut self, refused: u64) {
        self.refused = self.refused.saturating_add(refused);
    }

    pub(crate) fn statistics(&self) -> WindowStatistics {
        WindowStatistics {
            windows: self.counts.iter().fold(0, |sum: u64, &count| sum.saturating_add(count)),
            distinct: self.counts.len() as u64,
            singletons: self.counts.iter().filter(|&&count| count == 1).count() as u64,
            refused: self.refused,
        }
    }

    /// Every window with its count, in no particular order.
    pub(crate) fn windows(&self) -> impl Iterator<Item = (&[Symbol], u64)> {
        self.symbols.chunks_exact(self.width).zip(self.counts.iter().copied())
    }

    /// Every window with its count, in ascending order.
    pub(crate) fn sorted(&self) -> Vec<(&[Symbol], u64)> {
        let mut windows: Vec<_> = self.windows().collect();
        windows.sort_unstable();
        windows
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut stored = Stored {
            symbols: Vec::with_capacity(self.symbols.len()),
            counts: Vec::new(),
            refused: self.refused,
        };
        for (window, count) in self.sorted() {
            stored.symbols.extend_from_slice(window);
            stored.counts.push(count);
        }
        postcard::to_stdvec(&stored).unwrap_or_default()
    }

    /// Reads [`WindowCounts::encode`]'s bytes. `key` makes a window's key, or refuses the window.
    pub(crate) fn decode(
        bytes: &[u8],
        width: usize,
        alphabet: usize,
        key: impl Fn(&[Symbol]) -> Option<K>,
    ) -> Result<Self, String> {
        let (stored, rest): (Stored, _) = postcard::take_from_bytes(bytes)
            .map_err(|error| format!("its windows cannot be read: {error}"))?;
        if !rest.is_empty() {
            return Err("bytes follow its windows".to_owned());
        }
        if stored.counts.len() > MAX_DISTINCT || stored.symbols.len() != stored.counts.len() * width {
            return Err("its windows and counts do not match".to_owned());
        }
        if stored.symbols.iter().any(|&symbol| usize::from(symbol) >= alphabet) {
            return Err("a window holds a call that the profile does not name".to_owned());
        }
        if stored.counts.contains(&0) {
            return Err("a window occurs no times".to_owned());
        }
        if !stored.symbols.chunks_exact(width).is_sorted_by(|a, b| a < b) {
            return Err("its windows are not in order".to_owned());
        }
        let mut places = FxHashMap::default();
        for (place, window) in stored.symbols.chunks_exact(width).enumerate() {
            let key = key(window).ok_or_else(|| "a window is none of its kind".to_owned())?;
            places.insert(key, place as u32);
        }
        if places.len() != stored.counts.len() {
            return Err("two windows have one key".to_owned());
        }
        Ok(Self { width, places, symbols: stored.symbols, counts: stored.counts, refused: stored.refused })
    }
}

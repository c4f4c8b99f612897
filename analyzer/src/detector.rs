//! What a detector is.
//!
//! A detector comes in two forms. The [`Detector`] is what learns, is merged, compared, explained and stored. The [`Judge`] that
//! it makes is what scores: immutable, compact, and free of everything that scoring does not need.
//!
//! Both see *runs*: consecutive calls of one thread, preceded by as many of its earlier calls as are known (the *context*).
//! Who gathers runs out of segments (`sequences`) takes care of threads, cuts and gaps, so no detector has to.

use std::{any::Any, fmt::Debug};

use crate::{alphabet::Symbol, registry::ModelSpec};

/// What a judge says of one call: how surprising the window is that ends with it.
pub mod verdict {
    /// Too few calls of the thread are known: no window ends here.
    pub const NO_WINDOW: u8 = 0;
    /// The window is as normal as can be.
    pub const KNOWN: u8 = 1;
    /// The window was never seen in training.
    pub const UNSEEN: u8 = 255;
}

/// Learns what is normal.
pub trait Detector: Any + Debug + Send + Sync {
    /// Name and parameters.
    fn spec(&self) -> &ModelSpec;

    /// Learns every window that ends behind the first `context` of `calls`.
    fn learn(&mut self, calls: &[Symbol], context: usize);

    /// The form that scores. Symbols from `alphabet` on are unknown to it.
    fn judge(&self, alphabet: usize) -> Box<dyn Judge>;

    /// How much has been learned.
    fn statistics(&self) -> WindowStatistics;

    /// Learns what `other` has learned, with its symbol `s` being `symbols[s]` here. Returns whether `other` is of the same
    /// detector with the same parameters; if not, nothing is learned.
    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool;

    /// Calls `visit` with every window known and how often it occurred, in ascending order of the windows.
    fn visit_windows(&self, visit: &mut dyn FnMut(&[Symbol], u64));

    /// Whether the windows that [`Detector::visit_windows`] shows are bags (sorted, order of the calls lost).
    fn forgets_order(&self) -> bool;

    /// The known window that is nearest to `window`, and how many calls differ.
    fn nearest(&self, window: &[Symbol]) -> Option<(Vec<Symbol>, u32)>;

    /// Content as bytes, the same for the same content. [`crate::registry::DetectorInfo::decode`] reads them.
    fn encode(&self) -> Vec<u8>;

    /// A copy.
    fn boxed_clone(&self) -> Box<dyn Detector>;

    /// For [`Detector::merge`].
    fn as_any(&self) -> &dyn Any;
}

impl Clone for Box<dyn Detector> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// Says of every call how surprising it is.
pub trait Judge: Debug + Send + Sync {
    /// Writes one [`verdict`] for each of `calls[context..]`.
    fn judge(&self, calls: &[Symbol], context: usize, verdicts: &mut [u8]);
}

/// How much a detector has learned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowStatistics {
    /// Windows learned.
    pub windows: u64,
    /// Different ones among them.
    pub distinct: u64,
    /// Those that occurred once.
    pub singletons: u64,
    /// Windows that were not learned, because too many different ones were known already.
    pub refused: u64,
}

impl WindowStatistics {
    /// Probability that the next window is one of those never seen, by Good and Turing: the share of windows that occurred once
    /// (I. J. Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40, 1953).
    /// 1 before anything was learned.
    pub fn unseen_mass(&self) -> f64 {
        if self.windows == 0 { 1.0 } else { self.singletons as f64 / self.windows as f64 }
    }
}

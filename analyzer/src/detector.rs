//! What a detector is.
//!
//! A detector comes in two forms. The [`Detector`] is what learns, is merged, compared, explained and stored. The [`Judge`] that
//! it makes is what scores: immutable, compact, and free of everything that scoring does not need.
//!
//! There are two kinds of judgement, and one calibration for both:
//!
//! | judge | sees | says | raw score of a frame |
//! |---|---|---|---|
//! | [`CallJudge`] | *runs*: consecutive calls of one thread, preceded by as many of its earlier calls as are known (the *context*) | of every call how surprising it is | peak of a walk over these surprises (`novelty`) |
//! | [`FrameJudge`] | all calls of a frame, thread by thread, and the columns they come from | how strange the frame is | just that |
//!
//! Who gathers runs and frames out of segments (`sequences`, `frames`) takes care of threads, cuts and gaps, so no detector has to.
//! A published trace is a frame of its own and is judged as a whole ([`Judge::trace_score`]).
//!
//! # To add a detector
//!
//! Write its file: a `DetectorInfo` and a [`Detector`]. Add its line to [`crate::DETECTORS`]. A model that is *fitted* to frames
//! rather than counted keeps a `FrameSample` and fits in [`Detector::finish`]; `fitted` does all of this for
//! anything that can fit and score.

use std::{any::Any, fmt::Debug, ops::Range};

use rastro_model::{Reason, Segment};

use crate::{
    alphabet::{Alphabet, Symbol},
    registry::ModelSpec,
};

/// Stands between calls of different threads in [`Frame::calls`]. No sequence goes across it. No call has this symbol.
pub use crate::vector::features::BREAK;

/// What a [`CallJudge`] says of one call: a code for how surprising it is, in the context of the calls before.
pub mod verdict {
    /// Too few calls of the thread are known: nothing can be said.
    pub const NO_WINDOW: u8 = 0;
    /// As normal as can be.
    pub const KNOWN: u8 = 1;
    /// Never seen in training, or as surprising as that.
    pub const UNSEEN: u8 = 255;
}

/// What each verdict adds to the level of novelty (`novelty`), in the units of [`RawScale::units`]. What adds is an *unseen* window.
pub type Steps = [i16; 256];

/// The steps of a judge that tells known from unseen and nothing between: 8 up, 1 down. The ratio is what the likelihood ratio gives where
/// some windows in a thousand are unseen normally and a third to a half under attack.
pub const KNOWN_OR_UNSEEN: Steps = {
    let mut steps = [-1; 256];
    steps[verdict::NO_WINDOW as usize] = 0;
    steps[verdict::UNSEEN as usize] = 8;
    steps
};

/// How raw scores of a detector are counted and what calibration may take for granted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawScale {
    /// Raw scores are counted in this fraction of their unit, …
    pub units: u32,
    /// … which is called so, in the plural.
    pub name: &'static str,
    /// Beyond the data, a raw score that is higher by this much is taken to be at best e times rarer.
    pub least_mean_excess: f64,
    /// However much held-out data says otherwise, less than this never alarms.
    pub least_threshold: f64,
    /// Highest threshold.
    pub highest_threshold: f64,
}

impl RawScale {
    /// A raw score in whole fractions, as it is kept of held-out frames.
    pub(crate) fn level(&self, raw: f64) -> u32 {
        (raw * f64::from(self.units)).round().clamp(0.0, f64::from(u16::MAX)) as u32
    }

    /// The raw score of [`RawScale::level`].
    pub(crate) fn raw(&self, level: u32) -> f64 {
        f64::from(level) / f64::from(self.units)
    }
}

/// The calls of one frame, for detectors that judge frames as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The calls, thread by thread in the order in which the threads appear, with a [`BREAK`] between two threads. Those of a short frame are
    /// preceded by earlier ones, up to the length of a whole frame; there are none if too few are known.
    pub calls: &'a [Symbol],
    /// Whether these calls are a whole frame of calls that were not in such a frame before. Who learns from [`Frame::calls`] learns these
    /// frames alone; who learns from [`Frame::source`] learns all.
    pub is_fresh: bool,
    /// Where they come from; absent for a trace of which only the calls are known.
    pub source: Option<FrameSource<'a>>,
}

/// Where the calls of a frame come from.
#[derive(Debug, Clone, Copy)]
pub struct FrameSource<'a> {
    /// The segment. Columns beside kind, thread and time may be empty: a store reads only what is asked for.
    pub segment: &'a Segment,
    /// For each of the segment's kinds its symbol.
    pub symbols: &'a [Symbol],
    /// First call of the frame, counted in the segment.
    pub start: usize,
    /// Behind its last call.
    pub end: usize,
}

impl FrameSource<'_> {
    /// Which calls of the segment.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

impl<'a> Frame<'a> {
    /// A trace of which only the calls are known.
    pub fn of_trace(calls: &'a [Symbol]) -> Self {
        Self { calls, is_fresh: true, source: None }
    }
}

/// Learns what is normal.
pub trait Detector: Any + Debug + Send + Sync {
    /// Name and parameters.
    fn spec(&self) -> &ModelSpec;

    /// Learns every window that ends behind the first `context` of `calls`, all of one thread.
    fn learn(&mut self, _calls: &[Symbol], _context: usize) {}

    /// Learns a frame ([`Frame::is_fresh`] says which to learn from).
    fn learn_frame(&mut self, _frame: &Frame<'_>) {}

    /// All that there is for now has been learned: whatever must be fitted is fitted here and not in [`Detector::judge`], which is
    /// called often.
    fn finish(&mut self) {}

    /// The form that scores. Symbols from `alphabet` on are unknown to it.
    fn judge(&self, alphabet: usize) -> Judge;

    /// How its raw scores are counted.
    fn scale(&self) -> RawScale;

    /// Raw scores of frames that it learned, each given by a fit that did not see it, with how often it occurred. `None`: it has none of
    /// its own, and every frame that is trained on is scored before it is learned (prequential).
    fn held_out(&self) -> Option<Vec<(f64, u64)>> {
        None
    }

    /// How much has been learned.
    fn statistics(&self) -> WindowStatistics;

    /// Learns what `other` has learned, with its symbol `s` being `symbols[s]` here. Returns whether `other` is of the same
    /// detector with the same parameters; if not, nothing is learned.
    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool;

    /// Calls `visit` with every window known and how often it occurred, in ascending order of the windows.
    fn visit_windows(&self, _visit: &mut dyn FnMut(&[Symbol], u64)) {}

    /// Whether the windows that [`Detector::visit_windows`] shows are bags (sorted, order of the calls lost).
    fn forgets_order(&self) -> bool {
        false
    }

    /// The known window that is nearest to `window`, and how many calls differ.
    fn nearest(&self, _window: &[Symbol]) -> Option<(Vec<Symbol>, u32)> {
        None
    }

    /// What it knows of the call that ends `window`, where more can be said than that the window was never seen.
    fn expectation(&self, _window: &[Symbol]) -> Option<Expectation> {
        None
    }

    /// Content as bytes, the same for the same content. `ModelSpec::decode` reads them.
    fn encode(&self) -> Vec<u8>;

    /// What people should know of what it learned, such as that it could not learn something.
    fn note(&self) -> Option<String> {
        None
    }

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

/// What a detector knows of a call after the calls before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// The window is known, but rare.
    Rare {
        /// How often it occurred in training.
        trained: u64,
    },
    /// The call is improbable.
    Improbable {
        /// One in so many.
        one_in: u64,
        /// The call that would have been the most probable.
        expected: Option<Symbol>,
    },
}

/// Says how strange calls are.
#[derive(Debug)]
pub enum Judge {
    /// Call by call.
    Calls(Box<dyn CallJudge>),
    /// Frame by frame.
    Frames(Box<dyn FrameJudge>),
}

/// `other` as what `this` is, if it is a detector of the same kind with the same specification.
pub(crate) fn alike<'other, Kind: Detector>(
    this: &Kind,
    other: &'other dyn Detector,
) -> Option<&'other Kind> {
    other.as_any().downcast_ref::<Kind>().filter(|other| other.spec() == this.spec())
}

impl Judge {
    /// Score of a whole trace of which only the calls are known: the higher, the stranger.
    pub fn trace_score(&self, calls: &[Symbol]) -> f64 {
        match self {
            Self::Calls(judge) => judge.trace_score(calls),
            Self::Frames(judge) => judge.score(&Frame::of_trace(calls)),
        }
    }

    /// The judge of calls, if this is one.
    pub fn as_calls(&self) -> Option<&dyn CallJudge> {
        match self {
            Self::Calls(judge) => Some(judge.as_ref()),
            Self::Frames(_) => None,
        }
    }

    /// The judge of frames, if this is one.
    pub fn as_frames(&self) -> Option<&dyn FrameJudge> {
        match self {
            Self::Calls(_) => None,
            Self::Frames(judge) => Some(judge.as_ref()),
        }
    }
}

/// Says of every call how surprising it is.
pub trait CallJudge: Debug + Send + Sync {
    /// Writes one [`verdict`] for each of `calls[context..]`.
    fn judge(&self, calls: &[Symbol], context: usize, verdicts: &mut [u8]);

    /// What the verdicts add to the level of novelty.
    fn steps(&self) -> &Steps {
        &KNOWN_OR_UNSEEN
    }

    /// Score of a whole trace: the share of its windows that are unseen; 0 for a trace that is too short for a window.
    fn trace_score(&self, calls: &[Symbol]) -> f64 {
        let mut verdicts = vec![0; calls.len()];
        self.judge(calls, 0, &mut verdicts);
        let (mut windows, mut unseen) = (0u64, 0u64);
        for &verdict in &verdicts {
            windows += u64::from(verdict != verdict::NO_WINDOW);
            unseen += u64::from(verdict == verdict::UNSEEN);
        }
        if windows == 0 { 0.0 } else { unseen as f64 / windows as f64 }
    }
}

/// Says of a frame how strange it is.
pub trait FrameJudge: Debug + Send + Sync {
    /// The higher, the stranger. A frame is scored by this, cut at 0; a trace by just this.
    fn score(&self, frame: &Frame<'_>) -> f64;

    /// Reasons of its own. Where there are none, the calls are named without which the frame would be the least strange (`occlusion`).
    fn reasons(&self, _frame: &Frame<'_>, _alphabet: &Alphabet) -> Vec<Reason> {
        Vec::new()
    }

    /// What its members say, if it has several.
    fn opinions(&self, _frame: &Frame<'_>, _alphabet: &Alphabet) -> Option<Reason> {
        None
    }
}

/// How much a detector has learned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowStatistics {
    /// Windows learned; frames, of a detector that learns frames.
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

//! Scores: what a detector says of a segment, frame by frame.
//!
//! A *window* is a sequence of `window` consecutive calls of one thread (of the container, where the source gives no
//! threads); it slides by one call. A *frame* is a run of calls of one segment; the windows that end in it are judged
//! together, and the frame is the unit that has a score, a threshold and reasons.

use serde::{Deserialize, Serialize};

use crate::SegmentId;

/// A profile at a version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProfileRef {
    /// Name of the profile: the image, or a name given.
    pub name: String,
    /// Version, counted from 1; 0 while a profile is still being learned.
    pub version: u32,
}

/// The scores of one segment by one model: one document a frame in `<index>-anomaly`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentScores {
    /// The segment that was scored.
    pub segment: SegmentId,
    /// Name of the detector (`stide`, `bosc`).
    pub detector: String,
    /// Window size, calls.
    pub window: u32,
    /// The profile that it was compared with.
    pub profile: ProfileRef,
    /// Score at which a frame alarms.
    pub threshold: f64,
    /// One entry a frame, in order.
    pub frames: Vec<FrameScore>,
}

/// The score of one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameScore {
    /// First call of the frame, counted in its segment.
    pub first_call: u32,
    /// Number of calls in the frame.
    pub calls: u32,
    /// Windows that end in the frame.
    pub windows: u32,
    /// Those of them that the profile does not know.
    pub unseen: u32,
    /// The detector's own figure, before calibration.
    pub raw: f64,
    /// 0–100, calibrated: comparable between detectors.
    pub score: f64,
    /// The score reached the threshold.
    pub alarm: bool,
    /// Calls were lost inside the frame or right before it, so that its windows join calls that were not neighbours.
    pub lossy: bool,
    /// The profile was still being learned: the score is a figure of novelty and never alarms.
    pub learning: bool,
    /// Time of the first call, nanoseconds since the epoch.
    pub start_ns: i64,
    /// Time of the last call, nanoseconds since the epoch.
    pub end_ns: i64,
    /// Why, the strongest first; empty for a frame far below the threshold.
    pub reasons: Vec<Reason>,
}

/// One reason for a score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// A sequence of calls that the profile has never seen.
    UnseenSequence {
        /// The calls, oldest first.
        calls: Vec<String>,
        /// The call of the segment with which it ends.
        ends_at: u32,
        /// How often it occurs in the frame.
        times: u32,
        /// Thread that made it, where known.
        thread: Option<i64>,
        /// Name of that thread's process, where known.
        process: Option<String>,
        /// The known sequence that differs from it in the fewest places.
        nearest: Option<Vec<String>>,
        /// In how many places.
        distance: u32,
    },
    /// A bag (multiset) of calls that the profile has never seen.
    UnseenBag {
        /// The calls of the bag with their counts, by name.
        calls: Vec<(String, u32)>,
        /// The call of the segment with which it ends.
        ends_at: u32,
        /// How often it occurs in the frame.
        times: u32,
        /// Thread that made it, where known.
        thread: Option<i64>,
        /// Name of that thread's process, where known.
        process: Option<String>,
        /// The known bag that differs from it by the fewest calls.
        nearest: Option<Vec<(String, u32)>>,
        /// By how many calls.
        distance: u32,
    },
    /// A call that is rare in the profile, or was never seen.
    RareCall {
        /// Name of the call.
        name: String,
        /// The first such call of the frame, counted in its segment.
        call: u32,
        /// How often it occurs in the frame.
        times: u32,
        /// How often it occurred in training.
        trained: u64,
        /// Its arguments, where they were kept.
        arguments: Option<String>,
    },
    /// Calls of one name ended otherwise than in training: more often with an error, with another error, or without.
    UnusualOutcome {
        /// Name of the call.
        name: String,
        /// `failure`, `success`, or the name of one error.
        outcome: String,
        /// The first such call of the frame, counted in its segment.
        call: u32,
        /// How many calls of the name ended so in the frame.
        times: u32,
        /// Calls of the name in the frame.
        calls: u32,
        /// How many ended so in training.
        trained_times: u64,
        /// Calls of the name in training.
        trained_calls: u64,
        /// Arguments of the first such call, where they were kept.
        arguments: Option<String>,
    },
    /// A number of the calls of one name is unlike those of training.
    UnusualFigure {
        /// Name of the call; empty where it is a number of the frame as a whole.
        name: String,
        /// What the number measures.
        figure: CallFigure,
        /// Which number of the frame it is.
        extent: FigureExtent,
        /// The number.
        value: u64,
        /// One in a hundred is lower in training.
        usual_low: u64,
        /// One in a hundred is higher in training.
        usual_high: u64,
        /// The call that has the number, counted in its segment.
        call: u32,
        /// Calls of the name in the frame.
        calls: u32,
    },
    /// A path of a shape that the call never had in training.
    UnseenPath {
        /// Name of the call.
        name: String,
        /// The path.
        path: String,
        /// Its shape: its first directories, its depth, its extension.
        shape: String,
        /// The call, counted in its segment.
        call: u32,
        /// Different shapes of that kind in the frame.
        shapes: u32,
        /// Paths of the call in training.
        trained: u64,
    },
    /// A call that a model of the sequence did not expect.
    UnexpectedCall {
        /// The calls before it that were looked at, oldest first, and the call itself.
        calls: Vec<String>,
        /// The call, counted in its segment.
        ends_at: u32,
        /// Bits of surprise, in thousandths.
        millibits: u64,
        /// Thread that made it, where known.
        thread: Option<i64>,
        /// Name of that thread's process, where known.
        process: Option<String>,
        /// The call that was expected most.
        expected: Option<String>,
    },
    /// A sequence of calls that the profile knows, but that is rare in it.
    RareSequence {
        /// The calls, oldest first.
        calls: Vec<String>,
        /// The call of the segment with which it ends.
        ends_at: u32,
        /// How often it occurs in the frame.
        times: u32,
        /// How often it occurred in training.
        trained: u64,
        /// Thread that made it, where known.
        thread: Option<i64>,
        /// Name of that thread's process, where known.
        process: Option<String>,
    },
    /// Calls without which the frame would not be strange.
    StrangeCalls {
        /// The calls, oldest first.
        calls: Vec<String>,
        /// The first of them, counted in the segment.
        first_call: u32,
        /// Thread that made it, where known.
        thread: Option<i64>,
        /// Name of that thread's process, where known.
        process: Option<String>,
        /// Score of the frame, rounded.
        score: u32,
        /// Score that it would have without these calls, rounded.
        score_without: u32,
    },
    /// What the members of an ensemble say.
    Opinions {
        /// Each with one in how many normal frames it finds as strange.
        members: Vec<(String, u64)>,
    },
}

/// What a number of calls measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CallFigure {
    /// Number of arguments.
    ArgumentCount,
    /// Characters of the arguments.
    ArgumentLength,
    /// Bytes read or written.
    BytesMoved,
    /// Time that the call took, nanoseconds.
    LatencyNs,
    /// Time for which its thread made no call before it, nanoseconds.
    PauseNs,
    /// Mean time from one call of the frame to the next, nanoseconds.
    IntervalNs,
}

/// Which number of a frame is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FigureExtent {
    /// The highest one.
    Highest,
    /// The median.
    Median,
}

//! Alarms: what an analyst is shown.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Container, ProfileRef, Reason, SegmentId};

/// Identity of an alarm: the segment and frame at which it began. The same data always gives the same id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlarmId(pub String);

impl fmt::Display for AlarmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A container behaved as its profile has never seen.
///
/// Frames that alarm in one container within the configured time of one another are one alarm, which grows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Identity.
    pub id: AlarmId,
    /// Dataset index in which it was found.
    pub index: String,
    /// Dataset of that index.
    pub dataset: String,
    /// Node that the container runs on.
    pub node: String,
    /// The container.
    pub container: Container,
    /// The profile that was compared with.
    pub profile: ProfileRef,
    /// Detector with the highest score.
    pub detector: String,
    /// Window size of that detector, calls.
    pub window: u32,
    /// Highest score, 0–100.
    pub score: f64,
    /// Threshold of the detector with the highest score.
    pub threshold: f64,
    /// Frames that alarmed, over all detectors.
    pub frames: u32,
    /// Segment and first call of the frame with the highest score: where `rastro explain` looks.
    pub peak: (SegmentId, u32),
    /// Where the frame began at which the alarm began.
    pub first: (SegmentId, u32),
    /// Time of the first call of the first frame, nanoseconds since the epoch.
    pub start_ns: i64,
    /// Time of the last call of the last frame, nanoseconds since the epoch.
    pub end_ns: i64,
    /// Calls were lost in or before a frame of this alarm.
    pub lossy: bool,
    /// Reasons of the frame with the highest score, the strongest first.
    pub reasons: Vec<Reason>,
    /// One line for people: node, container and what is unusual.
    pub message: String,
}

//! What an analysis remembers of an index, as it is kept with the place.

use std::{collections::BTreeMap, ops::AddAssign};

use anyhow::Context as _;
use rastro_model::{ProfileRef, SegmentScores, StreamId};
use rastro_store::Store;
use serde::{Deserialize, Serialize};

use super::LIVE;

/// What was scored of a stream, all models together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamCounts {
    /// Windows.
    pub(crate) windows: u64,
    /// Frames.
    pub(crate) frames: u64,
    /// Frames among them that were scored while a profile was being learned.
    pub(crate) learning_frames: u64,
}

impl AddAssign for StreamCounts {
    fn add_assign(&mut self, other: Self) {
        self.windows += other.windows;
        self.frames += other.frames;
        self.learning_frames += other.learning_frames;
    }
}

impl StreamCounts {
    /// Counts the scores of a segment.
    pub(crate) fn add(&mut self, scores: &[SegmentScores]) {
        for frame in scores.iter().flat_map(|scores| &scores.frames) {
            self.windows += u64::from(frame.windows);
            self.frames += 1;
            self.learning_frames += u64::from(frame.learning);
        }
    }
}

/// Everything that is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct StoredAnalysis {
    /// By stream.
    pub(super) counts: BTreeMap<StreamId, StreamCounts>,
    /// By name of the workload.
    pub(super) workloads: BTreeMap<String, StoredWorkload>,
}

/// What is remembered of a workload.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum StoredWorkload {
    /// It is compared with a profile.
    Detecting {
        /// The profile.
        profile: ProfileRef,
        /// The scorer's state.
        state: Vec<u8>,
    },
    /// Its profile is being learned.
    Learning {
        /// The learner's state.
        state: Vec<u8>,
    },
}

impl StoredAnalysis {
    pub(super) fn encode(&self) -> anyhow::Result<Vec<u8>> {
        postcard::to_stdvec(self).context("the analyzer's state cannot be encoded")
    }

    pub(super) fn decode(bytes: &[u8]) -> anyhow::Result<Self> {
        postcard::from_bytes(bytes).context(
            "the analyzer's state cannot be read: `rastro datasets delete` and replay, or restore the store",
        )
    }
}

/// What the live analysis has scored in an index, by stream.
pub(crate) async fn live_counts(
    store: &dyn Store,
    index: &str,
) -> anyhow::Result<BTreeMap<StreamId, StreamCounts>> {
    match store.place(LIVE, index).await? {
        Some((_, state)) => Ok(StoredAnalysis::decode(&state)?.counts),
        None => Ok(BTreeMap::new()),
    }
}

//! Where segments, scores, alarms and profiles live.
//!
//! [`Store`] is the one trait; [`embedded`] is its home in one SQLite file. What a detector is, it does not know: scores come in
//! as documents, profiles and the analyzer's own state as bytes.

pub mod columns;
pub mod document;
pub mod elastic;
pub mod embedded;
mod frames;
pub mod ledger;
mod migration;
mod retention;
mod roll;

use std::time::Duration;

use async_trait::async_trait;
use rastro_model::{Alarm, AlarmId, Segment, SegmentId, Tally};

pub use document::{
    AlarmQuery, AnalysisBatch, ChunkOutput, Columns, DatasetSummary, DeadLetter, IndexSummary, Label,
    Profile, ProfileSummary, Rendered, RenderedKind, Rollup, ScoreQuery, StoredScores, StoredSegment,
    WriteReport,
};
pub use migration::Migration;
pub use retention::{Retention, RetentionReport};
pub use roll::Roll;

/// What a store cannot do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store's file cannot be used; the message names the file and what to do.
    #[error("store `{path}`: {message}")]
    File {
        /// The file.
        path: String,
        /// What happened and what to do.
        message: String,
    },
    /// No room is left; nothing of the write was kept. It may be tried again.
    #[error("store `{path}`: the disk is full; make room, nothing was lost")]
    DiskFull {
        /// The file.
        path: String,
    },
    /// Another process holds the store for writing; nothing of the write was kept. It may be tried again.
    #[error("store `{path}`: another process is writing to it; try again")]
    Busy {
        /// The file.
        path: String,
    },
    /// A server does not answer, or says that it cannot do it now; what of the write it has kept, it knows when it is tried again.
    #[error("store {server}: {message}")]
    Unavailable {
        /// The server.
        server: String,
        /// What happened and what to do.
        message: String,
    },
    /// A server refuses, and will go on refusing until someone changes something.
    #[error("store {server}: {message}")]
    Refused {
        /// The server.
        server: String,
        /// What it refuses, why, and what to do.
        message: String,
    },
    /// A chunk begins inside what is known already: its borders were drawn anew after a queue was lost. Nothing of it was kept; cut to
    /// what lies behind `known`, it may be written.
    #[error("stream {stream}: a chunk begins before {known}, up to which everything is stored")]
    Overlap {
        /// The stream.
        stream: rastro_model::StreamId,
        /// Where the known part ends.
        known: rastro_model::Position,
        /// Number of the line behind it.
        next_line: u64,
    },
    /// Another analyzer has gone on with this index: what was to be written is its to write.
    #[error("the analysis `{job}` of `{index}` has been taken over by another analyzer")]
    Superseded {
        /// The job.
        job: String,
        /// The dataset index.
        index: String,
    },
    /// Something asked for by name is not there.
    #[error("no {kind} `{name}`; {hint}")]
    NotFound {
        /// What kind of thing.
        kind: &'static str,
        /// The name.
        name: String,
        /// Which command lists what there is.
        hint: &'static str,
    },
    /// Stored bytes cannot be read.
    #[error("{what} `{name}` is damaged: {message}")]
    Damaged {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong with it.
        message: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anyone changing what is stored.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::Busy { .. } | Self::Unavailable { .. })
    }
}

/// Where everything that outlives a process is kept.
#[async_trait]
pub trait Store: Send + Sync {
    /// Writes what became of some chunks: segments, rollups, dead letters and the streams' ledgers, all or nothing. A chunk that is
    /// already stored is counted as a duplicate and changes nothing. A chunk that does not follow on what is stored of its stream
    /// is stored with a gap in front (its own, or one of reason `queue` with the lines that are missing).
    async fn write_chunks(&self, outputs: &[ChunkOutput]) -> Result<WriteReport, StoreError>;

    /// Every dataset with its indices and its tally.
    async fn datasets(&self) -> Result<Vec<DatasetSummary>, StoreError>;

    /// Names of all dataset indices, sorted. Asked for again and again, so a store that knows a shorter way takes it.
    async fn index_names(&self) -> Result<Vec<String>, StoreError> {
        let datasets = self.datasets().await?;
        let mut names: Vec<String> =
            datasets.into_iter().flat_map(|dataset| dataset.indices).map(|index| index.name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a dataset: indices, scores, alarms, dead letters, labels. Profiles stay.
    async fn delete_dataset(&self, dataset: &str) -> Result<(), StoreError>;

    /// Removes the indices whose time has come, see [`Retention`].
    async fn retain(&self, policy: &Retention) -> Result<RetentionReport, StoreError>;

    /// Segments of `index` behind `after` (0 for the first), in an order in which every stream's segments rise by position; up to
    /// about `max_calls` calls, at least one segment if there is one.
    async fn segments(
        &self,
        index: &str,
        after: u64,
        max_calls: usize,
        columns: Columns,
    ) -> Result<Vec<StoredSegment>, StoreError>;

    /// One segment with all its columns.
    async fn segment(&self, id: SegmentId) -> Result<Segment, StoreError>;

    /// The segment of the same stream and container directly before `id` in the same index, if there is one.
    async fn segment_before(&self, id: SegmentId) -> Result<Option<Segment>, StoreError>;

    /// Returns once segments have been written since the last call, or after `wait`.
    async fn wait_for_segments(&self, wait: Duration);

    /// Asks to be, or to stay, the one who does `job` on `index`, for the time of `lease`. `false` if someone else is. A store that
    /// only one process can open always agrees.
    async fn claim(&self, job: &str, index: &str, owner: &str, lease: Duration) -> Result<bool, StoreError>;

    /// Gives up a claim, so that another analyzer need not wait for its end. Without effect if it is not the owner's.
    async fn release_claim(&self, job: &str, index: &str, owner: &str) -> Result<(), StoreError>;

    /// Writes scores, alarms and the analyzer's place. Scores and alarms of the same identity are replaced, and the place is written
    /// last, so that what a crash cut short is written again from the place before, and is the same.
    /// [`StoreError::Superseded`] if another analyzer has written a place since this one read or wrote it.
    async fn write_analysis(&self, batch: &AnalysisBatch) -> Result<(), StoreError>;

    /// The place that `job` had reached in `index`: what was given as [`AnalysisBatch::place`].
    async fn place(&self, job: &str, index: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// Scores, in the order of the index.
    async fn scores(&self, query: &ScoreQuery) -> Result<Vec<StoredScores>, StoreError>;

    /// The frames with the highest scores of a job in an index (all indices of a dataset, if `index` is `None`), best first.
    async fn top_frames(
        &self,
        query: &ScoreQuery,
        count: usize,
    ) -> Result<Vec<(StoredScores, usize)>, StoreError>;

    /// Alarms, most recent first.
    async fn alarms(&self, query: &AlarmQuery) -> Result<Vec<Alarm>, StoreError>;

    /// One alarm.
    async fn alarm(&self, id: &AlarmId) -> Result<Alarm, StoreError>;

    /// Stores a profile under its name, as the version after the highest one that ever was; returns that version.
    async fn put_profile(&self, profile: &Profile) -> Result<u32, StoreError>;

    /// Every profile at every version, without its bytes.
    async fn profiles(&self) -> Result<Vec<ProfileSummary>, StoreError>;

    /// A profile at a version, or at its latest; [`StoreError::NotFound`] if there is none.
    async fn profile(&self, name: &str, version: Option<u32>) -> Result<Profile, StoreError>;

    /// Removes a profile at a version, or all versions; returns how many were removed.
    async fn delete_profile(&self, name: &str, version: Option<u32>) -> Result<u32, StoreError>;

    /// Keeps labels of a dataset; a label of the same container and thread is replaced.
    async fn put_labels(&self, dataset: &str, labels: &[Label]) -> Result<(), StoreError>;

    /// Labels of a dataset.
    async fn labels(&self, dataset: &str) -> Result<Vec<Label>, StoreError>;

    /// The oldest `count` dead letters of a dataset.
    async fn dead_letters(&self, dataset: &str, count: usize) -> Result<Vec<DeadLetter>, StoreError>;

    /// Rollups of an index, ordered by interval.
    async fn rollups(&self, index: &str) -> Result<Vec<Rollup>, StoreError>;

    /// What became of the lines of one stream that `write_chunks` stored.
    async fn stream_tally(&self, stream: rastro_model::StreamId) -> Result<Tally, StoreError>;

    /// Where the store's contiguous knowledge of a stream ends, with the number of the next line; `None` if it knows none of it.
    async fn stream_end(
        &self,
        stream: rastro_model::StreamId,
    ) -> Result<Option<(rastro_model::Position, u64)>, StoreError>;

    /// Bytes on disk, all files together.
    async fn size(&self) -> Result<u64, StoreError>;
}

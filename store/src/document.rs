//! What goes into a store and comes out of it.

use rastro_model::{
    Alarm, Category, Container, Gap, Position, ProfileRef, Segment, SegmentScores, StreamId, Tally,
};
use serde::{Deserialize, Serialize};

/// What became of one chunk.
#[derive(Debug, Clone, PartialEq)]
pub struct ChunkOutput {
    /// The chunk's stream.
    pub stream: StreamId,
    /// Path of the stream's file, for people.
    pub path: String,
    /// The dataset that the chunk belongs to.
    pub dataset: String,
    /// Where the chunk starts.
    pub start: Position,
    /// Where the chunk ends.
    pub end: Position,
    /// `end` of the chunk before it.
    pub previous: Position,
    /// Number of its first line.
    pub first_line: u64,
    /// Number of its lines.
    pub lines: u32,
    /// Something was lost directly before it.
    pub gap: Option<Gap>,
    /// What became of its lines: the sum over its segments and its dead letters.
    pub tally: Tally,
    /// One segment a container, none if no line was a call.
    pub segments: Vec<Segment>,
    /// Aggregates of those segments.
    pub rollups: Vec<Rollup>,
    /// Lines that were no event.
    pub dead_letters: Vec<DeadLetter>,
    /// Documents beside the segments, where they were asked for.
    pub rendered: Vec<Rendered>,
}

/// What one JSON document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RenderedKind {
    /// One call, in `<dataset index>-events` (`SPEC` 1.4).
    Call,
    /// One window as numbers, in `<dataset index>-windows`.
    Window,
}

/// JSON documents of one segment, ready to be indexed. Only a store that keeps JSON takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What each of them is about.
    pub kind: RenderedKind,
    /// The segment that they are made from, which says in which index they belong.
    pub segment: rastro_model::SegmentId,
    /// Document number `n` has the id `<id_prefix><n>`: the same data always gives the same id.
    pub id_prefix: String,
    /// The documents one behind the other, each one JSON object without a line break.
    pub bytes: Vec<u8>,
    /// Where each of them ends in `bytes`.
    pub ends: Vec<u32>,
}

/// What a write did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteReport {
    /// Chunks stored.
    pub written: u64,
    /// Chunks that were stored already.
    pub duplicates: u64,
    /// Chunks that did not follow on what was stored of their stream.
    pub gaps: u64,
}

/// Aggregate of one kind of call of one container in one interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollup {
    /// Dataset index.
    pub index: String,
    /// The container.
    pub container: Container,
    /// Name of the call.
    pub name: String,
    /// Its category.
    pub category: Category,
    /// Start of the interval, nanoseconds since the epoch.
    pub interval_ns: i64,
    /// Calls.
    pub count: u64,
    /// Calls whose result is negative.
    pub errors: u64,
    /// Sum of the latencies, nanoseconds.
    pub latency_sum_ns: u64,
    /// Highest latency, nanoseconds.
    pub latency_max_ns: u64,
    /// Sum of the numbers of arguments.
    pub argc_sum: u64,
}

/// A line that was no event, kept aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The stream it came from.
    pub stream: StreamId,
    /// Number of the line in its stream, counted from 0.
    pub line: u64,
    /// Byte offset at which it begins, in the generation of its chunk.
    pub position: Position,
    /// Why it is none: the field at fault and what was found.
    pub reason: String,
    /// The line as it was, cut at a limit.
    pub text: Vec<u8>,
}

/// Which columns of a segment to read; the others come out empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Kinds, threads and times, with their dictionaries: what sequence detectors need.
    Sequence,
    /// Everything.
    All,
}

/// A segment with its place in its index.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSegment {
    /// Place in the index; the next page begins behind it.
    pub place: u64,
    /// The segment.
    pub segment: Segment,
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// Name.
    pub name: String,
    /// Its indices, by name.
    pub indices: Vec<IndexSummary>,
    /// What became of its lines.
    pub tally: Tally,
    /// Bytes that are known to be lost.
    pub lost_bytes: u64,
    /// Lines that are known to be lost (where bytes could be counted as lines).
    pub lost_lines: u64,
}

/// A dataset index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IndexSummary {
    /// Name.
    pub name: String,
    /// Segments.
    pub segments: u64,
    /// Calls in sequences.
    pub calls: u64,
    /// Containers.
    pub containers: Vec<Container>,
    /// Time of the first call, nanoseconds since the epoch.
    pub start_ns: i64,
    /// Time of the last call, nanoseconds since the epoch.
    pub end_ns: i64,
    /// Bytes of the encoded segments.
    pub bytes: u64,
    /// Alarms found by the live analysis.
    pub alarms: u64,
}

/// What one step of analysis leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisBatch {
    /// Who analysed: `live`, or the name of an offline scoring.
    pub job: String,
    /// The dataset index that was analysed; the scores belong to `<index>-anomaly`.
    pub index: String,
    /// Scores.
    pub scores: Vec<SegmentScores>,
    /// Alarms, new or grown.
    pub alarms: Vec<Alarm>,
    /// Place in the index up to which everything is scored, and the analyzer's own state there.
    pub place: Option<(u64, Vec<u8>)>,
}

/// Scores of a segment with the container they are about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredScores {
    /// Who analysed.
    pub job: String,
    /// The dataset index.
    pub index: String,
    /// Node of the container.
    pub node: String,
    /// The container.
    pub container: Container,
    /// The scores.
    pub scores: SegmentScores,
}

/// Which scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoreQuery {
    /// Of this dataset.
    pub dataset: Option<String>,
    /// Of this index.
    pub index: Option<String>,
    /// Of this job.
    pub job: Option<String>,
    /// Of this segment.
    pub segment: Option<rastro_model::SegmentId>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Which alarms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlarmQuery {
    /// Of this dataset.
    pub dataset: Option<String>,
    /// Of this job; of all, if none.
    pub job: Option<String>,
    /// Of the container with this id or name.
    pub container: Option<String>,
    /// At most so many, the most recent ones.
    pub limit: Option<usize>,
}

/// A profile as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What is known of it without reading it; `version` is ignored when it is put.
    pub summary: ProfileSummary,
    /// The profile file (`rastro-analyzer` knows its format).
    pub bytes: Vec<u8>,
}

/// What is known of a profile without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileSummary {
    /// Name and version.
    #[serde(flatten)]
    pub profile: ProfileRef,
    /// When it was stored, nanoseconds since the epoch.
    pub created_ns: i64,
    /// Models in it (`stide:6`).
    pub models: Vec<String>,
    /// Calls that it was trained on.
    pub calls: u64,
    /// Size, bytes.
    pub bytes: u64,
}

/// What someone says of the calls of a container, or of one thread of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Id of the container.
    pub container: String,
    /// The thread, or the whole container.
    pub thread: Option<i64>,
    /// From this time on, nanoseconds since the epoch; from the beginning, if none.
    pub start_ns: Option<i64>,
    /// Up to this time; to the end, if none.
    pub end_ns: Option<i64>,
    /// `normal`, or the kind of attack.
    pub label: String,
}

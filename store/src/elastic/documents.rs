//! Documents as they lie in the indices.
//!
//! What is inside `rastro` is an object of its own, so that a reader can leave the large parts out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rastro_model::{Container, Gap, Position, Segment, SegmentId, StreamId, Tally};
use serde::{Deserialize, Serialize};

use crate::{
    Rollup, StoreError,
    columns::{self, Blobs, Envelope},
    ledger::{End, Extent, OpenEnters},
};

/// Bytes as they stand in JSON.
pub(super) fn to_text(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes again.
pub(super) fn to_bytes(text: &str, what: &'static str, name: &str) -> Result<Vec<u8>, StoreError> {
    STANDARD.decode(text).map_err(|error| damaged(what, name, &error))
}

pub(super) fn damaged(what: &'static str, name: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { what, name: name.to_owned(), message: error.to_string() }
}

/// A time as text. `date_nanos` ends at 2^63 nanoseconds and begins at 1970.
pub(super) fn time_text(time_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(time_ns.max(0)))
        .map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

/// The time now.
pub(super) fn now_text() -> String {
    Timestamp::now().to_string()
}

/// A value as the source of a document.
pub(super) fn source(value: &impl Serialize, what: &'static str, name: &str) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| damaged(what, name, &error))
}

/// A segment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SegmentDocument {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "event.start")]
    start: String,
    #[serde(rename = "event.end")]
    end: String,
    #[serde(rename = "event.created")]
    created: String,
    #[serde(rename = "event.ingested")]
    ingested: String,
    #[serde(rename = "event.module")]
    module: String,
    #[serde(rename = "event.dataset")]
    dataset: String,
    #[serde(rename = "container.id")]
    pub(super) container: String,
    #[serde(rename = "container.name", default, skip_serializing_if = "Option::is_none")]
    container_name: Option<String>,
    #[serde(rename = "container.image.name", default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(rename = "host.name")]
    node: String,
    #[serde(rename = "host.architecture")]
    architecture: String,
    #[serde(rename = "log.file.path")]
    path: String,
    #[serde(rename = "log.offset")]
    offset: u64,
    pub(super) rastro: SegmentPart,
}

/// What only Rastro reads of a segment's document.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SegmentPart {
    pub(super) stream: StreamId,
    pub(super) generation: u64,
    pub(super) part: u16,
    pub(super) end: Position,
    pub(super) calls: u64,
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
    #[serde(default)]
    sequence: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunk: Option<String>,
}

/// What is kept of a chunk with its first segment: enough to take it into the ledger if who wrote it could not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub(super) extent: StoredExtent,
    pub(super) next_line: u64,
    pub(super) gap: Option<Gap>,
    pub(super) tally: Tally,
    pub(super) dataset: String,
    pub(super) path: String,
    pub(super) parts: u32,
}

/// [`Extent`] as it is kept.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct StoredExtent {
    start: Position,
    end: Position,
    previous: Position,
    first_line: u64,
}

impl From<Extent> for StoredExtent {
    fn from(extent: Extent) -> Self {
        let Extent { start, end, previous, first_line } = extent;
        Self { start, end, previous, first_line }
    }
}

impl From<StoredExtent> for Extent {
    fn from(extent: StoredExtent) -> Self {
        let StoredExtent { start, end, previous, first_line } = extent;
        Self { start, end, previous, first_line }
    }
}

impl SegmentDocument {
    /// The document of a segment in `index`, with the gap that the ledger found in front of it.
    pub(super) fn new(segment: &Segment, blobs: &Blobs, path: &str, gap: Option<&Gap>) -> Self {
        let times = &segment.calls.time_ns;
        let start = times.iter().min().copied().unwrap_or(segment.read_ns);
        let end = times.iter().max().copied().unwrap_or(segment.read_ns);
        Self {
            timestamp: time_text(start),
            start: time_text(start),
            end: time_text(end),
            created: time_text(segment.read_ns),
            ingested: now_text(),
            module: "rastro".to_owned(),
            dataset: segment.dataset.clone(),
            container: segment.container.id.clone(),
            container_name: segment.container.name.clone(),
            image: segment.container.image.clone(),
            node: segment.node.clone(),
            architecture: segment.architecture.clone(),
            path: path.to_owned(),
            offset: segment.id.start.offset,
            rastro: SegmentPart {
                stream: segment.id.stream,
                generation: segment.id.start.generation,
                part: segment.id.part,
                end: segment.end,
                calls: segment.calls.len() as u64,
                bytes: (blobs.sequence.len() + blobs.rest.len()) as u64,
                gap: gap.or(segment.gap.as_ref()).cloned(),
                sequence: to_text(&blobs.sequence),
                rest: Some(to_text(&blobs.rest)),
                chunk: None,
            },
        }
    }

    /// Keeps what is known of the chunk.
    pub(super) fn with_receipt(mut self, receipt: &Receipt) -> Result<Self, StoreError> {
        let name = receipt.path.as_str();
        let bytes = postcard::to_stdvec(receipt).map_err(|error| damaged("chunk", name, &error))?;
        self.rastro.chunk = Some(to_text(&bytes));
        Ok(self)
    }

    pub(super) fn receipt(&self, id: &str) -> Result<Option<Receipt>, StoreError> {
        let Some(text) = &self.rastro.chunk else { return Ok(None) };
        let bytes = to_bytes(text, "segment", id)?;
        postcard::from_bytes(&bytes).map(Some).map_err(|error| damaged("segment", id, &error))
    }

    /// The segment again; without its rest if that was not read.
    pub(super) fn segment(self, id: &str, index: &str) -> Result<Segment, StoreError> {
        let identity: SegmentId = id.parse().map_err(|error| damaged("segment", id, &error))?;
        let sequence = to_bytes(&self.rastro.sequence, "segment", id)?;
        let rest = self.rastro.rest.map(|rest| to_bytes(&rest, "segment", id)).transpose()?;
        let envelope = Envelope {
            id: identity,
            dataset: self.dataset,
            index: index.to_owned(),
            node: self.node,
            architecture: self.architecture,
            container: Container { id: self.container, name: self.container_name, image: self.image },
            gap: self.rastro.gap,
        };
        columns::decode(envelope, &sequence, rest.as_deref()).map_err(|error| damaged("segment", id, &error))
    }
}

/// Where a stream stands, and what became of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamDocument {
    #[serde(rename = "log.file.path")]
    pub(super) path: String,
    generation: u64,
    offset: u64,
    next_line: u64,
    pub(super) tallies: Vec<DatasetTally>,
    pub(super) datasets: Vec<String>,
    #[serde(rename = "ledger")]
    kept: String,
    /// Who wrote it, so that a writer whose answer was lost knows its own.
    pub(super) writer: String,
    #[serde(skip)]
    pub(super) open_enters: OpenEnters,
    #[serde(skip)]
    pub(super) pending_gap: Option<Gap>,
}

/// What became of the lines of a stream that belong to one dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DatasetTally {
    pub(super) dataset: String,
    #[serde(flatten)]
    pub(super) tally: Tally,
    pub(super) lost_bytes: u64,
    pub(super) lost_lines: u64,
}

impl StreamDocument {
    pub(super) fn end(&self) -> End {
        End { position: Position::new(self.generation, self.offset), next_line: self.next_line }
    }

    pub(super) fn set_end(&mut self, end: End) {
        self.generation = end.position.generation;
        self.offset = end.position.offset;
        self.next_line = end.next_line;
    }

    /// Number of a dataset among those of the stream.
    pub(super) fn dataset(&mut self, name: &str) -> usize {
        self.tallies.iter().position(|tally| tally.dataset == name).unwrap_or_else(|| {
            self.tallies.push(DatasetTally { dataset: name.to_owned(), ..DatasetTally::default() });
            self.datasets.push(name.to_owned());
            self.tallies.len() - 1
        })
    }

    /// Takes a dataset out. The numbers of the others must not change, so an empty tally stays in its place.
    pub(super) fn forget(&mut self, name: &str) {
        self.datasets.retain(|dataset| dataset != name);
        for tally in self.tallies.iter_mut().filter(|tally| tally.dataset == name) {
            *tally = DatasetTally::default();
        }
    }

    /// As it is written, by `writer`.
    pub(super) fn to_source(&self, writer: &str, stream: StreamId) -> Result<Vec<u8>, StoreError> {
        let name = stream.to_string();
        let kept = postcard::to_stdvec(&(&self.open_enters, &self.pending_gap))
            .map_err(|error| damaged("ledger of stream", &name, &error))?;
        source(
            &Self { kept: to_text(&kept), writer: writer.to_owned(), ..self.clone() },
            "ledger of stream",
            &name,
        )
    }

    /// As it was read.
    pub(super) fn restored(mut self, stream: &str) -> Result<Self, StoreError> {
        if !self.kept.is_empty() {
            let bytes = to_bytes(&self.kept, "ledger of stream", stream)?;
            (self.open_enters, self.pending_gap) =
                postcard::from_bytes(&bytes).map_err(|error| damaged("ledger of stream", stream, &error))?;
        }
        Ok(self)
    }
}

/// An aggregate. Several documents may be about one interval: sums and maxima over them are those of the interval.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RollupDocument {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "event.ingested")]
    ingested: String,
    #[serde(rename = "container.id")]
    container: String,
    #[serde(rename = "container.name", default, skip_serializing_if = "Option::is_none")]
    container_name: Option<String>,
    #[serde(rename = "container.image.name", default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(rename = "host.name")]
    node: String,
    systemcall_name: String,
    systemcall_type: u8,
    systemcall_type_name: String,
    rastro: RollupPart,
}

#[derive(Debug, Serialize, Deserialize)]
struct RollupPart {
    interval_ns: i64,
    calls: u64,
    errors: u64,
    arguments: u64,
    latency: RollupLatency,
}

#[derive(Debug, Serialize, Deserialize)]
struct RollupLatency {
    sum: u64,
    max: u64,
}

impl RollupDocument {
    pub(super) fn new(rollup: &Rollup, node: &str) -> Self {
        // A `long` ends at 2^63 − 1.
        let clamp = |value: u64| value.min(i64::MAX.cast_unsigned());
        Self {
            timestamp: time_text(rollup.interval_ns),
            ingested: now_text(),
            container: rollup.container.id.clone(),
            container_name: rollup.container.name.clone(),
            image: rollup.container.image.clone(),
            node: node.to_owned(),
            systemcall_name: rollup.name.clone(),
            systemcall_type: rollup.category.number(),
            systemcall_type_name: rollup.category.name().to_owned(),
            rastro: RollupPart {
                interval_ns: rollup.interval_ns,
                calls: rollup.count,
                errors: rollup.errors,
                arguments: rollup.argc_sum,
                latency: RollupLatency {
                    sum: clamp(rollup.latency_sum_ns),
                    max: clamp(rollup.latency_max_ns),
                },
            },
        }
    }

    pub(super) fn rollup(self, index: &str, id: &str) -> Result<Rollup, StoreError> {
        Ok(Rollup {
            index: index.to_owned(),
            container: Container { id: self.container, name: self.container_name, image: self.image },
            category: rastro_model::Category::from_number(self.systemcall_type).ok_or_else(|| {
                damaged("rollup", id, &format!("no category has the number {}", self.systemcall_type))
            })?,
            name: self.systemcall_name,
            interval_ns: self.rastro.interval_ns,
            count: self.rastro.calls,
            errors: self.rastro.errors,
            latency_sum_ns: self.rastro.latency.sum,
            latency_max_ns: self.rastro.latency.max,
            argc_sum: self.rastro.arguments,
        })
    }
}

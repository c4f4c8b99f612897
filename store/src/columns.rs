//! Segments as compressed columns: the form in which they lie in the store.
//!
//! A segment is two blobs, so that scoring a stored index again reads no more than it must: *sequence* (kinds, threads, times)
//! and *rest* (everything else). What all segments of an index share (dataset, index, node, container) lies in tables beside
//! them, see [`Envelope`].
//!
//! # Form
//!
//! ```text
//! blob     := version (byte) , body , checksum (4 bytes: the low half of XXH3 of all before it)
//! sequence := number of calls (varint) , end, read_ns, tally (postcard) , dictionaries , threads , kinds , times
//! rest     := numbers , latencies , results , argument counts , argument lengths , flags , unfinished and details
//! ```
//!
//! Columns are stored as sections, each in the shortest of three ways: as it is, as one repeated byte, or by zstd. How a column
//! is laid out before that is told in the module of each.
//!
//! # Outside bytes
//!
//! [`decode`] never panics. Nothing is set aside for a length before the length is checked against what the segment's number of
//! calls allows, and that number is at most [`MAX_CALLS`].

mod dictionary;
mod magnitudes;
mod order;
mod rest;
pub(crate) mod section;
mod sequence;
mod units;
pub(crate) mod varint;

use rastro_model::{Container, Gap, Position, Segment, SegmentId, Tally};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

pub use rest::RestSizes;
pub use sequence::SequenceSizes;
use varint::Reader;

/// Largest segment: more lines than a chunk of 16 MiB can hold.
pub const MAX_CALLS: usize = 1 << 23;

const VERSION: u8 = 1;
const CHECKSUM_LENGTH: usize = 4;

/// What the store's tables hold of a segment beside its blobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Identity.
    pub id: SegmentId,
    /// Dataset.
    pub dataset: String,
    /// Index of the dataset.
    pub index: String,
    /// Node.
    pub node: String,
    /// Architecture.
    pub architecture: String,
    /// The container.
    pub container: Container,
    /// What was lost directly before the segment.
    pub gap: Option<Gap>,
}

impl Envelope {
    /// The envelope of a segment.
    pub fn of(segment: &Segment) -> Self {
        Self {
            id: segment.id,
            dataset: segment.dataset.clone(),
            index: segment.index.clone(),
            node: segment.node.clone(),
            architecture: segment.architecture.clone(),
            container: segment.container.clone(),
            gap: segment.gap.clone(),
        }
    }
}

/// A segment as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blobs {
    /// Kinds, threads and times with what belongs to the segment as a whole.
    pub sequence: Vec<u8>,
    /// All other columns.
    pub rest: Vec<u8>,
}

/// Sizes of the columns of an encoded segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnSizes {
    /// Parts of the sequence blob.
    pub sequence: SequenceSizes,
    /// Parts of the rest.
    pub rest: RestSizes,
    /// Versions, checksums, and what belongs to the segment as a whole.
    pub overhead: usize,
}

/// A segment cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Columns of different lengths, or an index outside its dictionary.
    #[error(
        "segment {0} is not consistent: its columns differ in length or point outside their dictionaries"
    )]
    Inconsistent(SegmentId),
    /// More than [`MAX_CALLS`].
    #[error("segment {0} has {1} calls or threads, more than the limit of {MAX_CALLS}")]
    TooLarge(SegmentId, usize),
    /// Serialisation failed.
    #[error("segment {0} cannot be written as bytes")]
    Bytes(SegmentId),
}

/// Stored bytes are not a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// Written by a later Rastro.
    #[error("it has form {0}, this Rastro reads form {VERSION}: upgrade")]
    Version(u8),
    /// The bytes end too early.
    #[error("the bytes end too early")]
    TooShort,
    /// Something is left behind the end.
    #[error("bytes are left behind the end")]
    TooLong,
    /// A number does not fit.
    #[error("a number does not fit its column")]
    Number,
    /// A length is beyond what the segment allows.
    #[error("a length of {value} is beyond the limit of {limit}")]
    Length {
        /// What was read.
        value: u64,
        /// The limit at that place.
        limit: usize,
    },
    /// A text is not UTF-8.
    #[error("a name is not UTF-8")]
    Text,
    /// An unknown way of storing.
    #[error("unknown method {0}")]
    Method(u8),
    /// zstd refused.
    #[error("a compressed column is broken: {0}")]
    Compression(String),
    /// A call points outside its dictionary.
    #[error("a call points outside its dictionary")]
    Dictionary,
    /// A call number that the table lacks.
    #[error("no system call has the number {0}")]
    UnknownCall(u64),
    /// A category that the table lacks.
    #[error("no category has the number {0}")]
    UnknownCategory(u8),
    /// The part that is kept for people cannot be read.
    #[error("the details cannot be read: {0}")]
    Details(String),
}

/// What belongs to a segment as a whole.
#[derive(Serialize, Deserialize)]
struct Whole {
    end: Position,
    read_ns: i64,
    tally: Tally,
}

/// The segment as blobs.
pub fn encode(segment: &Segment) -> Result<Blobs, EncodeError> {
    encode_measured(segment).map(|(blobs, _)| blobs)
}

/// The segment as blobs, with the size of every column.
pub fn encode_measured(segment: &Segment) -> Result<(Blobs, ColumnSizes), EncodeError> {
    let calls = &segment.calls;
    if !calls.is_consistent() {
        return Err(EncodeError::Inconsistent(segment.id));
    }
    let largest = calls.len().max(calls.threads.len());
    if largest > MAX_CALLS || calls.kinds.len() > usize::from(u16::MAX) + 1 {
        return Err(EncodeError::TooLarge(segment.id, largest));
    }
    let bytes = |_| EncodeError::Bytes(segment.id);

    let mut sequence = vec![VERSION];
    varint::write(&mut sequence, calls.len() as u64);
    let whole = Whole { end: segment.end, read_ns: segment.read_ns, tally: segment.tally };
    sequence = postcard::to_extend(&whole, sequence).map_err(bytes)?;
    let whole_length = sequence.len();
    let sequence_sizes = sequence::write(&mut sequence, calls);
    seal(&mut sequence);

    let mut rest = vec![VERSION];
    let rest_sizes = rest::write(&mut rest, calls, &segment.unfinished, &segment.details)
        .ok_or(EncodeError::Bytes(segment.id))?;
    seal(&mut rest);

    let overhead = whole_length + 2 * CHECKSUM_LENGTH + 1;
    Ok((Blobs { sequence, rest }, ColumnSizes { sequence: sequence_sizes, rest: rest_sizes, overhead }))
}

/// The segment again. Without `rest` the columns, unfinished calls and details that it holds come out empty.
pub fn decode(envelope: Envelope, sequence: &[u8], rest: Option<&[u8]>) -> Result<Segment, DecodeError> {
    let mut reader = Reader::new(open(sequence)?);
    let count = reader.length(MAX_CALLS)?;
    let (whole, remaining): (Whole, _) =
        postcard::take_from_bytes(reader.rest()).map_err(|_| DecodeError::TooShort)?;
    let mut reader = Reader::new(remaining);
    let mut calls = sequence::read(&mut reader, count)?;
    reader.finish()?;

    let (unfinished, details) = match rest {
        Some(rest) => {
            let mut reader = Reader::new(open(rest)?);
            let kept = rest::read(&mut reader, &mut calls)?;
            reader.finish()?;
            kept
        }
        None => Default::default(),
    };
    Ok(Segment {
        id: envelope.id,
        dataset: envelope.dataset,
        index: envelope.index,
        node: envelope.node,
        architecture: envelope.architecture,
        container: envelope.container,
        end: whole.end,
        gap: envelope.gap,
        read_ns: whole.read_ns,
        tally: whole.tally,
        calls,
        unfinished,
        details,
    })
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    (xxh3_64(bytes) as u32).to_le_bytes()
}

pub(crate) fn seal(blob: &mut Vec<u8>) {
    let checksum = checksum(blob);
    blob.extend_from_slice(&checksum);
}

/// The body of a blob whose checksum and version are right.
pub(crate) fn open(blob: &[u8]) -> Result<&[u8], DecodeError> {
    let (sealed, stored) = blob.split_last_chunk::<CHECKSUM_LENGTH>().ok_or(DecodeError::TooShort)?;
    if checksum(sealed) != *stored {
        return Err(DecodeError::Checksum);
    }
    match sealed.split_first() {
        Some((&VERSION, body)) => Ok(body),
        Some((&version, _)) => Err(DecodeError::Version(version)),
        None => Err(DecodeError::TooShort),
    }
}

#[cfg(test)]
mod tests;

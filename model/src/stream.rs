//! Streams and positions: the identity that makes at-least-once delivery end as exactly-once content.
//!
//! A *stream* is one log path on one node. The files that succeed one another under that path (rotation, truncation,
//! replacement) are its *generations*. A [`Position`] is a byte offset inside a generation; positions of one stream are
//! totally ordered, and a byte of a stream has the same position for ever.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One log path on one node, named by a 64-bit hash of both. Printed as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> Self {
        id.to_string()
    }
}

/// A text is not an id of the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct InvalidId {
    /// What was given.
    pub text: String,
    /// The form that was expected.
    pub expected: &'static str,
}

impl FromStr for StreamId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let well_formed = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = well_formed.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        value.map(StreamId).ok_or_else(|| InvalidId {
            text: text.to_owned(),
            expected: "a stream id (16 hexadecimal digits)",
        })
    }
}

impl TryFrom<String> for StreamId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

/// A place in a stream: byte `offset` of file number `generation`. Ordered as the stream is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which of the files that succeeded one another under the path, counted from 0.
    pub generation: u64,
    /// Byte offset in that file.
    pub offset: u64,
}

impl Position {
    /// The first byte of a stream.
    pub const START: Self = Self { generation: 0, offset: 0 };

    /// The place `offset` of file `generation`.
    pub const fn new(generation: u64, offset: u64) -> Self {
        Self { generation, offset }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.offset)
    }
}

/// Something that a stream held and that will never arrive.
///
/// A gap lies directly *before* the chunk or segment that carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Bytes lost, as far as they could be counted.
    pub bytes: u64,
    /// Lines lost, where the bytes could be counted as lines before they went.
    pub lines: Option<u64>,
    /// Why they were lost.
    pub reason: GapReason,
}

/// Why bytes of a stream were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GapReason {
    /// The file was truncated before all of it was read.
    Truncated,
    /// The file was deleted or rotated away before all of it was read.
    Deleted,
    /// The agent removed a file that had not been read, because the disk limit forced it.
    DiskLimit,
    /// A line was longer than the limit; what exceeded it was cut.
    LineTooLong,
    /// Chunks were lost between shipper and store (for example a corrupt queue file).
    Queue,
    /// The source itself reported that it dropped events.
    Source,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_id_survives_printing() {
        for value in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(StreamId(value).to_string().parse(), Ok(StreamId(value)));
        }
        assert!("12".parse::<StreamId>().is_err());
        assert!("+123456789abcdef".parse::<StreamId>().is_err());
    }

    #[test]
    fn a_later_generation_lies_behind_every_offset_of_an_earlier_one() {
        assert!(Position::new(1, 0) > Position::new(0, u64::MAX));
    }
}

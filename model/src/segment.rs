//! Segments: an ordered run of one container's calls, held as columns.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Category, Gap, Position, StreamId, Tally, stream::InvalidId};

/// Identity of a segment, derived from where its bytes lie: doing a chunk twice gives the same ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SegmentId {
    /// The stream that the bytes belong to.
    pub stream: StreamId,
    /// Where the segment's chunk starts.
    pub start: Position,
    /// Which of the chunk's containers this segment is, in order of appearance; 0 where a file holds one container.
    pub part: u16,
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.stream, self.start, self.part)
    }
}

impl From<SegmentId> for String {
    fn from(id: SegmentId) -> Self {
        id.to_string()
    }
}

impl FromStr for SegmentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let mut fields = text.split('-');
            let id = Self {
                stream: fields.next()?.parse().ok()?,
                start: Position::new(fields.next()?.parse().ok()?, fields.next()?.parse().ok()?),
                part: fields.next()?.parse().ok()?,
            };
            fields.next().is_none().then_some(id)
        };
        parse().ok_or_else(|| InvalidId {
            text: text.to_owned(),
            expected: "a segment id (<stream>-<generation>-<offset>-<part>)",
        })
    }
}

impl TryFrom<String> for SegmentId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

/// A container, as far as the source knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Container {
    /// First 12 hexadecimal digits of the container's id, or `host`.
    pub id: String,
    /// Name of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Image that it runs; profiles are keyed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// An ordered run of calls of one container, made from one chunk of one stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Identity, derived from stream and start.
    pub id: SegmentId,
    /// Dataset that the calls belong to.
    pub dataset: String,
    /// Index of that dataset (`<dataset>-<yyyy.mm.dd>` of the first call).
    pub index: String,
    /// Name of the node that the calls were recorded on.
    pub node: String,
    /// Whose numbers the calls have: `x86_64`, `aarch64` or `i386`.
    pub architecture: String,
    /// The container whose calls these are.
    pub container: Container,
    /// Where the chunk ends (exclusive).
    pub end: Position,
    /// Something was lost directly before this segment.
    pub gap: Option<Gap>,
    /// When the shipper read the lines, nanoseconds since the epoch (`event.created`).
    pub read_ns: i64,
    /// What became of the lines of this segment.
    pub tally: Tally,
    /// The calls, in the order in which they ended.
    pub calls: Calls,
    /// Calls that began in this chunk and did not return in it, in order of their beginning. They are in no window.
    pub unfinished: Vec<Unfinished>,
    /// Arguments of the calls for which they are kept, by ascending `call`.
    pub details: Vec<Detail>,
}

/// One kind of call in a segment: what a number in [`Calls::kind`] stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CallKind {
    /// Name of the call as the source prints it (`read`, `<unknown>`, `#42` for an opaque symbol).
    pub name: String,
    /// Category; for one name it depends on what the descriptor is (`read` of a file, of a socket).
    pub category: Category,
}

/// One thread in a segment: what a number in [`Calls::thread`] stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Thread {
    /// Thread id; `None` where the source gives none: then all calls of the container are one sequence.
    pub id: Option<i64>,
    /// Process id, where known.
    pub process: Option<i64>,
    /// Name of the process, where known, with bytes that are not UTF-8 replaced.
    pub process_name: Option<String>,
}

/// The calls of a segment as columns of equal length.
///
/// A missing result or latency holds 0 in its column and lacks its flag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Dictionary of `kind`, in order of first appearance.
    pub kinds: Vec<CallKind>,
    /// Dictionary of `thread`, in order of first appearance.
    pub threads: Vec<Thread>,
    /// Index into `kinds`.
    pub kind: Vec<u16>,
    /// Index into `threads`.
    pub thread: Vec<u32>,
    /// `evt.num`; 0 where unknown.
    pub number: Vec<u64>,
    /// Time of the exit, nanoseconds since the epoch.
    pub time_ns: Vec<i64>,
    /// Nanoseconds between enter and exit.
    pub latency_ns: Vec<u64>,
    /// Raw return value, negative = −errno.
    pub result: Vec<i64>,
    /// Number of arguments (`name=value` pairs).
    pub argc: Vec<u16>,
    /// Characters of the arguments as printed (`SPEC` 1.4).
    pub args_length: Vec<u32>,
    /// [`flag`] bits.
    pub flags: Vec<u8>,
}

/// Bits of [`Calls::flags`].
pub mod flag {
    /// `result` is known.
    pub const RESULT: u8 = 1;
    /// `latency_ns` is known.
    pub const LATENCY: u8 = 1 << 1;
    /// The enter event of this exit was seen in the same chunk.
    pub const PAIRED: u8 = 1 << 2;
    /// An enter event of a call that never returns (`exit`, `exit_group`, `sigreturn`), stored in its own right.
    pub const ENTER: u8 = 1 << 3;
}

impl Calls {
    /// Number of calls.
    pub const fn len(&self) -> usize {
        self.kind.len()
    }

    /// Whether there is no call.
    pub const fn is_empty(&self) -> bool {
        self.kind.is_empty()
    }

    /// Name of call `call`, which must be less than [`Calls::len`].
    pub fn name(&self, call: usize) -> &str {
        &self.kinds[usize::from(self.kind[call])].name
    }

    /// Result of call `call`, where known.
    pub fn result_of(&self, call: usize) -> Option<i64> {
        (self.flags[call] & flag::RESULT != 0).then(|| self.result[call])
    }

    /// Latency of call `call`, where known.
    pub fn latency_of(&self, call: usize) -> Option<u64> {
        (self.flags[call] & flag::LATENCY != 0).then(|| self.latency_ns[call])
    }

    /// Whether all columns are equally long and every index lies inside its dictionary.
    pub fn is_consistent(&self) -> bool {
        let length = self.len();
        let lengths = [
            self.thread.len(),
            self.number.len(),
            self.time_ns.len(),
            self.latency_ns.len(),
            self.result.len(),
            self.argc.len(),
            self.args_length.len(),
            self.flags.len(),
        ];
        lengths.iter().all(|&other| other == length)
            && self.kind.iter().all(|&kind| usize::from(kind) < self.kinds.len())
            && self.thread.iter().all(|&thread| (thread as usize) < self.threads.len())
    }
}

/// A call that began and did not return in its chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Name of the call.
    pub name: String,
    /// Thread id, where known.
    pub thread: Option<i64>,
    /// When it began, nanoseconds since the epoch.
    pub time_ns: i64,
}

/// Arguments of one call, kept for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// Which call of the segment.
    pub call: u32,
    /// Its arguments as printed, cut at a limit, with bytes that are not UTF-8 replaced.
    pub arguments: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_id_survives_printing() {
        let id = SegmentId { stream: StreamId(7), start: Position::new(3, 4096), part: 2 };
        assert_eq!(id.to_string(), "0000000000000007-3-4096-2");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "0000000000000007-3-4096", "0000000000000007-3-4096-2-1", "7-3-4096-2"] {
            assert!(bad.parse::<SegmentId>().is_err(), "{bad}");
        }
    }
}

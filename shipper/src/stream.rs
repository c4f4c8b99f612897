//! One stream: the files that succeed one another under a path, read one after the other.

mod gaps;
mod history;
mod look;
mod turn;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::Metadata,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Instant,
};

use rastro_model::{Gap, Position, StreamId};
use xxhash_rust::xxh3::Xxh3;

use crate::{checkpoint::GenerationRecord, fingerprint::Anchor, tail::Tail};

pub(crate) use gaps::add_gap;
pub(crate) use turn::{Cutting, Turn, Wish};

/// Identity of the stream of `path` on `node`.
pub fn stream_id(node: &str, path: &Path) -> StreamId {
    let mut hash = Xxh3::new();
    hash.update(node.as_bytes());
    // No name holds a NUL, so node and path cannot run into one another.
    hash.update(b"\0");
    hash.update(path.as_os_str().as_bytes());
    StreamId(hash.digest())
}

/// Places that are remembered until they are durable, at most; of more, the last ones wait for one another.
const UNDURABLE_KEPT: usize = 256;

/// Device, inode, size and time of the last change: a file as long as nobody touches it.
pub(crate) type Likeness = (u64, u64, u64, i64);

/// A place in a stream between two lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: Position,
    pub(crate) next_line: u64,
    pub(crate) anchor: Anchor,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of one another")]
pub(crate) struct Stream {
    pub(crate) number: usize,
    pub(crate) id: StreamId,
    pub(crate) path: PathBuf,
    /// The files that are not read to their end, oldest first. The last may rest at its end.
    pub(crate) tails: VecDeque<Tail>,
    /// Files that are done with, oldest first.
    pub(crate) finished: Vec<GenerationRecord>,
    /// How many scans have missed a finished file, by generation.
    pub(crate) absences: HashMap<u64, u32>,
    /// End of the last lines that were cut.
    pub(crate) cut: Place,
    /// End of the last lines that the broker has acknowledged.
    pub(crate) acknowledged: Place,
    /// End of the last lines that the broker cannot lose any more: what the checkpoint tells.
    pub(crate) durable: Place,
    /// What was acknowledged behind it, and when.
    pub(crate) undurable: VecDeque<(Instant, Place)>,
    pub(crate) in_flight: usize,
    /// Gaps in chunks that are not durable, with the chunk's end.
    pub(crate) gaps_in_flight: Vec<(Position, Gap)>,
    /// A gap behind the last file, which no chunk has followed yet.
    pub(crate) untold_gap: Option<Gap>,
    /// Rotated files last changed before this were there before the stream was known, and are left alone.
    pub(crate) floor_ns: Option<i64>,
    /// When bytes that have been seen must leave.
    deadline: Option<Instant>,
    /// All that was seen when its deadline came leaves.
    pub(crate) flushing: bool,
    pub(crate) is_queued: bool,
    pub(crate) is_dirty: bool,
    /// There is a file with the name of a rotated one that no stream holds.
    pub(crate) has_unknown_rotated: bool,
    /// Rotated files that are copies of known ones, or older than the stream.
    pub(crate) left_alone: HashSet<Likeness>,
    pub(crate) wake: Option<Instant>,
    pub(crate) gone_since: Option<Instant>,
    /// Gaps found since the follower last asked.
    pub(crate) new_gaps: Vec<Gap>,
}

impl Stream {
    pub(crate) fn new(number: usize, id: StreamId, path: PathBuf, place: Place) -> Self {
        Self {
            number,
            id,
            path,
            tails: VecDeque::new(),
            finished: Vec::new(),
            absences: HashMap::new(),
            cut: place,
            acknowledged: place,
            durable: place,
            undurable: VecDeque::new(),
            in_flight: 0,
            gaps_in_flight: Vec::new(),
            untold_gap: None,
            floor_ns: None,
            deadline: None,
            flushing: false,
            is_queued: false,
            is_dirty: true,
            has_unknown_rotated: false,
            left_alone: HashSet::new(),
            wake: None,
            gone_since: None,
            new_gaps: Vec::new(),
        }
    }

    /// Sets where the stream goes on.
    pub(crate) fn resume_at(&mut self, position: Position, next_line: u64, anchor: Anchor) {
        self.cut = Place { position, next_line, anchor };
        self.acknowledged = self.cut;
        self.durable = self.cut;
    }

    /// Whether a file is one of those that are not read to their end.
    pub(crate) fn holds(&self, metadata: &Metadata) -> bool {
        self.tails.iter().any(|tail| tail.fingerprint.is_at(metadata))
    }

    /// Adds the next file. What was lost behind the last one was lost before this one.
    pub(crate) fn push_tail(&mut self, mut tail: Tail) {
        let own = tail.gap.take();
        tail.gap = self.untold_gap.take();
        if let Some(own) = own {
            add_gap(&mut tail.gap, &own);
        }
        self.tails.push_back(tail);
    }

    /// The broker has the chunk that ends at `place`.
    pub(crate) fn acknowledge(&mut self, place: Place) {
        self.acknowledged = place;
        self.in_flight -= 1;
        if self.undurable.len() >= UNDURABLE_KEPT {
            self.undurable.pop_back();
        }
        self.undurable.push_back((Instant::now(), place));
    }

    /// The broker cannot lose any more what it accepted before `before`.
    pub(crate) fn settle(&mut self, before: Instant) {
        while let Some((_, place)) = self.undurable.pop_front_if(|(accepted, _)| *accepted < before) {
            self.durable = place;
            self.gaps_in_flight.retain(|(end, _)| *end > place.position);
        }
    }

    /// Bytes seen and not acknowledged.
    pub(crate) fn lag_bytes(&self) -> u64 {
        let unread: u64 = self.tails.iter().map(Tail::unread).sum();
        if self.cut.position == self.acknowledged.position {
            return unread;
        }
        // Over the end of a file the difference of the offsets says nothing; what the cut file holds is a lower bound.
        let in_flight = if self.cut.position.generation == self.acknowledged.position.generation {
            self.cut.position.offset - self.acknowledged.position.offset
        } else {
            self.cut.position.offset
        };
        unread + in_flight
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.in_flight == 0 && self.tails.iter().all(|tail| tail.unread() == 0)
    }
}

#[cfg(test)]
mod tests;

//! One stream: the files that succeed one another under a path, read one after the other.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::{self, Metadata},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Instant,
};

use rastro_model::{Gap, GapReason, Position, StreamId};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    ShipperConfig,
    checkpoint::GenerationRecord,
    claims::Claims,
    fingerprint::{Anchor, identity},
    resume::{self, Located},
    tail::{Piece, Read, Tail, modified_ns},
};

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

/// Lines on their way to become a chunk.
#[derive(Debug)]
pub(crate) struct Cutting {
    pub(crate) piece: Piece,
    pub(crate) header: Option<Vec<u8>>,
    pub(crate) generation: u64,
    pub(crate) previous: Position,
    pub(crate) first_line: u64,
    pub(crate) gap: Option<Gap>,
    pub(crate) after: Place,
}

/// What a file tells with each of its pieces.
struct Told {
    generation: u64,
    header: Option<Vec<u8>>,
    anchor: Anchor,
    gap: Option<Gap>,
}

/// When a stream wants to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Now,
    At(Instant),
    Never,
}

/// What the next turn of a stream gave.
#[derive(Debug)]
pub(crate) enum Turn {
    Cut(Box<Cutting>),
    Again,
    /// The checkpoint on disk must know the file first.
    Unannounced,
    /// What the last look saw is not there any more: before another look there is nothing to read.
    Stale,
    Nothing,
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

    /// Looks at the files of the stream: sizes, truncation, rotation, deletion.
    pub(crate) fn look(&mut self, claims: &Claims) -> io::Result<()> {
        self.is_dirty = false;
        let has_unknown_rotated = std::mem::take(&mut self.has_unknown_rotated);
        for index in (0..self.tails.len()).rev() {
            self.look_at_open_tail(index, claims)?;
        }
        let at_path = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.is_file().then_some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match (at_path, self.tails.back_mut()) {
            (Some(metadata), Some(last)) if last.fingerprint.is_at(&metadata) => {
                last.path.clone_from(&self.path);
                if last.file.is_none()
                    && (metadata.len() != last.size || modified_ns(&metadata) != last.modified_ns)
                {
                    self.open_tail(self.tails.len() - 1)?;
                }
            }
            (None, Some(last)) if last.file.is_none() => {
                self.open_tail(self.tails.len() - 1)?;
            }
            (Some(_), _) => return self.take_arrivals(claims),
            (None, _) => {}
        }
        if has_unknown_rotated { self.take_arrivals(claims) } else { Ok(()) }
    }

    fn take_arrivals(&mut self, claims: &Claims) -> io::Result<()> {
        let newest_known = self.newest_known_ns();
        resume::push_arrivals(self, claims, newest_known, None)
    }

    fn look_at_open_tail(&mut self, index: usize, claims: &Claims) -> io::Result<()> {
        let tail = &mut self.tails[index];
        let Some(file) = &tail.file else { return Ok(()) };
        let metadata = file.metadata()?;
        let size = metadata.len();
        let is_changed = size != tail.size || modified_ns(&metadata) != tail.modified_ns;
        let is_same = size >= tail.offset
            && (!is_changed
                || (tail.anchor.matches_at(file, tail.offset)? && tail.fingerprint.head_matches(file)?));
        if !is_same {
            let lost = tail.unread();
            return self.replace_truncated(index, &metadata, lost, claims);
        }
        if size < tail.size {
            let gap = Gap { bytes: tail.size - size, lines: None, reason: GapReason::Truncated };
            add_gap(&mut tail.gap, &gap);
            tail.forget_search();
            self.new_gaps.push(gap);
        }
        self.tails[index].update(&metadata)
    }

    /// The file of tail `index` was truncated, with `lost` bytes unread. If it was copied before (as logrotate's `copytruncate`
    /// does), reading goes on in the copy; then the file begins anew as the next generation.
    fn replace_truncated(
        &mut self,
        index: usize,
        metadata: &Metadata,
        mut lost: u64,
        claims: &Claims,
    ) -> io::Result<()> {
        let copy = resume::find_copy(&self.tails[index], self)?;
        let newest_known = self.tails[index].modified_ns;
        tracing::debug!(
            stream = %self.path.display(), generation = self.tails[index].generation,
            offset = self.tails[index].offset, seen = self.tails[index].size, size = metadata.len(),
            copy = copy.as_ref().map(|copy| tracing::field::display(copy.path.display())), "a file was truncated"
        );
        // What follows it, and what was lost behind that, keeps its place behind the new content.
        let mut later = self.tails.split_off(index);
        let untold_gap = self.untold_gap.take();
        let Some(mut old) = later.pop_front() else { return Ok(()) };
        let Some(file) = old.file.take() else { return Ok(()) };
        let old_path = old.path.clone();
        let is_read_as_other = copy.as_ref().is_some_and(|copy| self.holds(&copy.metadata));
        if is_read_as_other && !old.has_lines() {
            // The copy was met before the truncation was, and is read as a file of its own.
            lost = 0;
            self.pass_gap_on(usize::MAX, old.gap.take());
        } else if let Some(copy) = copy {
            lost = old.size.saturating_sub(copy.metadata.len());
            old.continue_in_copy(copy)?;
            self.tails.push_back(old);
        } else {
            let gap = old.gap.take();
            self.pass_gap_on(usize::MAX, gap);
            self.finish(&old);
        }
        if lost > 0 {
            self.lose(Gap { bytes: lost, lines: None, reason: GapReason::Truncated });
        }
        if later.is_empty() {
            // The same may have happened more than once since anybody looked, and the file may have been rotated, too.
            resume::push_arrivals(self, claims, Some(newest_known), None)?;
        }
        if !self.holds(metadata) {
            let generation = self.next_generation();
            self.push_tail(Tail::new(old_path, file, generation)?);
        }
        // None of those that follow may be numbered below it.
        for mut tail in later {
            tail.generation = self.next_generation();
            tail.announced = false;
            self.push_tail(tail);
        }
        self.pass_gap_on(usize::MAX, untold_gap);
        Ok(())
    }

    /// Opens the file of a tail that was closed while it rested, wherever it is now. If it is gone, so is what was unread of it.
    fn open_tail(&mut self, index: usize) -> io::Result<()> {
        let tail = &self.tails[index];
        let record = tail.record();
        let located = resume::locate(&record, tail.offset, Some((tail.anchor, tail.offset)), self, None)?;
        let tail = &mut self.tails[index];
        if let Some(located) = located {
            if located.is_copy {
                tail.continue_in_copy(located)?;
            } else {
                tail.path = located.path;
                tail.file = Some(located.file);
                tail.update(&located.metadata)?;
            }
            return Ok(());
        }
        let lost = tail.unread();
        if let Some(mut tail) = self.tails.remove(index) {
            let gap = tail.gap.take();
            self.pass_gap_on(index, gap);
            self.finish(&tail);
        }
        if lost > 0 {
            let gap = Gap { bytes: lost, lines: None, reason: GapReason::Deleted };
            self.pass_gap_on(index, Some(gap.clone()));
            self.new_gaps.push(gap);
        }
        self.is_dirty = true;
        Ok(())
    }

    /// Whether a file is one of those that are not read to their end.
    pub(crate) fn holds(&self, metadata: &Metadata) -> bool {
        self.tails.iter().any(|tail| tail.fingerprint.is_at(metadata))
    }

    /// Gives a gap to the tail that now has `index`, or keeps it if there is none.
    pub(crate) fn pass_gap_on(&mut self, index: usize, gap: Option<Gap>) {
        let Some(gap) = gap else { return };
        match self.tails.get_mut(index) {
            Some(next) => {
                let own = next.gap.take();
                next.gap = Some(gap);
                if let Some(own) = own {
                    add_gap(&mut next.gap, &own);
                }
            }
            None => add_gap(&mut self.untold_gap, &gap),
        }
    }

    /// Something was lost behind the last file.
    pub(crate) fn lose(&mut self, gap: Gap) {
        add_gap(&mut self.untold_gap, &gap);
        self.new_gaps.push(gap);
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

    /// When the first file counts as left by its writers, if it does.
    fn left_at(&mut self, now: Instant, config: &ShipperConfig) -> Option<Instant> {
        let successor_is_written =
            self.tails.len() > 2 || self.tails.get(1).is_some_and(|next| next.size > 0);
        let front = self.tails.front_mut()?;
        if front.is_copy {
            return Some(now);
        }
        if successor_is_written || front.is_unlinked {
            return Some(*front.left_since.get_or_insert(now) + config.rotation_grace);
        }
        front.left_since = None;
        None
    }

    /// When the stream wants its next turn.
    pub(crate) fn wish(&mut self, now: Instant, is_draining: bool, config: &ShipperConfig) -> Wish {
        let left_at = self.left_at(now, config);
        let has_successor = self.tails.len() > 1;
        let Some(front) = self.tails.front() else { return Wish::Never };
        let unseen = front.unseen();
        if unseen >= config.chunk_bytes as u64
            || (unseen > 0 && self.flushing)
            || (is_draining && (front.unread() > 0 || (has_successor && left_at.is_some())))
            || left_at.is_some_and(|at| at <= now)
        {
            return Wish::Now;
        }
        if unseen == 0 {
            self.deadline = None;
            self.flushing = false;
            return left_at.map_or(Wish::Never, Wish::At);
        }
        let deadline = *self.deadline.get_or_insert(now + config.flush_interval);
        if deadline <= now {
            self.flushing = true;
            return Wish::Now;
        }
        Wish::At(left_at.map_or(deadline, |left_at| left_at.min(deadline)))
    }

    /// Whether the first file is closed and must be opened for its turn.
    pub(crate) fn needs_opening(&self) -> bool {
        self.tails.front().is_some_and(|front| front.file.is_none())
    }

    /// Reads the next lines.
    pub(crate) fn turn(
        &mut self,
        config: &ShipperConfig,
        claims: &Claims,
        buffers: &mut impl FnMut() -> Vec<u8>,
        is_draining: bool,
        now: Instant,
    ) -> io::Result<Turn> {
        loop {
            let left_at = self.left_at(now, config);
            let has_successor = self.tails.len() > 1;
            if self.needs_opening() {
                self.open_tail(0)?;
            }
            let Some(front) = self.tails.front_mut() else { return Ok(Turn::Nothing) };
            let is_left = left_at.is_some_and(|at| at <= now || (is_draining && has_successor));
            if !front.announced {
                // An empty file need not be known to be left behind, if it still is empty.
                let size = front.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|now| now.len()))?;
                if size > front.offset {
                    return Ok(Turn::Unannounced);
                }
                let is_stale = front.unseen() > 0;
                if is_left {
                    self.finish_front();
                    continue;
                }
                return Ok(if is_stale { Turn::Stale } else { Turn::Nothing });
            }
            match front.read(config, buffers(), is_left || is_draining)? {
                Read::Again => return Ok(Turn::Again),
                Read::Nothing if is_left => self.finish_front(),
                Read::Nothing => {
                    let is_stale = front.unseen() > 0 || (is_draining && front.unread() > 0);
                    self.flushing = false;
                    return Ok(if is_stale { Turn::Stale } else { Turn::Nothing });
                }
                Read::Replaced => {
                    // Between the look and the read; what was seen before is not known to have been of the old content.
                    let Some(file) = &front.file else { return Ok(Turn::Nothing) };
                    let metadata = file.metadata()?;
                    self.replace_truncated(0, &metadata, 0, claims)?;
                }
                Read::Piece(piece) => {
                    front.size = front.size.max(front.offset);
                    let told = Told {
                        generation: front.generation,
                        header: front.header().map(<[u8]>::to_vec),
                        anchor: front.anchor,
                        gap: front.gap.take(),
                    };
                    return Ok(Turn::Cut(Box::new(self.cut(piece, told))));
                }
            }
        }
    }

    fn cut(&mut self, piece: Piece, told: Told) -> Cutting {
        let Told { generation, header, anchor, gap } = told;
        let previous = self.cut.position;
        let first_line = self.cut.next_line + gap.as_ref().and_then(|gap| gap.lines).unwrap_or(0);
        self.cut = Place {
            position: Position::new(generation, piece.end),
            next_line: first_line + u64::from(piece.lines),
            anchor,
        };
        if let Some(gap) = &gap {
            self.gaps_in_flight.push((self.cut.position, gap.clone()));
        }
        self.in_flight += 1;
        Cutting { piece, header, generation, previous, first_line, gap, after: self.cut }
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

    fn finish_front(&mut self) {
        if let Some(mut front) = self.tails.pop_front() {
            let gap = front.gap.take();
            self.pass_gap_on(0, gap);
            self.finish(&front);
            self.is_dirty = true;
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

impl Tail {
    /// Reading goes on in a copy of the file: its bytes have the same places.
    fn continue_in_copy(&mut self, copy: Located) -> io::Result<()> {
        (self.fingerprint.device, self.fingerprint.inode) = identity(&copy.metadata);
        self.path = copy.path;
        self.file = Some(copy.file);
        self.is_copy = true;
        self.update(&copy.metadata)?;
        self.announced = false;
        Ok(())
    }
}

/// Adds what was lost later to what was lost before it. The reason of the larger part is told.
pub(crate) fn add_gap(sum: &mut Option<Gap>, gap: &Gap) {
    *sum = Some(match sum.take() {
        None => gap.clone(),
        Some(before) => Gap {
            bytes: before.bytes + gap.bytes,
            lines: before.lines.zip(gap.lines).map(|(before, lines)| before + lines),
            reason: if gap.bytes > before.bytes { gap.reason } else { before.reason },
        },
    });
}

#[cfg(test)]
mod tests;

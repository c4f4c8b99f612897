//! What a stream remembers of its files: those that are done with, and what the checkpoint keeps.

use rastro_model::Position;

use super::{Stream, add_gap};
use crate::{
    checkpoint::{GenerationEnd, GenerationRecord, StreamRecord},
    tail::Tail,
};

/// Finished files that are remembered even if they are gone.
const FINISHED_KEPT: usize = 4;

/// How many scans in a row must miss a finished file before it counts as gone.
const ABSENCES_OF_THE_GONE: u32 = 16;

/// Finished files of one stream that are remembered at most.
const FINISHED_LIMIT: usize = 4096;

/// Times that one file was truncated in place that are remembered at most.
const TRUNCATIONS_KEPT: usize = 64;

impl Stream {
    /// Remembers that a file is done with.
    pub(crate) fn finish(&mut self, tail: &Tail) {
        tracing::debug!(
            stream = %self.path.display(), path = %tail.path.display(), generation = tail.generation,
            offset = tail.offset, size = tail.size, inode = tail.fingerprint.inode, "a file is done with"
        );
        let end = GenerationEnd {
            offset: tail.offset,
            next_line: self.cut.next_line,
            anchor: tail.anchor,
            has_lines: tail.has_lines(),
        };
        let record = GenerationRecord { end: Some(end), gap: None, ..tail.record() };
        self.finished.push(record);
    }

    /// Forgets finished files that are no longer on the disk, and nothing that could be asked for again.
    pub(crate) fn forget_finished(&mut self, is_present: impl Fn((u64, u64)) -> bool) {
        let needed_from = self.durable.position.generation;
        let current: Vec<(u64, u64)> = self.tails.iter().map(|tail| tail.fingerprint.identity()).collect();
        let mut index = 0;
        let length = self.finished.len();
        let absences = &mut self.absences;
        self.finished.retain(|record| {
            let identity = record.fingerprint.identity();
            let is_truncation = current.contains(&identity);
            if is_truncation || is_present(identity) {
                absences.remove(&record.generation);
            } else {
                *absences.entry(record.generation).or_insert(0) += 1;
            }
            // A file that is renamed while its directory is listed may not be in the list.
            let is_gone =
                absences.get(&record.generation).is_some_and(|&scans| scans >= ABSENCES_OF_THE_GONE);
            let kept_of_its_kind = if is_truncation { TRUNCATIONS_KEPT } else { FINISHED_LIMIT };
            let age = length - index;
            index += 1;
            let keep = record.generation >= needed_from
                || age <= FINISHED_KEPT
                || (!is_gone && age <= kept_of_its_kind);
            if !keep {
                absences.remove(&record.generation);
            }
            keep
        });
    }

    /// The number of the next file.
    pub(crate) fn next_generation(&self) -> u64 {
        let known = self.tails.iter().map(|tail| tail.generation);
        let finished = self.finished.iter().map(|record| record.generation);
        let highest = known.chain(finished).max();
        let shipped = (self.cut.position != Position::START).then_some(self.cut.position.generation);
        highest.max(shipped).map_or(0, |highest| highest + 1)
    }

    /// When the last file that is known was last changed.
    pub(crate) fn newest_known_ns(&self) -> Option<i64> {
        let last = self.tails.back().map(|last| last.modified_ns);
        last.or_else(|| self.finished.iter().map(|record| record.modified_ns).max())
    }

    /// What the checkpoint keeps of the stream.
    pub(crate) fn record(&self) -> StreamRecord {
        let mut generations = self.finished.clone();
        generations.extend(self.tails.iter().map(Tail::record));
        // A file that was lost may have been given up before one that is older was read to its end.
        generations.sort_by_key(|record| record.generation);
        // A gap that is not durable is found again at the file that its chunk was cut from.
        for (end, gap) in self.gaps_in_flight.iter().rev() {
            if let Some(record) = generations.iter_mut().find(|record| record.generation == end.generation) {
                let later = record.gap.take();
                record.gap = Some(gap.clone());
                if let Some(later) = later {
                    add_gap(&mut record.gap, &later);
                }
            }
        }
        StreamRecord {
            path: self.path.clone(),
            position: self.durable.position,
            next_line: self.durable.next_line,
            anchor: self.durable.anchor,
            gap: self.untold_gap.clone(),
            floor_ns: self.floor_ns,
            generations,
        }
    }
}

impl Tail {
    /// What the checkpoint keeps of the file.
    pub(crate) fn record(&self) -> GenerationRecord {
        GenerationRecord {
            generation: self.generation,
            fingerprint: self.fingerprint,
            size: self.size,
            modified_ns: self.modified_ns,
            end: None,
            gap: self.gap.clone(),
        }
    }
}

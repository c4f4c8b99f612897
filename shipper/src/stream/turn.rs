//! When a stream wants to be read, and what its next turn gives.

use std::{io, time::Instant};

use rastro_model::{Gap, Position};

use super::{Place, Stream};
use crate::{
    ShipperConfig,
    claims::Claims,
    fingerprint::Anchor,
    tail::{Piece, Read},
};

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

impl Stream {
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

    fn finish_front(&mut self) {
        if let Some(mut front) = self.tails.pop_front() {
            let gap = front.gap.take();
            self.pass_gap_on(0, gap);
            self.finish(&front);
            self.is_dirty = true;
        }
    }
}

//! Documents to chunks: where each line stands, and which lines become one chunk. No I/O.
//!
//! A document says where its line begins in its file, not where the line before it ended or which of the files that had the name it was in.
//! So a stream's place goes on from offset to offset; an offset that goes back is the next file under the name (the next generation),
//! unless it is a line that was read a moment ago at the very same place: then Filebeat has sent it again after an answer was lost.

use std::collections::{HashMap, VecDeque};

use rastro_model::{Gap, Position, StreamId};

use super::document::{Document, Exact};
use crate::{Chunk, ChunkError, Payload, StreamEnd};

/// A chunk is complete at about this size, bytes.
const BYTES_A_CHUNK: usize = 256 * 1024;
/// A longer line is cut to this length, and counted.
const LONGEST_LINE: usize = 1024 * 1024;
/// Lines of a stream that are remembered: as many as Filebeat sends at once.
const LINES_REMEMBERED: usize = 2048;
/// Lines of all streams that are remembered.
const ALL_REMEMBERED: usize = 1024 * 1024;

/// Which lines came last, so that Filebeat's repeats are known.
#[derive(Debug, Default)]
pub(super) struct Memory {
    streams: HashMap<StreamId, VecDeque<(u64, u64)>>,
    lines: usize,
}

impl Memory {
    fn holds(&self, stream: StreamId, offset: u64, hash: u64) -> bool {
        self.streams.get(&stream).is_some_and(|lines| lines.contains(&(offset, hash)))
    }

    fn note(&mut self, stream: StreamId, offset: u64, hash: u64) {
        if self.lines >= ALL_REMEMBERED {
            *self = Self::default();
        }
        let lines = self.streams.entry(stream).or_default();
        if lines.len() >= LINES_REMEMBERED {
            lines.pop_front();
            self.lines -= 1;
        }
        lines.push_back((offset, hash));
        self.lines += 1;
    }

    fn forget(&mut self, stream: StreamId) {
        self.lines -= self.streams.remove(&stream).map_or(0, |lines| lines.len());
    }
}

/// What became of some documents.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) chunks: Vec<Chunk>,
    /// Lines that were there before.
    pub(super) repeats: u64,
    /// Documents that could not be understood.
    pub(super) strange: u64,
}

/// Cuts documents into chunks. `ends` says where their streams stand, and says it of the time afterwards when this returns.
pub(super) fn cut(
    documents: Vec<Document>,
    ends: &mut HashMap<StreamId, StreamEnd>,
    memory: &mut Memory,
    now_ns: i64,
) -> Result<Cut, ChunkError> {
    let mut cut = Cut::default();
    let mut open: HashMap<StreamId, Open> = HashMap::new();
    // In the order in which the streams came.
    let mut order = Vec::new();
    let empty = Payload::compress(b"")?;
    for document in documents {
        cut.strange += u64::from(document.is_strange);
        let stream = document.stream;
        let known = ends.get(&stream).copied();
        let Some((start, end)) = place_of(&document, known, memory) else {
            cut.repeats += 1;
            continue;
        };
        if document.exact.is_none() && document.offset.is_some() {
            if known.is_some_and(|known| known.position.generation != start.generation) {
                memory.forget(stream);
            }
            memory.note(stream, start.offset, document.hash());
        }
        let standing = known.unwrap_or(StreamEnd { position: Position::START, next_line: 0 });
        let (header, gap) = document.exact.map_or((None, None), |Exact { header, gap, .. }| (header, gap));
        if open.get(&stream).is_some_and(|open| !open.takes(start, header.as_deref(), gap.as_ref()))
            && let Some(full) = open.remove(&stream)
        {
            cut.chunks.push(full.close()?);
        }
        let open = open.entry(stream).or_insert_with(|| {
            order.push(stream);
            Open {
                chunk: Chunk {
                    stream,
                    start,
                    end,
                    previous: standing.position,
                    first_line: standing.next_line + gap.as_ref().and_then(|gap| gap.lines).unwrap_or(0),
                    lines: 0,
                    cut_lines: 0,
                    gap,
                    node: document.node,
                    path: document.path.into_bytes(),
                    header: header.map(|header| (header + "\n").into_bytes()),
                    read_ns: document.read_ns.unwrap_or(now_ns),
                    payload: empty.clone(),
                },
                lines: Vec::new(),
            }
        });
        open.add(&document.line, end);
        let next_line = open.chunk.first_line + u64::from(open.chunk.lines);
        ends.insert(stream, StreamEnd { position: end, next_line });
    }
    for stream in order {
        if let Some(open) = open.remove(&stream) {
            cut.chunks.push(open.close()?);
        }
    }
    Ok(cut)
}

/// Where a document's line begins and ends; `None` if it was there before.
fn place_of(document: &Document, known: Option<StreamEnd>, memory: &Memory) -> Option<(Position, Position)> {
    let standing = known.map_or(Position::START, |known| known.position);
    if let (Some(exact), Some(offset)) = (&document.exact, document.offset) {
        let length = exact.length.unwrap_or_else(|| document.least_length());
        let start = Position::new(exact.generation, offset);
        let end = Position::new(exact.generation, offset.saturating_add(length));
        return (end > standing).then_some((start.max(standing), end));
    }
    let Some(offset) = document.offset else {
        // Nothing but the order is known.
        let end = Position::new(
            standing.generation,
            standing.offset.saturating_add(document.line.len() as u64 + 1),
        );
        return Some((standing, end));
    };
    let generation = if offset >= standing.offset {
        standing.generation
    } else if offset > 0 && memory.holds(document.stream, offset, document.hash()) {
        return None;
    } else {
        standing.generation.saturating_add(1)
    };
    let end = offset.saturating_add(document.least_length());
    Some((Position::new(generation, offset), Position::new(generation, end)))
}

/// A chunk that is being filled.
struct Open {
    chunk: Chunk,
    lines: Vec<u8>,
}

impl Open {
    fn takes(&self, start: Position, header: Option<&str>, gap: Option<&Gap>) -> bool {
        let own = self.chunk.header.as_deref().map(<[u8]>::trim_ascii_end);
        self.lines.len() < BYTES_A_CHUNK
            && start.generation == self.chunk.start.generation
            && own == header.map(str::as_bytes)
            && gap.is_none()
    }

    fn add(&mut self, line: &[u8], end: Position) {
        let kept = &line[..line.len().min(LONGEST_LINE)];
        self.chunk.cut_lines += u32::from(kept.len() < line.len());
        self.lines.extend_from_slice(kept);
        self.lines.push(b'\n');
        self.chunk.lines += 1;
        self.chunk.end = end;
    }

    fn close(self) -> Result<Chunk, ChunkError> {
        Ok(Chunk { payload: Payload::compress(&self.lines)?, ..self.chunk })
    }
}

#[cfg(test)]
mod tests;

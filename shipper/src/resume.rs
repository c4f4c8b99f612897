//! Where a stream goes on after the shipper itself was away.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rastro_broker::StreamEnd;
use rastro_model::{Gap, GapReason, Position, StreamId};

use crate::{
    arrivals::push_arrivals,
    checkpoint::{Found, GenerationEnd, GenerationRecord, StreamRecord},
    claims::Claims,
    fingerprint::Anchor,
    locate::{locate, open_at_path},
    stream::{Place, Stream},
    tail::Tail,
};

/// Where a stream is to go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) end: StreamEnd,
    /// Why what cannot be read again is lost.
    pub(crate) reason: GapReason,
}

/// What is known at the start besides the files themselves.
#[derive(Debug)]
pub(crate) struct Knowledge<'a> {
    /// Where the stream goes on, if that is known.
    pub(crate) start: Option<Start>,
    pub(crate) record: Option<StreamRecord>,
    /// Whether the checkpoint knows every file that chunks have left from.
    pub(crate) found: Found,
    /// Every file that matches, by device and inode.
    pub(crate) by_identity: &'a HashMap<(u64, u64), PathBuf>,
    /// The file that had the stream's path when there was no rotated one beside it.
    pub(crate) alone: Option<(u64, u64)>,
    pub(crate) claims: &'a Claims,
}

/// Makes the stream of `path` go on where it stopped.
pub(crate) fn resume(
    number: usize,
    id: StreamId,
    path: PathBuf,
    knowledge: &Knowledge<'_>,
) -> io::Result<Stream> {
    let Knowledge { start, record, found, claims, .. } = knowledge;
    let mut stream = Stream::new(number, id, path, Place::default());
    if let Some(start) = start {
        stream.resume_at(start.end.position, start.end.next_line, Anchor::default());
    } else if let Some(record) = record {
        stream.resume_at(record.position, record.next_line, record.anchor);
    }
    let mut newest_known_ns = None;
    if let Some(record) = record {
        stream.floor_ns = record.floor_ns;
        newest_known_ns = record.generations.iter().map(|generation| generation.modified_ns).max();
        resume_generations(&mut stream, record, knowledge)?;
    } else if let Some(start) = start {
        resume_without_record(&mut stream, *start, *found)?;
        stream.floor_ns = Some(now_ns());
    }
    // A log that was never followed is read with its rotated files, as far as they are there.
    let last_ns = stream.tails.back().map(|tail| tail.modified_ns);
    push_arrivals(&mut stream, claims, last_ns.or(newest_known_ns), knowledge.alone)?;
    if let Some(record) = record.as_ref().filter(|record| record.position < stream.acknowledged.position) {
        // What the broker has beyond it may have been accepted a moment ago.
        let StreamRecord { position, next_line, anchor, .. } = *record;
        stream.durable = Place { position, next_line, anchor };
        stream.undurable.push_back((Instant::now(), stream.acknowledged));
    }
    Ok(stream)
}

fn resume_generations(
    stream: &mut Stream,
    record: &StreamRecord,
    knowledge: &Knowledge<'_>,
) -> io::Result<()> {
    let place = stream.cut.position;
    let reason = knowledge.start.map_or(GapReason::Deleted, |start| start.reason);
    let oldest = record.generations.first().map(|oldest| oldest.generation);
    if oldest.is_some_and(|oldest| oldest > place.generation) {
        // What came between is forgotten. A stream of which nothing is known anywhere begins at 0 without a loss.
        stream.lose(Gap { bytes: 0, lines: None, reason });
    }
    let mut line = Some(stream.cut.next_line);
    for generation in &record.generations {
        if generation.generation < place.generation {
            let mut generation = generation.clone();
            if generation.end.is_none() {
                // The broker has what came after it, so it has all of it; the checkpoint was not told any more.
                generation.end = Some(end_of(&generation, stream, knowledge)?);
            }
            stream.finished.push(generation);
        } else {
            resume_generation(stream, record, generation.clone(), place, &mut line, knowledge)?;
        }
    }
    let highest = record.generations.last().map(|newest| newest.generation);
    if highest.is_some_and(|highest| highest >= place.generation) {
        stream.pass_gap_on(usize::MAX, record.gap.clone());
    } else if let Some(start) = knowledge.start {
        // The broker is ahead of this checkpoint, which is the one before the last.
        resume_without_record(stream, start, knowledge.found)?;
    }
    Ok(())
}

/// Where a file ended that was shipped whole, as it is on the disk.
fn end_of(
    generation: &GenerationRecord,
    stream: &Stream,
    knowledge: &Knowledge<'_>,
) -> io::Result<GenerationEnd> {
    // An inode alone may have been given to another file.
    let located = match generation.fingerprint.head_length {
        0 => None,
        _ => locate(generation, 0, None, stream, Some(knowledge.by_identity))?,
    };
    let (offset, anchor) = match located {
        Some(located) => {
            let length = located.metadata.len();
            (length, Anchor::read(&located.file, length)?)
        }
        None => (generation.size, Anchor::default()),
    };
    let next_line = knowledge.start.map_or(0, |start| start.end.next_line);
    Ok(GenerationEnd { offset, next_line, anchor, has_lines: offset > 0 })
}

/// `line` is the number of the line at which the generation is to be read, as far as that is known.
fn resume_generation(
    stream: &mut Stream,
    record: &StreamRecord,
    mut generation: GenerationRecord,
    place: Position,
    line: &mut Option<u64>,
    knowledge: &Knowledge<'_>,
) -> io::Result<()> {
    let is_first = generation.generation == place.generation;
    let is_acknowledged_one = generation.generation == record.position.generation;
    let offset = if is_first { place.offset } else { 0 };
    // A gap before the next chunk is still to be told, unless that chunk has arrived since.
    let gap = generation.gap.take().filter(|_| !is_first || place == record.position);
    stream.pass_gap_on(usize::MAX, gap);
    if generation.fingerprint.head_length == 0 && generation.end.is_none() && offset == 0 {
        // It was empty, so it was known by its inode alone. If it is there still, it is found like any file that is new.
        return Ok(());
    }
    if generation.end.is_some_and(|end| end.offset == offset) {
        stream.finished.push(generation);
        return Ok(());
    }
    let anchor = match generation.end {
        Some(end) => Some((end.anchor, end.offset)),
        None if is_acknowledged_one => Some((record.anchor, record.position.offset)),
        None => None,
    };
    let acknowledged = if is_acknowledged_one { record.position.offset } else { 0 };
    let known_end = generation.end.map_or(generation.size, |end| end.offset).max(acknowledged);
    let located = locate(&generation, offset, anchor, stream, Some(knowledge.by_identity))?;
    if offset == 0
        && located.as_ref().is_some_and(|located| located.is_copy && stream.holds(&located.metadata))
    {
        // The copy was met before the truncation was, and is read as a file of its own.
        return Ok(());
    }
    let reason = knowledge.start.map_or(GapReason::Deleted, |start| start.reason);
    let line_at_end = match generation.end {
        Some(end) => Some(end.next_line),
        // Nothing is known to lie behind what was acknowledged.
        None if is_acknowledged_one && known_end == acknowledged => Some(record.next_line),
        None => None,
    };
    let lost = if let Some(located) = located {
        let mut tail = Tail::resumed(located.path, located.file, generation.generation, offset)?;
        tracing::debug!(
            stream = %stream.path.display(), path = %tail.path.display(), generation = tail.generation, offset,
            size = tail.size, is_copy = located.is_copy, inode = tail.fingerprint.inode, "a file is taken up again"
        );
        tail.is_copy = located.is_copy;
        tail.announced = !located.is_copy;
        if is_first {
            stream.resume_at(place, stream.cut.next_line, tail.anchor);
        }
        stream.push_tail(tail);
        Gap { bytes: known_end.saturating_sub(located.metadata.len()), lines: None, reason }
    } else {
        let lines = line_at_end.zip(*line).and_then(|(end, start)| end.checked_sub(start));
        // With this the loss is told once, however often the shipper is started before it can be.
        let next_line = line.unwrap_or(stream.cut.next_line) + lines.unwrap_or(0);
        let end = GenerationEnd { offset, next_line, anchor: Anchor::default(), has_lines: offset > 0 };
        stream.finished.push(GenerationRecord { end: Some(end), ..generation });
        Gap { bytes: known_end.saturating_sub(offset), lines, reason }
    };
    *line = line_at_end;
    if lost.bytes > 0 {
        stream.lose(lost);
    }
    Ok(())
}

/// The broker knows the stream, the checkpoint does not know the file.
fn resume_without_record(stream: &mut Stream, start: Start, found: Found) -> io::Result<()> {
    let Position { generation, offset } = start.end.position;
    if found == Found::Sound {
        // The stream was forgotten because its file was gone: whatever has the path now is new.
        return Ok(());
    }
    if let Some((file, metadata)) = open_at_path(&stream.path)?
        && metadata.len() >= offset
    {
        tracing::warn!(
            path = %stream.path.display(), offset,
            "the checkpoint that told files apart is lost; the file under this path is taken for the one that was shipped last"
        );
        stream.push_tail(Tail::resumed(stream.path.clone(), file, generation, offset)?);
        return Ok(());
    }
    stream.lose(Gap { bytes: 0, lines: None, reason: start.reason });
    Ok(())
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

//! Writing chunks: encoded on all cores first, then put into the file in one transaction.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use rastro_model::{Container, Gap, GapReason, Position, Segment, SegmentId, StreamId, Tally};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{failure::Failure, names::Names, now_ns};
use crate::{
    ChunkOutput, DeadLetter, Roll, Rollup, StoreError, WriteReport,
    columns::{self, Blobs},
    ledger::{Crossings, End, Extent, OpenEnters, Step, joined},
    roll::{number_of, numbered_index},
};

/// Below so many calls the threads would cost more than they save.
const WORTH_SHARING: usize = 20_000;

/// A chunk as it will be stored: everything that can be worked out without knowing what is stored already.
pub(super) struct PreparedChunk {
    stream: StreamId,
    path: String,
    dataset: String,
    extent: Extent,
    next_line: u64,
    gap: Option<Gap>,
    tally: Tally,
    crossings: Crossings,
    segments: Vec<PreparedSegment>,
    rollups: Vec<Rollup>,
    dead_letters: Vec<DeadLetter>,
}

struct PreparedSegment {
    id: SegmentId,
    dataset: String,
    index: String,
    node: String,
    architecture: String,
    container: Container,
    gap: Option<Gap>,
    calls: usize,
    span_ns: Option<(i64, i64)>,
    blobs: Blobs,
}

/// What a write did, in more detail than its report.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) report: WriteReport,
    pub(super) segments: u64,
    pub(super) calls: u64,
    pub(super) bytes: u64,
    pub(super) settled: u64,
    pub(super) lost_lines: u64,
}

/// Prepares all chunks, on all cores if that is worth it. Takes its time: call it where blocking is allowed.
pub(super) fn prepare(outputs: &[ChunkOutput]) -> Result<Vec<PreparedChunk>, StoreError> {
    let calls: usize =
        outputs.iter().flat_map(|output| &output.segments).map(|segment| segment.calls.len()).sum();
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(outputs.len());
    if cores < 2 || calls < WORTH_SHARING {
        return outputs.iter().map(prepare_chunk).collect();
    }
    let next = AtomicUsize::new(0);
    let prepared: Mutex<Vec<Option<Result<PreparedChunk, StoreError>>>> =
        Mutex::new(outputs.iter().map(|_| None).collect());
    let work = || {
        while let number = next.fetch_add(1, Ordering::Relaxed)
            && let Some(output) = outputs.get(number)
        {
            let chunk = prepare_chunk(output);
            prepared.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(chunk);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores {
            scope.spawn(work);
        }
        work();
    });
    prepared.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}

fn prepare_chunk(output: &ChunkOutput) -> Result<PreparedChunk, StoreError> {
    if !output.rendered.is_empty() {
        return Err(damaged(
            output,
            "it comes with documents of calls or windows, which the embedded store does not keep; take `call` and `window` out of \
             `transformer.documents`, or store in Elasticsearch (`store.urls`)"
                .to_owned(),
        ));
    }
    // SQLite orders whole numbers with a sign.
    let positions = [output.start, output.end, output.previous];
    let storable = |number: u64| i64::try_from(number).is_ok();
    if !positions.iter().all(|position| storable(position.generation) && storable(position.offset))
        || !storable(output.first_line)
    {
        return Err(damaged(output, "its position is beyond 2^63".to_owned()));
    }
    Ok(PreparedChunk {
        stream: output.stream,
        path: output.path.clone(),
        dataset: output.dataset.clone(),
        extent: Extent {
            start: output.start,
            end: output.end,
            previous: output.previous,
            first_line: output.first_line,
        },
        next_line: output.first_line + u64::from(output.lines),
        gap: output.gap.clone(),
        tally: output.tally,
        crossings: Crossings::of(&output.segments),
        segments: output
            .segments
            .iter()
            .map(|segment| prepare_segment(segment).map_err(|error| damaged(output, error.to_string())))
            .collect::<Result<_, _>>()?,
        rollups: output.rollups.clone(),
        dead_letters: output.dead_letters.clone(),
    })
}

fn prepare_segment(segment: &Segment) -> Result<PreparedSegment, columns::EncodeError> {
    let times = &segment.calls.time_ns;
    Ok(PreparedSegment {
        id: segment.id,
        dataset: segment.dataset.clone(),
        index: segment.index.clone(),
        node: segment.node.clone(),
        architecture: segment.architecture.clone(),
        container: segment.container.clone(),
        gap: segment.gap.clone(),
        calls: segment.calls.len(),
        span_ns: times.iter().min().copied().zip(times.iter().max().copied()),
        blobs: columns::encode(segment)?,
    })
}

fn damaged(output: &ChunkOutput, message: String) -> StoreError {
    StoreError::Damaged { what: "chunk", name: format!("{} at {}", output.path, output.start), message }
}

/// Puts chunks into the file.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    chunks: Vec<PreparedChunk>,
    roll: Roll,
) -> Result<Written, Failure> {
    let mut written = Written::default();
    let mut names = Names::default();
    for chunk in chunks {
        insert_chunk(transaction, &mut names, chunk, roll, &mut written)?;
    }
    Ok(written)
}

fn insert_chunk(
    transaction: &Transaction<'_>,
    names: &mut Names,
    mut chunk: PreparedChunk,
    roll: Roll,
    written: &mut Written,
) -> Result<(), Failure> {
    let mut ledger = Ledger::read(transaction, chunk.stream)?;
    let gap = match ledger.end.step(chunk.extent, chunk.gap.as_ref()) {
        Step::Duplicate => {
            written.report.duplicates += 1;
            return Ok(());
        }
        Step::Overlap => {
            return Err(StoreError::Overlap {
                stream: chunk.stream,
                known: ledger.end.position,
                next_line: ledger.end.next_line,
            }
            .into());
        }
        Step::Next(gap) => gap,
    };
    written.report.written += 1;
    if gap.as_ref().is_some_and(|gap| chunk.gap.as_ref() != Some(gap)) {
        written.report.gaps += 1;
    }

    let dataset = names.dataset(transaction, &chunk.dataset)?;
    if let Roll::Documents(most) = roll {
        assign_index(transaction, &mut chunk, dataset, most)?;
    }
    if gap.as_ref().is_some_and(|gap| gap.reason != GapReason::LineTooLong) {
        // The exits of waiting enters may be among what was lost, and so may other enters of the same threads.
        ledger.open_enters.forget();
    }
    for (dataset, enters) in ledger.open_enters.advance(chunk.crossings, dataset) {
        written.settled += enters;
        settle(transaction, ledger.id, dataset, enters)?;
    }
    let lost = gap.as_ref().map_or((0, 0), |gap| (gap.bytes, gap.lines.unwrap_or(0)));
    written.lost_lines += lost.1;
    add_tally(transaction, ledger.id, dataset, &chunk.tally, lost)?;

    // A gap before a chunk without calls is told by the next calls of the stream.
    let gap = joined(ledger.pending_gap.take(), gap);
    if chunk.segments.is_empty() {
        ledger.pending_gap = gap;
    } else {
        for segment in &chunk.segments {
            written.segments += 1;
            written.calls += segment.calls as u64;
            written.bytes += insert_segment(transaction, names, ledger.id, segment, gap.as_ref())?;
        }
    }
    for rollup in &chunk.rollups {
        add_rollup(transaction, names, &chunk.dataset, rollup)?;
    }
    for letter in &chunk.dead_letters {
        insert_dead_letter(transaction, dataset, letter)?;
    }
    ledger.end = End { position: chunk.extent.end, next_line: chunk.next_line };
    ledger.write(transaction, &chunk.path)
}

/// Gives a chunk whose indices bear the bare name of the dataset the numbered one that is being filled.
fn assign_index(
    transaction: &Transaction<'_>,
    chunk: &mut PreparedChunk,
    dataset: i64,
    most_calls: u64,
) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached("SELECT name, calls FROM indices WHERE dataset = ?")?;
    let indices = statement.query_map([dataset], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let indices: Vec<(String, u64)> = indices.collect::<Result<_, _>>()?;
    let newest = indices
        .iter()
        .filter_map(|(name, calls)| Some((number_of(&chunk.dataset, name)?, *calls)))
        .max()
        .unwrap_or((1, 0));
    let number = if newest.1 >= most_calls { newest.0 + 1 } else { newest.0 };
    let index = numbered_index(&chunk.dataset, number);
    let segments = chunk.segments.iter_mut().map(|segment| &mut segment.index);
    for name in segments.chain(chunk.rollups.iter_mut().map(|rollup| &mut rollup.index)) {
        if *name == chunk.dataset {
            name.clone_from(&index);
        }
    }
    Ok(())
}

/// The row of a stream.
struct Ledger {
    id: i64,
    end: End,
    open_enters: OpenEnters,
    pending_gap: Option<Gap>,
}

impl Ledger {
    /// Reads the row, or makes one for a new stream.
    fn read(transaction: &Transaction<'_>, stream: StreamId) -> Result<Self, Failure> {
        type Row = (i64, Position, i64, Option<Vec<u8>>, Option<Vec<u8>>);
        let row: Option<Row> = transaction
            .prepare_cached(
                "SELECT id, generation, byte_offset, next_line, open_enters, pending_gap FROM streams WHERE stream = ?",
            )?
            .query_row([stream.0.cast_signed()], |row| {
                let position = Position::new(row.get(1)?, row.get(2)?);
                Ok((row.get(0)?, position, row.get(3)?, row.get(4)?, row.get(5)?))
            })
            .optional()?;
        let Some((id, position, next_line, open_enters, pending_gap)) = row else {
            let id = transaction
                .prepare_cached(
                    "INSERT INTO streams (stream, path, generation, byte_offset, next_line) VALUES (?, '', 0, 0, 0)",
                )?
                .insert([stream.0.cast_signed()])?;
            return Ok(Self {
                id,
                end: End::default(),
                open_enters: OpenEnters::default(),
                pending_gap: None,
            });
        };
        let broken = |error: postcard::Error| StoreError::Damaged {
            what: "ledger of stream",
            name: stream.to_string(),
            message: error.to_string(),
        };
        Ok(Self {
            id,
            end: End { position, next_line: next_line.cast_unsigned() },
            open_enters: open_enters
                .map(|bytes| postcard::from_bytes(&bytes).map_err(broken))
                .transpose()?
                .unwrap_or_default(),
            pending_gap: pending_gap.map(|bytes| read_gap(&bytes).map_err(broken)).transpose()?,
        })
    }

    fn write(&self, transaction: &Transaction<'_>, path: &str) -> Result<(), Failure> {
        let open_enters = if self.open_enters.is_empty() { None } else { Some(to_bytes(&self.open_enters)?) };
        transaction
            .prepare_cached(
                "UPDATE streams SET path = ?, generation = ?, byte_offset = ?, next_line = ?, open_enters = ?, pending_gap = ?
                 WHERE id = ?",
            )?
            .execute(params![
                path,
                self.end.position.generation,
                self.end.position.offset,
                self.end.next_line,
                open_enters,
                self.pending_gap.as_ref().map(to_bytes).transpose()?,
                self.id
            ])?;
        Ok(())
    }
}

fn to_bytes(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    postcard::to_stdvec(value).map_err(|error| {
        StoreError::Damaged { what: "row", name: "new".into(), message: error.to_string() }.into()
    })
}

/// A gap as it lies in a row.
pub(super) fn read_gap(bytes: &[u8]) -> Result<Gap, postcard::Error> {
    postcard::from_bytes(bytes)
}

fn insert_segment(
    transaction: &Transaction<'_>,
    names: &mut Names,
    stream: i64,
    segment: &PreparedSegment,
    chunk_gap: Option<&Gap>,
) -> Result<u64, Failure> {
    let index = names.index(transaction, &segment.dataset, &segment.index)?;
    let origin = names.origin(transaction, &segment.container, &segment.node, &segment.architecture)?;
    // Every container of the chunk may have lost calls, so each of its segments says so.
    let gap = chunk_gap.or(segment.gap.as_ref()).map(to_bytes).transpose()?;
    transaction
        .prepare_cached(
            "INSERT INTO segments (dataset_index, stream, generation, byte_offset, part, origin, calls, gap, sequence, rest)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            index,
            stream,
            segment.id.start.generation,
            segment.id.start.offset,
            segment.id.part,
            origin,
            segment.calls as i64,
            gap,
            segment.blobs.sequence,
            segment.blobs.rest,
        ])?;
    transaction
        .prepare_cached("INSERT OR IGNORE INTO index_origins (dataset_index, origin) VALUES (?, ?)")?
        .execute([index, origin])?;
    let bytes = segment.blobs.sequence.len() + segment.blobs.rest.len();
    let (start_ns, end_ns) = segment.span_ns.unzip();
    transaction
        .prepare_cached(
            "UPDATE indices SET segments = segments + 1, calls = calls + ?2, bytes = bytes + ?3,
                 start_ns = coalesce(min(start_ns, ?4), start_ns, ?4), end_ns = coalesce(max(end_ns, ?5), end_ns, ?5)
             WHERE id = ?1",
        )?
        .execute(params![index, segment.calls as i64, bytes as i64, start_ns, end_ns])?;
    Ok(bytes as u64)
}

fn settle(transaction: &Transaction<'_>, stream: i64, dataset: i64, enters: u64) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "UPDATE tallies SET calls_stored = calls_stored - ?3, events_folded = events_folded + ?3
             WHERE stream = ?1 AND dataset = ?2",
        )?
        .execute(params![stream, dataset, enters])?;
    Ok(())
}

fn add_tally(
    transaction: &Transaction<'_>,
    stream: i64,
    dataset: i64,
    tally: &Tally,
    (lost_bytes, lost_lines): (u64, u64),
) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT INTO tallies VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (stream, dataset) DO UPDATE SET
                 lines_read = lines_read + ?3, events_parsed = events_parsed + ?4, dead_letters = dead_letters + ?5,
                 calls_stored = calls_stored + ?6, events_folded = events_folded + ?7,
                 events_not_calls = events_not_calls + ?8, calls_lost = calls_lost + ?9,
                 lost_bytes = min(lost_bytes, 9223372036854775807 - ?10) + ?10,
                 lost_lines = min(lost_lines, 9223372036854775807 - ?11) + ?11",
        )?
        .execute(params![
            stream,
            dataset,
            tally.lines_read,
            tally.events_parsed,
            tally.dead_letters,
            tally.calls_stored,
            tally.events_folded,
            tally.events_not_calls,
            tally.calls_lost,
            clamped(lost_bytes),
            clamped(lost_lines),
        ])?;
    Ok(())
}

/// SQLite's whole numbers end at 2^63 − 1.
fn clamped(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn add_rollup(
    transaction: &Transaction<'_>,
    names: &mut Names,
    dataset: &str,
    rollup: &Rollup,
) -> Result<(), Failure> {
    let index = names.index(transaction, dataset, &rollup.index)?;
    let container = names.container(transaction, &rollup.container)?;
    transaction
        .prepare_cached(
            "INSERT INTO rollups VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (dataset_index, interval_ns, container, name, category) DO UPDATE SET
                 count = count + ?6, errors = errors + ?7,
                 latency_sum_ns = min(latency_sum_ns, 9223372036854775807 - ?8) + ?8,
                 latency_max_ns = max(latency_max_ns, ?9), argc_sum = argc_sum + ?10",
        )?
        .execute(params![
            index,
            rollup.interval_ns,
            container,
            rollup.name,
            rollup.category.number(),
            rollup.count,
            rollup.errors,
            clamped(rollup.latency_sum_ns),
            clamped(rollup.latency_max_ns),
            rollup.argc_sum,
        ])?;
    Ok(())
}

fn insert_dead_letter(
    transaction: &Transaction<'_>,
    dataset: i64,
    letter: &DeadLetter,
) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT INTO dead_letters (dataset, stream, line, generation, byte_offset, reason, text, ingested_ns)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            dataset,
            letter.stream.0.cast_signed(),
            letter.line,
            letter.position.generation,
            letter.position.offset,
            letter.reason,
            letter.text,
            now_ns(),
        ])?;
    Ok(())
}

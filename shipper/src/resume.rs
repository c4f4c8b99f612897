//! Finding a stream's files again: after a rotation that was not seen, and after the shipper itself was away.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rastro_broker::StreamEnd;
use rastro_model::{Gap, GapReason, Position, StreamId};

use crate::{
    checkpoint::{Found, GenerationRecord, StreamRecord},
    discover::{rotation_base, rotation_number, siblings},
    fingerprint::{Anchor, Fingerprint, identity},
    stream::{Claims, Place, Stream},
    tail::{Tail, modified_ns, open_regular},
};

/// A file that was found.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
    /// It is another file with the same beginning: a copy.
    pub(crate) is_copy: bool,
}

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
    pub(crate) claims: &'a Claims,
}

/// Opens `path`; `None` if it is not there (any more), is no regular file or may not be read.
fn try_open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    match open_regular(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(None)
        }
        other => other,
    }
}

/// Finds the file of a generation: by its identity and content; failing that, a copy by content alone.
pub(crate) fn locate(
    record: &GenerationRecord,
    offset: u64,
    anchor: Option<(Anchor, u64)>,
    path: &Path,
    by_identity: Option<&HashMap<(u64, u64), PathBuf>>,
    claims: &Claims,
) -> io::Result<Option<Located>> {
    let beside = siblings(path);
    let elsewhere = by_identity.and_then(|known| known.get(&record.fingerprint.identity()));
    let candidates = std::iter::once(path)
        .chain(elsewhere.map(PathBuf::as_path))
        .chain(beside.iter().map(PathBuf::as_path));
    for candidate in candidates {
        let Some((file, metadata)) = try_open(candidate)? else { continue };
        if record.fingerprint.is_at(&metadata)
            && has_content(&file, &metadata, &record.fingerprint, offset, anchor)?
        {
            return Ok(Some(Located { path: candidate.to_owned(), file, metadata, is_copy: false }));
        }
    }
    find_content(&record.fingerprint, offset, anchor, &beside, claims)
}

/// A copy of a file that was truncated: another file beside it, with the same beginning and the same bytes before the place of reading.
pub(crate) fn find_copy(tail: &Tail, path: &Path, claims: &Claims) -> io::Result<Option<Located>> {
    let anchor = Some((tail.anchor, tail.offset));
    find_content(&tail.fingerprint, tail.offset, anchor, &siblings(path), claims)
}

fn find_content(
    fingerprint: &Fingerprint,
    offset: u64,
    anchor: Option<(Anchor, u64)>,
    beside: &[PathBuf],
    claims: &Claims,
) -> io::Result<Option<Located>> {
    if fingerprint.head_length == 0 {
        return Ok(None);
    }
    let mut newest: Option<Located> = None;
    for candidate in beside {
        let Some((file, metadata)) = try_open(candidate)? else { continue };
        let is_newer =
            newest.as_ref().is_none_or(|found| modified_ns(&found.metadata) < modified_ns(&metadata));
        if is_newer
            && !claims.contains_key(&identity(&metadata))
            && has_content(&file, &metadata, fingerprint, offset, anchor)?
        {
            newest = Some(Located { path: candidate.clone(), file, metadata, is_copy: true });
        }
    }
    Ok(newest)
}

fn has_content(
    file: &File,
    metadata: &Metadata,
    fingerprint: &Fingerprint,
    offset: u64,
    anchor: Option<(Anchor, u64)>,
) -> io::Result<bool> {
    Ok(metadata.len() >= offset
        && fingerprint.head_matches(file)?
        && anchor.map_or(Ok(true), |(anchor, place)| anchor.matches_at(file, place))?)
}

/// Adds the files that have come under the stream's path since its last known file: first those that were rotated away again before
/// anybody looked, in order of age, then the one that has the path now.
///
/// `newest_known_ns` is when the last known file was last changed.
pub(crate) fn push_arrivals(
    stream: &mut Stream,
    claims: &Claims,
    newest_known_ns: Option<i64>,
) -> io::Result<()> {
    let mut rotated = Vec::new();
    for candidate in siblings(&stream.path) {
        if rotation_base(&candidate).as_ref() != Some(&stream.path) {
            continue;
        }
        let Some((file, metadata)) = try_open(&candidate)? else { continue };
        let changed_ns = modified_ns(&metadata);
        let is_too_old = stream.floor_ns.is_some_and(|floor| changed_ns < floor);
        let is_other_streams = claims.get(&identity(&metadata)).is_some_and(|&owner| owner != stream.number);
        if metadata.len() == 0 || is_too_old || is_other_streams {
            continue;
        }
        let is_older = newest_known_ns.is_some_and(|newest| changed_ns < newest);
        if !is_known(stream, &file, &metadata, is_older)? {
            rotated.push((candidate, file, metadata));
        }
    }
    sort_by_age(&mut rotated);
    for (path, file, metadata) in rotated {
        push(stream, path, file, &metadata)?;
    }
    let Some((file, metadata)) = open_at_path(&stream.path)? else { return Ok(()) };
    let own = identity(&metadata);
    let is_other_streams = claims.get(&own).is_some_and(|&owner| owner != stream.number);
    if is_other_streams || stream.tails.iter().any(|tail| tail.fingerprint.identity() == own) {
        return Ok(());
    }
    let path = stream.path.clone();
    push(stream, path, file, &metadata)
}

fn open_at_path(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

fn push(stream: &mut Stream, path: PathBuf, file: File, metadata: &Metadata) -> io::Result<()> {
    let generation = stream.next_generation();
    // A finished file that has its name back goes on where it ended.
    let mut offset = 0;
    for record in &stream.finished {
        if let Some(end) = record.end
            && record.fingerprint.is_at(metadata)
            && has_content(&file, metadata, &record.fingerprint, end.offset, Some((end.anchor, end.offset)))?
        {
            offset = end.offset;
        }
    }
    stream.push_tail(Tail::resumed(path, file, metadata, generation, offset)?);
    Ok(())
}

/// Whether a rotated file is one that the stream knows, or a copy of one. Of a file that is older than what is known (`is_older`) the
/// same beginning is enough to be a copy: it may have been made before the place of reading.
fn is_known(stream: &Stream, file: &File, metadata: &Metadata, is_older: bool) -> io::Result<bool> {
    let own = identity(metadata);
    let tails =
        stream.tails.iter().map(|tail| (&tail.fingerprint, tail.offset, tail.anchor, tail.has_lines()));
    let finished = stream.finished.iter().filter_map(|record| {
        record.end.map(|end| (&record.fingerprint, end.offset, end.anchor, end.has_lines))
    });
    for (fingerprint, offset, anchor, has_lines) in tails.chain(finished) {
        let is_same_file = fingerprint.identity() == own;
        if (is_same_file || has_lines)
            && has_content(file, metadata, fingerprint, offset, Some((anchor, offset)))?
        {
            return Ok(true);
        }
        if is_older && has_lines && fingerprint.head_length > 0 && fingerprint.head_matches(file)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Oldest first: by the time of the last change, then of the creation, then by the number in the name. Numbers rise with age
/// (logrotate) or fall (Rastro's agent); the files whose times differ tell which.
fn sort_by_age(files: &mut [(PathBuf, File, Metadata)]) {
    let times = |metadata: &Metadata| {
        let created = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        (modified_ns(metadata), created)
    };
    let number = |path: &Path| rotation_number(path).unwrap_or(0) as i128;
    files.sort_by_cached_key(|(path, _, metadata)| (times(metadata), number(path)));
    let falls: i32 = files
        .windows(2)
        .filter(|pair| times(&pair[0].2) != times(&pair[1].2))
        .map(|pair| if number(&pair[0].0) < number(&pair[1].0) { 1 } else { -1 })
        .sum();
    let sign = if falls > 0 { 1 } else { -1 };
    files.sort_by_cached_key(|(path, _, metadata)| (times(metadata), sign * number(path)));
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
    push_arrivals(&mut stream, claims, last_ns.or(newest_known_ns))?;
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
            stream.finished.push(generation.clone());
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
    let located =
        locate(&generation, offset, anchor, &stream.path, Some(knowledge.by_identity), knowledge.claims)?;
    let reason = knowledge.start.map_or(GapReason::Deleted, |start| start.reason);
    let line_at_end = match generation.end {
        Some(end) => Some(end.next_line),
        // Nothing is known to lie behind what was acknowledged.
        None if is_acknowledged_one && known_end == acknowledged => Some(record.next_line),
        None => None,
    };
    let lost = match located {
        Some(located) => {
            let mut tail =
                Tail::resumed(located.path, located.file, &located.metadata, generation.generation, offset)?;
            tail.is_copy = located.is_copy;
            tail.announced = !located.is_copy;
            if is_first {
                stream.resume_at(place, stream.cut.next_line, tail.anchor);
            }
            stream.push_tail(tail);
            let bytes = known_end.saturating_sub(located.metadata.len());
            Gap { bytes, lines: None, reason }
        }
        None => {
            stream.finished.push(generation);
            let lines = line_at_end.zip(*line).and_then(|(end, start)| end.checked_sub(start));
            Gap { bytes: known_end.saturating_sub(offset), lines, reason }
        }
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
        stream.push_tail(Tail::resumed(stream.path.clone(), file, &metadata, generation, offset)?);
        return Ok(());
    }
    stream.lose(Gap { bytes: 0, lines: None, reason: start.reason });
    Ok(())
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

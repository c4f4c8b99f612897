//! Finding a stream's files again: after a rotation that was not seen, and after the shipper itself was away.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rastro_broker::StreamEnd;
use rastro_model::{Gap, GapReason, Position, StreamId};

use crate::{
    checkpoint::{Found, GenerationEnd, GenerationRecord, StreamRecord},
    claims::Claims,
    discover::{rotated_beside, rotation_number, siblings},
    fingerprint::{Anchor, Fingerprint, identity, read_full_at},
    stream::{Likeness, Place, Stream},
    tail::{Tail, is_made_after, modified_ns, open_regular},
};

/// How often a directory in which files move is looked at before what was seen is taken.
const SNAPSHOT_TRIES: u32 = 20;

/// How much of the beginning must be the same for two files of different length to be taken for one and its copy.
const TELLING_LENGTH: u32 = 64;

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
    /// The file that had the stream's path when there was no rotated one beside it.
    pub(crate) alone: Option<(u64, u64)>,
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
    stream: &Stream,
    by_identity: Option<&HashMap<(u64, u64), PathBuf>>,
) -> io::Result<Option<Located>> {
    let is_it = |candidate: &Path| {
        let Some((file, metadata)) = try_open(candidate)? else { return Ok(None) };
        let is_it = record.fingerprint.is_at(&metadata)
            && has_content(&file, &metadata, &record.fingerprint, offset, anchor)?;
        io::Result::Ok(is_it.then(|| Located { path: candidate.to_owned(), file, metadata, is_copy: false }))
    };
    if let Some(located) = is_it(&stream.path)? {
        return Ok(Some(located));
    }
    if let Some(elsewhere) = by_identity.and_then(|known| known.get(&record.fingerprint.identity()))
        && let Some(located) = is_it(elsewhere)?
        && !is_made_after(&located.metadata, record.modified_ns)
    {
        return Ok(Some(located));
    }
    let beside = siblings(&stream.path);
    for candidate in &beside {
        if let Some(located) = is_it(candidate)? {
            return Ok(Some(located));
        }
    }
    find_content(&record.fingerprint, offset, anchor, &beside, stream)
}

/// A copy of a file that was truncated: another file beside it, with the same beginning and the same bytes before the place of reading.
pub(crate) fn find_copy(tail: &Tail, stream: &Stream) -> io::Result<Option<Located>> {
    let anchor = Some((tail.anchor, tail.offset));
    find_content(&tail.fingerprint, tail.offset, anchor, &siblings(&stream.path), stream)
}

fn find_content(
    fingerprint: &Fingerprint,
    offset: u64,
    anchor: Option<(Anchor, u64)>,
    beside: &[PathBuf],
    stream: &Stream,
) -> io::Result<Option<Located>> {
    if fingerprint.head_length == 0 {
        return Ok(None);
    }
    let mut newest: Option<Located> = None;
    for candidate in beside {
        let Some((file, metadata)) = try_open(candidate)? else { continue };
        // A short beginning is believed if the whole file is no longer, or if nothing has been read of it yet: then a wrong guess
        // does no harm, for whatever the file is, it is read from its beginning.
        if !is_telling(&file, fingerprint, offset)?
            && metadata.len() != u64::from(fingerprint.head_length)
            && (offset > 0 || is_known(stream, &file, &metadata, false)?)
        {
            continue;
        }
        let is_newer =
            newest.as_ref().is_none_or(|found| modified_ns(&found.metadata) < modified_ns(&metadata));
        if is_newer && has_content(&file, &metadata, fingerprint, offset, anchor)? {
            newest = Some(Located { path: candidate.clone(), file, metadata, is_copy: true });
        }
    }
    Ok(newest)
}

/// Whether the same beginning makes a file a copy of what was read up to `offset`: if that is long, or at least one whole line.
fn is_telling(file: &File, fingerprint: &Fingerprint, offset: u64) -> io::Result<bool> {
    if fingerprint.head_length >= TELLING_LENGTH {
        return Ok(true);
    }
    let mut last = [0];
    Ok(offset > 0 && read_full_at(file, &mut last, offset - 1)? == 1 && last == [b'\n'])
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

/// The file that has the stream's path and its rotated ones, all at one moment.
struct Snapshot {
    at_path: Option<(File, Metadata)>,
    rotated: Vec<(PathBuf, File, Metadata)>,
}

impl Snapshot {
    /// Opens the files. A rotation meanwhile would show a file twice or not at all, so it is done again until nothing has moved.
    fn take(path: &Path) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let at_path = open_at_path(path)?;
            let mut rotated = Vec::new();
            for candidate in rotated_beside(path) {
                if let Some((file, metadata)) = try_open(&candidate)? {
                    rotated.push((candidate, file, metadata));
                }
            }
            let own = at_path.as_ref().map(|(_, metadata)| identity(metadata));
            let seen = rotated.iter().map(|(path, _, metadata)| (path.clone(), identity(metadata)));
            tries += 1;
            if tries == SNAPSHOT_TRIES
                || (seen.eq(identities(&rotated_beside(path))) && own == identity_at(path))
            {
                return Ok(Self { at_path, rotated });
            }
        }
    }
}

pub(crate) fn identity_at(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().filter(Metadata::is_file).map(|metadata| identity(&metadata))
}

fn identities(paths: &[PathBuf]) -> impl Iterator<Item = (PathBuf, (u64, u64))> {
    paths.iter().filter_map(|path| Some((path.clone(), identity_at(path)?)))
}

/// Adds the files that have come under the stream's path since its last known file: first those that were rotated away again before
/// anybody looked, in order of age, then the one that has the path now.
///
/// `alone` is the file of which it is known that there was no rotated one when it had the path.
pub(crate) fn push_arrivals(
    stream: &mut Stream,
    claims: &Claims,
    newest_known_ns: Option<i64>,
    alone: Option<(u64, u64)>,
) -> io::Result<()> {
    let at_path = open_at_path(&stream.path)?;
    let is_alone = alone.is_some() && at_path.as_ref().map(|(_, metadata)| identity(metadata)) == alone;
    let Snapshot { at_path, rotated } =
        if is_alone { Snapshot { at_path, rotated: Vec::new() } } else { Snapshot::take(&stream.path)? };
    let own = at_path.as_ref().map(|(_, metadata)| identity(metadata));
    // Of the newest file nothing may have left before those that are older; and of a file that was empty a moment ago it is not
    // known whether it has been copied and truncated since.
    let mut held = Vec::new();
    while let Some(mut tail) = stream
        .tails
        .pop_back_if(|tail| !tail.has_lines() && (tail.was_empty || Some(tail.fingerprint.identity()) == own))
    {
        let gap = tail.gap.take();
        stream.pass_gap_on(usize::MAX, gap);
        held.push(tail);
    }
    push_unknown(stream, rotated, at_path.as_ref(), claims, newest_known_ns)?;
    while let Some(mut tail) = held.pop() {
        if stream.tails.iter().all(|other| other.fingerprint.identity() != tail.fingerprint.identity()) {
            tail.generation = stream.next_generation();
            tail.announced = false;
            stream.push_tail(tail);
        }
    }
    let Some((file, metadata)) = at_path else { return Ok(()) };
    if stream.holds(&metadata) || claims.is_others(stream.number, &file, &metadata)? {
        return Ok(());
    }
    let path = stream.path.clone();
    push(stream, path, file, &metadata)
}

/// Adds the rotated files that are not known yet. `newest_known_ns` is when the last known file was last changed.
fn push_unknown(
    stream: &mut Stream,
    rotated: Vec<(PathBuf, File, Metadata)>,
    at_path: Option<&(File, Metadata)>,
    claims: &Claims,
    newest_known_ns: Option<i64>,
) -> io::Result<()> {
    let mut unknown = Vec::new();
    for (path, file, metadata) in rotated {
        let changed_ns = modified_ns(&metadata);
        let is_too_old = stream.floor_ns.is_some_and(|floor| changed_ns < floor);
        if metadata.len() == 0 || claims.is_others(stream.number, &file, &metadata)? {
            continue;
        }
        let is_older = newest_known_ns.is_some_and(|newest| changed_ns < newest);
        if is_too_old || is_known(stream, &file, &metadata, is_older)? {
            stream.left_alone.insert(likeness(&metadata));
        } else if at_path.map_or(Ok(false), |original| is_copy_of(&file, &metadata, original))? {
            // Once the original is truncated, the copy is all that is left of it: look again each time.
            stream.has_unknown_rotated = true;
        } else {
            unknown.push((path, file, metadata));
        }
    }
    sort_by_age(&mut unknown);
    for (path, file, metadata) in unknown {
        push(stream, path, file, &metadata)?;
    }
    Ok(())
}

pub(crate) fn likeness(metadata: &Metadata) -> Likeness {
    let (device, inode) = identity(metadata);
    (device, inode, metadata.len(), modified_ns(metadata))
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
            && record.fingerprint.head_length > 0
            && record.fingerprint.is_at(metadata)
            && has_content(&file, metadata, &record.fingerprint, end.offset, Some((end.anchor, end.offset)))?
        {
            offset = end.offset;
        }
    }
    tracing::debug!(
        stream = %stream.path.display(), path = %path.display(), generation, offset, size = metadata.len(),
        inode = identity(metadata).1, "a file joins its stream"
    );
    stream.push_tail(Tail::resumed(path, file, generation, offset)?);
    Ok(())
}

/// Whether a rotated file is one that the stream knows, or a copy of one. Of a file that is older than what is known (`is_older`) the
/// same beginning is enough to be a copy: it may have been made before the place of reading.
fn is_known(stream: &Stream, file: &File, metadata: &Metadata, is_older: bool) -> io::Result<bool> {
    if stream.holds(metadata) {
        return Ok(true);
    }
    let own = identity(metadata);
    let tails =
        stream.tails.iter().map(|tail| (&tail.fingerprint, tail.offset, tail.anchor, tail.has_lines()));
    let finished = stream.finished.iter().filter_map(|record| {
        record.end.map(|end| (&record.fingerprint, end.offset, end.anchor, end.has_lines))
    });
    for (fingerprint, offset, anchor, has_lines) in tails.chain(finished) {
        // The inode of a file that was empty to its end says nothing: it may have been given to another.
        let is_same_file = fingerprint.identity() == own && fingerprint.head_length > 0;
        let is_telling = has_lines && (metadata.len() == offset || is_telling(file, fingerprint, offset)?);
        if (is_same_file || is_telling)
            && has_content(file, metadata, fingerprint, offset, Some((anchor, offset)))?
        {
            return Ok(true);
        }
        if is_older && is_telling && fingerprint.head_matches(file)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a file is a copy of how `original` begins, perhaps one that is still being made.
fn is_copy_of(file: &File, metadata: &Metadata, original: &(File, Metadata)) -> io::Result<bool> {
    let (original, original_metadata) = original;
    // A rotated file that happens to hold what its successor begins with was last changed before that one was made.
    let is_predecessor = original_metadata
        .created()
        .is_ok_and(|created| metadata.modified().is_ok_and(|modified| modified < created));
    let size = metadata.len();
    if is_predecessor
        || identity(metadata) == identity(original_metadata)
        || size > original.metadata()?.len()
    {
        return Ok(false);
    }
    let is_same = |offset: u64| {
        let (mut own, mut others) = ([0; 1024], [0; 1024]);
        let length = (size - offset).min(1024) as usize;
        let read = read_full_at(file, &mut own[..length], offset)?;
        let others_read = read_full_at(original, &mut others[..length], offset)?;
        io::Result::Ok(read == others_read && own == others)
    };
    Ok(is_same(0)? && is_same(size.saturating_sub(1024))?)
}

/// Oldest first: by the time of the last change. Within one tick of that clock the number in the name decides, and then the time of
/// creation (not first: a copy made before a truncation is younger than what follows it). The higher number may be the older file
/// (logrotate) or the younger one (Rastro's agent); the files whose times differ tell which.
fn sort_by_age(files: &mut [(PathBuf, File, Metadata)]) {
    let number = |path: &Path| i128::from(rotation_number(path).unwrap_or(0));
    files.sort_by_cached_key(|(path, _, metadata)| (modified_ns(metadata), number(path)));
    let rises: i32 = files
        .windows(2)
        .filter(|pair| modified_ns(&pair[0].2) != modified_ns(&pair[1].2))
        .map(|pair| if number(&pair[0].0) < number(&pair[1].0) { 1 } else { -1 })
        .sum();
    let sign = if rises > 0 { 1 } else { -1 };
    files.sort_by_cached_key(|(path, _, metadata)| {
        (modified_ns(metadata), sign * number(path), metadata.created().unwrap_or(UNIX_EPOCH))
    });
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

//! Files that have come under a stream's path since anybody looked.

use std::{
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::{
    claims::Claims,
    discover::{rotated_beside, rotation_number},
    fingerprint::identity,
    locate::{has_content, is_copy_of, is_known, open_at_path, try_open},
    stream::{Likeness, Stream},
    tail::{Tail, modified_ns},
};

/// How often a directory in which files move is looked at before what was seen is taken.
const SNAPSHOT_TRIES: u32 = 20;

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

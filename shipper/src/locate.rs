//! Finding a file again by what it is: where it is, how it begins, and what stands before the place of reading.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
};

use crate::{
    checkpoint::GenerationRecord,
    discover::siblings,
    fingerprint::{Anchor, Fingerprint, identity, read_full_at},
    stream::Stream,
    tail::{Tail, is_made_after, modified_ns, open_regular},
};

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

/// Opens `path`; `None` if it is not there (any more), is no regular file or may not be read.
pub(crate) fn try_open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
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

pub(crate) fn has_content(
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

pub(crate) fn open_at_path(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    match open_regular(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

/// Whether a rotated file is one that the stream knows, or a copy of one. Of a file that is older than what is known (`is_older`) the
/// same beginning is enough to be a copy: it may have been made before the place of reading.
pub(crate) fn is_known(
    stream: &Stream,
    file: &File,
    metadata: &Metadata,
    is_older: bool,
) -> io::Result<bool> {
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
pub(crate) fn is_copy_of(file: &File, metadata: &Metadata, original: &(File, Metadata)) -> io::Result<bool> {
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

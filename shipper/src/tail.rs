//! One followed file: where it is, what it is known by, and how far it was read.

mod header;
mod read;

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Instant, UNIX_EPOCH},
};

use rastro_model::Gap;
use rustix::fs::OFlags;

use crate::fingerprint::{Anchor, Fingerprint};
use header::Header;

pub(crate) use read::{Piece, Read};

/// One file of a stream.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of one another")]
pub(crate) struct Tail {
    /// Where it was found; it may have been renamed since.
    pub(crate) path: PathBuf,
    /// Closed while it rests, if too many are open.
    pub(crate) file: Option<File>,
    pub(crate) fingerprint: Fingerprint,
    /// Which of the stream's files it is.
    pub(crate) generation: u64,
    /// The first byte that is in no chunk yet.
    pub(crate) offset: u64,
    /// The bytes before `offset`.
    pub(crate) anchor: Anchor,
    /// The size when it was last looked at.
    pub(crate) size: u64,
    pub(crate) modified_ns: i64,
    /// Something was lost directly before the next chunk.
    pub(crate) gap: Option<Gap>,
    /// It is a copy that was made before the original was truncated: nobody writes to it.
    pub(crate) is_copy: bool,
    /// No name leads to it any more.
    pub(crate) is_unlinked: bool,
    /// Since when it has been known that writers have left it.
    pub(crate) left_since: Option<Instant>,
    /// The checkpoint on disk knows it by its content: chunks of it may leave.
    pub(crate) announced: bool,
    /// It was empty when it was met: what it has been through before its first content was seen is not known.
    pub(crate) was_empty: bool,
    /// When bytes were last read from it.
    pub(crate) last_read: Instant,
    header: Header,
    /// Up to here there is no line break behind `offset`.
    no_break_until: u64,
}

/// Opens a regular file; `None` if something else has the name.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    // Without NONBLOCK the opening of a FIFO would wait for a writer.
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

pub(crate) fn modified_ns(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// Whether a file was made after another one was last changed. It is another one then, though it may have got that one's inode, and
/// may begin with the same line.
pub(crate) fn is_made_after(metadata: &Metadata, changed_ns: i64) -> bool {
    let made = metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    made.is_some_and(|made| i64::try_from(made.as_nanos()).is_ok_and(|made_ns| made_ns > changed_ns))
}

impl Tail {
    /// The file from its beginning.
    pub(crate) fn new(path: PathBuf, file: File, generation: u64) -> io::Result<Self> {
        // Truncated between the two, the file would have a size without the content that goes with it.
        let (fingerprint, metadata) = loop {
            let metadata = file.metadata()?;
            let fingerprint = Fingerprint::of(&file, &metadata)?;
            if fingerprint.is_of_size(metadata.len()) {
                break (fingerprint, metadata);
            }
        };
        Ok(Self {
            path,
            fingerprint,
            file: Some(file),
            generation,
            offset: 0,
            anchor: Anchor::default(),
            size: metadata.len(),
            modified_ns: modified_ns(&metadata),
            gap: None,
            is_copy: false,
            is_unlinked: false,
            left_since: None,
            announced: false,
            was_empty: metadata.len() == 0,
            last_read: Instant::now(),
            header: Header::Unknown,
            no_break_until: 0,
        })
    }

    /// The file from `offset` on, which must not lie beyond its end.
    pub(crate) fn resumed(path: PathBuf, file: File, generation: u64, offset: u64) -> io::Result<Self> {
        let anchor = Anchor::read(&file, offset)?;
        Ok(Self { offset, anchor, ..Self::new(path, file, generation)? })
    }

    /// The first line if it is a header.
    pub(crate) fn header(&self) -> Option<&[u8]> {
        match &self.header {
            Header::Line(line) => Some(line),
            Header::Unknown | Header::None => None,
        }
    }

    /// Whether more than a header has been read.
    pub(crate) fn has_lines(&self) -> bool {
        self.offset > self.header().map_or(0, |header| header.len() as u64)
    }

    /// Bytes that are in no chunk.
    pub(crate) const fn unread(&self) -> u64 {
        self.size.saturating_sub(self.offset)
    }

    /// Bytes that have not been searched for lines.
    pub(crate) fn unseen(&self) -> u64 {
        self.size.saturating_sub(self.offset.max(self.no_break_until))
    }

    /// Takes in what the file looks like now.
    pub(crate) fn update(&mut self, metadata: &Metadata) -> io::Result<()> {
        self.size = metadata.len();
        self.modified_ns = modified_ns(metadata);
        if let Some(file) = &self.file {
            self.is_unlinked = metadata.nlink() == 0;
            self.fingerprint.grow(file, self.size)?;
        }
        Ok(())
    }

    /// The unread end was cut off: what was known of it no longer holds.
    pub(crate) const fn forget_search(&mut self) {
        self.no_break_until = 0;
    }
}

#[cfg(test)]
mod tests;

//! Which file belongs to which stream, so that a file that was renamed is not taken for another log.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
};

use crate::{checkpoint::GenerationRecord, fingerprint::identity, stream::Stream, tail::is_made_after};

/// Files by device and inode, with the number of the stream that holds them.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Files that are being read. They are open or were there a moment ago, so their identity is enough.
    live: HashMap<(u64, u64), usize>,
    /// Files that are done with. Their inodes may have been given to others since, so their content decides.
    finished: HashMap<(u64, u64), (usize, GenerationRecord)>,
}

impl Claims {
    /// Takes in the files of a stream.
    pub(crate) fn add(&mut self, stream: &Stream) {
        for tail in &stream.tails {
            self.live.insert(tail.fingerprint.identity(), stream.number);
        }
        for record in &stream.finished {
            let identity = record.fingerprint.identity();
            if record.end.is_some() {
                self.finished.insert(identity, (stream.number, record.clone()));
            }
            if self.live.get(&identity) == Some(&stream.number)
                && !stream.tails.iter().any(|tail| tail.fingerprint.identity() == identity)
            {
                self.live.remove(&identity);
            }
        }
    }

    pub(crate) fn is_live(&self, metadata: &Metadata) -> bool {
        self.live.contains_key(&identity(metadata))
    }

    /// Whether a stream other than `number` holds the file or has read it.
    pub(crate) fn is_others(&self, number: usize, file: &File, metadata: &Metadata) -> io::Result<bool> {
        let own = identity(metadata);
        if self.live.get(&own).is_some_and(|&owner| owner != number) {
            return Ok(true);
        }
        let Some((owner, record)) = self.finished.get(&own) else { return Ok(false) };
        let (Some(end), fingerprint) = (record.end, record.fingerprint) else { return Ok(false) };
        Ok(*owner != number
            && !is_made_after(metadata, record.modified_ns)
            && end.offset > 0
            && fingerprint.head_length > 0
            && end.offset <= metadata.len()
            && fingerprint.head_matches(file)?
            && end.anchor.matches_at(file, end.offset)?)
    }
}

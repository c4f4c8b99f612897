//! Which file is which: names move and inodes are reused, so contents decide.
//!
//! Two marks together: a [`Fingerprint`] of where the file is and how it begins, and an [`Anchor`] of the bytes directly before the
//! place up to which it was read. The anchor is compared with every read, so a file that was truncated and has grown beyond the old
//! place again is noticed, too.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// How much of a file's beginning is hashed. Beyond the usual header line, so that rotated files with one header differ.
const HEAD_LENGTH: usize = 1024;

/// How much is compared before the place of reading.
const ANCHOR_LENGTH: usize = 64;

/// Where a file is and how it begins. The hashed part grows with the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Device.
    pub device: u64,
    /// Inode on that device.
    pub inode: u64,
    /// How many bytes of the beginning are hashed, at most 1024.
    pub head_length: u32,
    /// XXH3 of those bytes.
    pub head_hash: u64,
}

impl Fingerprint {
    pub(crate) fn of(file: &File, metadata: &Metadata) -> io::Result<Self> {
        let mut fingerprint = Self { device: metadata.dev(), inode: metadata.ino(), ..Self::default() };
        fingerprint.grow(file, metadata.len())?;
        Ok(fingerprint)
    }

    /// Takes in what has been added to the beginning of the file.
    pub(crate) fn grow(&mut self, file: &File, size: u64) -> io::Result<()> {
        if (self.head_length as usize) < HEAD_LENGTH && size > u64::from(self.head_length) {
            let mut head = [0; HEAD_LENGTH];
            let length = read_full_at(file, &mut head, 0)?;
            // Less than there was a moment ago: it has just been truncated, which the next look will see.
            if length as u64 >= size.min(HEAD_LENGTH as u64) {
                self.head_length = length as u32;
                self.head_hash = xxh3_64(&head[..length]);
            }
        }
        Ok(())
    }

    /// Whether as much is hashed as a file of `size` bytes has.
    pub(crate) fn is_of_size(&self, size: u64) -> bool {
        u64::from(self.head_length) >= size.min(HEAD_LENGTH as u64)
    }

    pub(crate) const fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    pub(crate) fn is_at(&self, metadata: &Metadata) -> bool {
        self.identity() == (metadata.dev(), metadata.ino())
    }

    /// Whether `file` begins as this fingerprint says. One of an empty file fits every file.
    pub(crate) fn head_matches(&self, file: &File) -> io::Result<bool> {
        let mut head = [0; HEAD_LENGTH];
        let length = (self.head_length as usize).min(HEAD_LENGTH);
        let read = read_full_at(file, &mut head[..length], 0)?;
        Ok(read == length && (length == 0 || xxh3_64(&head[..length]) == self.head_hash))
    }
}

/// Device and inode of a file.
pub(crate) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The bytes directly before a place in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// How many bytes.
    length: u8,
    /// XXH3 of them.
    hash: u64,
}

impl Anchor {
    /// The anchor at the end of `bytes`.
    pub(crate) fn at_end_of(bytes: &[u8]) -> Self {
        let last = &bytes[bytes.len().saturating_sub(ANCHOR_LENGTH)..];
        if last.is_empty() { Self::default() } else { Self { length: last.len() as u8, hash: xxh3_64(last) } }
    }

    /// The anchor at `offset` of `file`.
    pub(crate) fn read(file: &File, offset: u64) -> io::Result<Self> {
        let mut bytes = [0; ANCHOR_LENGTH];
        let length = (offset as usize).min(ANCHOR_LENGTH);
        let read = read_full_at(file, &mut bytes[..length], offset - length as u64)?;
        if read < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self::at_end_of(&bytes[..length]))
    }

    pub(crate) const fn length(&self) -> usize {
        self.length as usize
    }

    /// Whether `bytes`, as many as [`Anchor::length`] says, are those that were read before.
    pub(crate) fn matches(&self, bytes: &[u8]) -> bool {
        *self == Self::at_end_of(bytes)
    }

    /// Whether `file` has the same bytes before `offset`.
    pub(crate) fn matches_at(&self, file: &File, offset: u64) -> io::Result<bool> {
        let mut bytes = [0; ANCHOR_LENGTH];
        let length = self.length().min(ANCHOR_LENGTH);
        let Some(start) = offset.checked_sub(length as u64) else { return Ok(false) };
        let read = read_full_at(file, &mut bytes[..length], start)?;
        Ok(read == length && self.matches(&bytes[..length]))
    }
}

/// Reads at `offset` until `buffer` is full or the file ends; returns how much was read.
pub(crate) fn read_full_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn a_fingerprint_grows_with_its_file_and_tells_another_content_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = File::options().create(true).append(true).read(true).open(&path).unwrap();
        let mut fingerprint = Fingerprint::of(&file, &file.metadata().unwrap()).unwrap();
        assert_eq!(fingerprint.head_length, 0);
        for _ in 0..100 {
            file.write_all(b"twenty bytes of line\n").unwrap();
            assert!(fingerprint.head_matches(&file).unwrap());
            fingerprint.grow(&file, file.metadata().unwrap().len()).unwrap();
        }
        assert_eq!(fingerprint.head_length, 1024);
        fs::write(&path, vec![b'x'; 4000]).unwrap();
        assert!(fingerprint.is_at(&file.metadata().unwrap()));
        assert!(!fingerprint.head_matches(&file).unwrap());
    }

    #[test]
    fn an_anchor_knows_the_bytes_before_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let bytes: Vec<u8> = (0..200).collect();
        fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        for place in [0, 1, 63, 64, 65, 200] {
            let anchor = Anchor::at_end_of(&bytes[..place as usize]);
            assert_eq!(anchor, Anchor::read(&file, place).unwrap());
            assert!(anchor.matches_at(&file, place).unwrap());
            assert_eq!(anchor.matches_at(&file, 100).unwrap(), place == 0);
        }
        assert!(Anchor::read(&file, 201).is_err());
    }
}

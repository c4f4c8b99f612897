//! Sections: runs of bytes, each stored in the shortest of three ways.
//!
//! ```text
//! section := header (varint: length << 2 | method) , content
//! method 0: the bytes as they are
//! method 1: number of runs (varint) , then per run its byte and (but for the last) its length (varint)
//! method 2: length of the frame (varint), a zstd frame without its four magic bytes
//! ```

use std::cell::RefCell;

use super::{DecodeError, varint, varint::Reader};

/// zstd's level. Above it the columns hardly shrink and take much longer to write.
const LEVEL: i32 = 3;

/// Below this many bytes a zstd frame's own overhead outweighs what it saves.
const WORTH_COMPRESSING: usize = 24;

/// Up to so many runs are told one by one: shorter than a zstd frame, and quicker both ways.
const MAX_RUNS: usize = 10;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

const RAW: u64 = 0;
const RUNS: u64 = 1;
const ZSTD: u64 = 2;

/// What a thread needs again and again: zstd's contexts are large to make.
#[derive(Default)]
struct Workspace {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
    frame: Vec<u8>,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

/// Appends `bytes` as a section.
pub(crate) fn write(out: &mut Vec<u8>, bytes: &[u8]) {
    let header = |method: u64| (bytes.len() as u64) << 2 | method;
    if let Some(runs) = runs(bytes) {
        varint::write(out, header(RUNS));
        out.extend_from_slice(&runs);
        return;
    }
    let stored = bytes.len() >= WORTH_COMPRESSING
        && WORKSPACE.with_borrow_mut(|workspace| {
            let Some(frame) = workspace.compress(bytes) else { return false };
            if frame.len() + 2 >= bytes.len() {
                return false;
            }
            varint::write(out, header(ZSTD));
            varint::write(out, frame.len() as u64);
            out.extend_from_slice(frame);
            true
        });
    if !stored {
        varint::write(out, header(RAW));
        out.extend_from_slice(bytes);
    }
}

/// Reads a section of exactly `length` bytes.
pub(crate) fn read(reader: &mut Reader<'_>, length: usize) -> Result<Vec<u8>, DecodeError> {
    let bytes = read_up_to(reader, length)?;
    if bytes.len() == length { Ok(bytes) } else { Err(DecodeError::TooShort) }
}

/// Reads a section of at most `limit` bytes.
pub(crate) fn read_up_to(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let header = reader.varint()?;
    let value = header >> 2;
    let length = usize::try_from(value)
        .ok()
        .filter(|&length| length <= limit)
        .ok_or(DecodeError::Length { value, limit })?;
    match header & 3 {
        RAW => Ok(reader.take(length)?.to_vec()),
        RUNS => read_runs(reader, length),
        ZSTD => {
            let frame_length = reader.length(reader.rest().len())?;
            let frame = reader.take(frame_length)?;
            let bytes = WORKSPACE.with_borrow_mut(|workspace| workspace.decompress(frame, length))?;
            if bytes.len() == length { Ok(bytes) } else { Err(DecodeError::TooShort) }
        }
        method => Err(DecodeError::Method(method as u8)),
    }
}

/// The bytes as runs, if they are few and shorter so.
fn runs(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut count = 0;
    let mut told = Vec::new();
    let mut rest = bytes;
    while let Some(&byte) = rest.first() {
        count += 1;
        let length = rest.iter().position(|&other| other != byte).unwrap_or(rest.len());
        rest = &rest[length..];
        told.push(byte);
        if !rest.is_empty() {
            varint::write(&mut told, length as u64);
        }
        if count > MAX_RUNS || told.len() + 1 >= bytes.len() {
            return None;
        }
    }
    told.insert(0, count as u8);
    (count > 0).then_some(told)
}

fn read_runs(reader: &mut Reader<'_>, length: usize) -> Result<Vec<u8>, DecodeError> {
    let count = reader.length(MAX_RUNS)?;
    let mut bytes = Vec::with_capacity(length);
    for run in 1..=count {
        let byte = reader.take(1)?[0];
        let left = length - bytes.len();
        let run_length = if run == count { left } else { reader.length(left)? };
        bytes.resize(bytes.len() + run_length, byte);
    }
    if bytes.len() == length { Ok(bytes) } else { Err(DecodeError::TooShort) }
}

impl Workspace {
    /// The frame without its magic bytes; `None` if zstd cannot (no memory): the bytes are then stored as they are.
    fn compress(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        if self.compressor.is_none() {
            self.compressor = Some(zstd::bulk::Compressor::new(LEVEL).ok()?);
        }
        self.frame.clear();
        self.frame.resize(zstd::zstd_safe::compress_bound(bytes.len()), 0);
        let length = self.compressor.as_mut()?.compress_to_buffer(bytes, &mut self.frame[..]).ok()?;
        self.frame.get(MAGIC.len()..length)
    }

    fn decompress(&mut self, frame: &[u8], length: usize) -> Result<Vec<u8>, DecodeError> {
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(
                zstd::bulk::Decompressor::new()
                    .map_err(|error| DecodeError::Compression(error.to_string()))?,
            ),
        };
        self.frame.clear();
        self.frame.extend_from_slice(&MAGIC);
        self.frame.extend_from_slice(frame);
        decompressor
            .decompress(&self.frame, length)
            .map_err(|error| DecodeError::Compression(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives(bytes: &[u8]) -> usize {
        let mut out = Vec::new();
        write(&mut out, bytes);
        let mut reader = Reader::new(&out);
        assert_eq!(read(&mut reader, bytes.len()).as_deref(), Ok(bytes));
        assert_eq!(reader.finish(), Ok(()));
        out.len()
    }

    #[test]
    fn every_section_is_stored_in_the_shortest_way() {
        assert_eq!(survives(b""), 1);
        assert_eq!(survives(b"a"), 2);
        assert_eq!(survives(&vec![7; 1_000_000]), 6);
        assert_eq!(survives(&[[7; 40], [8; 40], [9; 40]].concat()), 2 + 1 + 5);
        let many_runs: Vec<u8> = (0..=255).flat_map(|byte| [byte; 4]).collect();
        assert!(
            survives(&many_runs) <= many_runs.len() + 2,
            "runs beyond the limit cost no more than the bytes"
        );
        assert_eq!(survives(b"abc"), 4);
        let text = b"close read write close read write close ".repeat(20);
        assert!(survives(&text) < text.len() / 4);
        let noise: Vec<u8> =
            (0..5000_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        assert!(survives(&noise) <= noise.len() + 3);
    }

    #[test]
    fn a_section_that_claims_more_than_its_reader_expects_is_refused_before_it_is_made() {
        let mut out = Vec::new();
        write(&mut out, &vec![7; 1_000_000]);
        assert_eq!(
            read_up_to(&mut Reader::new(&out), 999_999),
            Err(DecodeError::Length { value: 1_000_000, limit: 999_999 })
        );
    }
}

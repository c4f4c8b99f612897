//! The next lines of a file: as many whole ones as a chunk holds, or one that is longer.

use std::{fs::File, io, ops::Range, time::Instant};

use memchr::memchr;

use super::{
    Tail,
    header::{Header, read_header},
};
use crate::{
    ShipperConfig,
    cut::{shorten_lines, whole_lines},
    fingerprint::{Anchor, read_full_at},
};

/// How far a line without end is searched for its line break before other files get their turn, bytes.
const SEARCH_AT_ONCE: u64 = 4 * 1024 * 1024;

/// What is read of a file first; a whole chunk only if there is more than this.
const FIRST_READ: usize = 64 * 1024;

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Read {
    /// Some lines.
    Piece(Piece),
    /// No whole line.
    Nothing,
    /// Nothing yet, but the search for the end of a long line is not at its end.
    Again,
    /// The bytes before the place of reading are others than before: the file was truncated and written anew.
    Replaced,
}

/// Some lines as they were read.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Holds the lines in `range`.
    pub(crate) buffer: Vec<u8>,
    pub(crate) range: Range<usize>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) lines: u32,
    pub(crate) cut_lines: u32,
}

/// Reads up to `wanted` bytes at `offset` to the beginning of `buffer` and returns how many there were. The buffer grows to `wanted` only
/// where there is as much to read: most files have grown by a few lines.
fn read_into(file: &File, buffer: &mut Vec<u8>, wanted: usize, offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    for target in [wanted.min(FIRST_READ), wanted] {
        if buffer.len() < target {
            buffer.resize(target, 0);
        }
        filled += read_full_at(file, &mut buffer[filled..target], offset + filled as u64)?;
        if filled < target {
            break;
        }
    }
    Ok(filled)
}

impl Tail {
    /// Reads the next lines into `buffer`. With `is_last`, what follows the last line break is a line, too.
    pub(crate) fn read(
        &mut self,
        config: &ShipperConfig,
        mut buffer: Vec<u8>,
        is_last: bool,
    ) -> io::Result<Read> {
        let Some(file) = &self.file else { return Ok(Read::Nothing) };
        self.last_read = Instant::now();
        // Before the first lines the anchor says little or nothing: the header may be that of every file of this log.
        if !self.has_lines() && !self.fingerprint.head_matches(file)? {
            return Ok(Read::Replaced);
        }
        if matches!(self.header, Header::Unknown) {
            let (header, read) = read_header(file, is_last)?;
            match header {
                Header::Unknown => {
                    self.no_break_until = read as u64;
                    return Ok(Read::Nothing);
                }
                Header::Line(line) => {
                    if self.offset == 0 {
                        self.offset = line.len() as u64;
                        self.anchor = Anchor::at_end_of(&line);
                    }
                    self.header = Header::Line(line);
                }
                Header::None => self.header = Header::None,
            }
        }
        if self.no_break_until <= self.offset {
            let anchor_length = self.anchor.length();
            let wanted = anchor_length + config.chunk_bytes;
            let start = self.offset - anchor_length as u64;
            let filled = read_into(file, &mut buffer, wanted, start)?;
            if filled < anchor_length || !self.anchor.matches(&buffer[..anchor_length]) {
                return Ok(Read::Replaced);
            }
            let is_end = filled < wanted;
            let bytes = &buffer[anchor_length..filled];
            if bytes.is_empty() {
                return Ok(Read::Nothing);
            }
            let cut = whole_lines(bytes);
            if is_end && is_last && cut.is_none_or(|cut| cut.length < bytes.len()) {
                let lines = cut.map_or(0, |cut| cut.lines) + 1;
                buffer.truncate(filled);
                return Ok(Read::Piece(self.take(config, buffer, anchor_length..filled, lines)));
            }
            if let Some(cut) = cut {
                let end = anchor_length + cut.length;
                return Ok(Read::Piece(self.take(config, buffer, anchor_length..end, cut.lines)));
            }
            self.no_break_until = self.offset + bytes.len() as u64;
            if is_end {
                return Ok(Read::Nothing);
            }
        }
        self.read_long_line(config, buffer, is_last)
    }

    /// Makes a piece of the lines in `range` of `buffer` and moves behind them. The last line may lack its line break.
    fn take(
        &mut self,
        config: &ShipperConfig,
        mut buffer: Vec<u8>,
        mut range: Range<usize>,
        lines: u32,
    ) -> Piece {
        let start = self.offset;
        self.offset += range.len() as u64;
        self.anchor = Anchor::at_end_of(&buffer[..range.end]);
        if buffer[range.end - 1] != b'\n' {
            // Only at the end of a file, where the buffer ends, too.
            buffer.push(b'\n');
            range.end += 1;
        }
        let mut cut_lines = 0;
        if let Some((shortened, count)) = shorten_lines(&buffer[range.clone()], config.max_line_bytes) {
            range = 0..shortened.len();
            buffer = shortened;
            cut_lines = count;
        }
        Piece { buffer, range, start, end: self.offset, lines, cut_lines }
    }

    /// Goes on with a line of which `offset..no_break_until` is known to hold no line break.
    fn read_long_line(
        &mut self,
        config: &ShipperConfig,
        mut buffer: Vec<u8>,
        is_last: bool,
    ) -> io::Result<Read> {
        let Some(file) = &self.file else { return Ok(Read::Nothing) };
        let search_end = self.no_break_until + SEARCH_AT_ONCE;
        let mut block = [0; 16 * 1024];
        let (end, content_end) = loop {
            let read = read_full_at(file, &mut block, self.no_break_until)?;
            if let Some(place) = memchr(b'\n', &block[..read]) {
                let line_break = self.no_break_until + place as u64;
                break (line_break + 1, line_break);
            }
            self.no_break_until += read as u64;
            if read < block.len() {
                if is_last {
                    break (self.no_break_until, self.no_break_until);
                }
                return Ok(Read::Nothing);
            }
            if self.no_break_until >= search_end {
                return Ok(Read::Again);
            }
        };
        let content = content_end - self.offset;
        if content < config.chunk_bytes as u64 && end > content_end {
            // A line of usual length after all, completed since: read it together with what follows.
            self.no_break_until = 0;
            return self.read(config, buffer, is_last);
        }
        let kept = (content as usize).min(config.max_line_bytes);
        let anchor_length = self.anchor.length();
        let wanted = anchor_length + kept;
        buffer.resize((wanted + 1).max(buffer.len()), 0);
        let filled = read_full_at(file, &mut buffer[..wanted], self.offset - anchor_length as u64)?;
        if filled < wanted || !self.anchor.matches(&buffer[..anchor_length]) {
            return Ok(Read::Replaced);
        }
        buffer[wanted] = b'\n';
        let anchor = Anchor::read(file, end)?;
        let start = self.offset;
        self.offset = end;
        self.anchor = anchor;
        let cut_lines = u32::from(kept as u64 != content);
        Ok(Read::Piece(Piece { buffer, range: anchor_length..wanted + 1, start, end, lines: 1, cut_lines }))
    }
}

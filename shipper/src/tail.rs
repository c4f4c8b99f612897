//! One followed file: what is unread of it, and the next lines of it.

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Instant, UNIX_EPOCH},
};

use memchr::memchr;
use rastro_model::{Gap, log_header};
use rustix::fs::OFlags;

use crate::{
    ShipperConfig,
    cut::{shorten_lines, whole_lines},
    fingerprint::{Anchor, Fingerprint, read_full_at},
};

/// How far a line without end is searched for its line break before other files get their turn, bytes.
const SEARCH_AT_ONCE: u64 = 4 * 1024 * 1024;

/// What is read of a file first; a whole chunk only if there is more than this.
const FIRST_READ: usize = 64 * 1024;

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

#[derive(Debug)]
enum Header {
    Unknown,
    None,
    Line(Vec<u8>),
}

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

/// Looks whether the file's first line is a header, and says how much of the file that took. `Unknown` if it cannot be said before
/// more is written; then there is no line break in what was read.
fn read_header(file: &File, is_last: bool) -> io::Result<(Header, usize)> {
    let mut bytes = vec![0; log_header::MAGIC.len()];
    let read = read_full_at(file, &mut bytes, 0)?;
    bytes.truncate(read);
    if bytes != log_header::MAGIC {
        let may_become_one = log_header::MAGIC.starts_with(&bytes) && !is_last;
        return Ok((if may_become_one { Header::Unknown } else { Header::None }, read));
    }
    bytes.resize(log_header::MAX_LENGTH, 0);
    let read = read_full_at(file, &mut bytes, 0)?;
    bytes.truncate(read);
    let header = match memchr(b'\n', &bytes) {
        Some(place) => {
            bytes.truncate(place + 1);
            bytes.shrink_to_fit();
            Header::Line(bytes)
        }
        None if read < log_header::MAX_LENGTH && !is_last => Header::Unknown,
        None => Header::None,
    };
    Ok((header, read))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    fn config(chunk_bytes: usize, max_line_bytes: usize) -> ShipperConfig {
        ShipperConfig { max_line_bytes, chunk_bytes, ..ShipperConfig::default() }
    }

    fn tail(path: &Path) -> Tail {
        let (file, _) = open_regular(path).unwrap().unwrap();
        Tail::new(path.to_owned(), file, 0).unwrap()
    }

    /// Everything that can be read: payloads, with the numbers of lines and of cut lines.
    fn read_all(tail: &mut Tail, config: &ShipperConfig, is_last: bool) -> Vec<(Vec<u8>, u32, u32)> {
        let mut pieces = Vec::new();
        loop {
            let before = tail.offset;
            match tail.read(config, Vec::new(), is_last).unwrap() {
                Read::Piece(piece) => {
                    assert!(piece.start >= before && piece.end == tail.offset);
                    assert_eq!(tail.anchor, Anchor::read(tail.file.as_ref().unwrap(), tail.offset).unwrap());
                    pieces.push((piece.buffer[piece.range].to_vec(), piece.lines, piece.cut_lines));
                }
                Read::Again => {}
                Read::Nothing => return pieces,
                Read::Replaced => panic!("the file was not replaced"),
            }
        }
    }

    fn file_with(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, content).unwrap();
        (directory, path)
    }

    #[test]
    fn a_partial_last_line_is_held_back_until_it_ends_or_the_file_does() {
        let (_directory, path) = file_with(b"one\ntwo\nthr");
        let config = config(100, 100);
        let mut tail = tail(&path);
        assert_eq!(read_all(&mut tail, &config, false), [(b"one\ntwo\n".to_vec(), 2, 0)]);
        let mut writer = File::options().append(true).open(&path).unwrap();
        writer.write_all(b"ee\r\nfour").unwrap();
        assert_eq!(read_all(&mut tail, &config, false), [(b"three\r\n".to_vec(), 1, 0)]);
        assert_eq!(read_all(&mut tail, &config, true), [(b"four\n".to_vec(), 1, 0)]);
        assert_eq!(tail.offset, 19);
    }

    #[test]
    fn chunks_hold_whole_lines_and_a_longer_line_is_its_own() {
        let (_directory, path) = file_with(b"aa\nbb\n0123456789\nc\n");
        let pieces = read_all(&mut tail(&path), &config(8, 100), false);
        assert_eq!(
            pieces,
            [(b"aa\nbb\n".to_vec(), 2, 0), (b"0123456789\n".to_vec(), 1, 0), (b"c\n".to_vec(), 1, 0)]
        );
    }

    #[test]
    fn lines_above_the_limit_are_cut_and_counted() {
        let long = "x".repeat(70_000);
        let content = format!("a\n{long}\nb\nyyyyyyyyyyyyyyyyyyyy\nc");
        let (_directory, path) = file_with(content.as_bytes());
        for chunk_bytes in [8, 64, 1000, 200_000] {
            let pieces = read_all(&mut tail(&path), &config(chunk_bytes, 10), true);
            let joined: Vec<u8> = pieces.iter().flat_map(|(payload, ..)| payload.clone()).collect();
            assert_eq!(joined, b"a\nxxxxxxxxxx\nb\nyyyyyyyyyy\nc\n", "chunks of {chunk_bytes}");
            assert_eq!(pieces.iter().map(|(_, lines, _)| lines).sum::<u32>(), 5);
            assert_eq!(pieces.iter().map(|(.., cut)| cut).sum::<u32>(), 2);
        }
    }

    #[test]
    fn a_line_that_grows_beyond_a_chunk_while_it_is_written_comes_whole() {
        let (_directory, path) = file_with(b"");
        let config = config(16, 1000);
        let mut tail = tail(&path);
        let mut writer = File::options().append(true).open(&path).unwrap();
        for _ in 0..30 {
            writer.write_all(b"0123456").unwrap();
            assert!(read_all(&mut tail, &config, false).is_empty());
        }
        writer.write_all(b"\nnext\n").unwrap();
        let pieces = read_all(&mut tail, &config, false);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].0.len(), 211);
        assert_eq!(pieces[1].0, b"next\n");
    }

    #[test]
    fn the_header_is_no_line() {
        let (_directory, path) = file_with(b"#ras");
        let config = config(100, 100);
        let mut tail = tail(&path);
        let mut writer = File::options().append(true).open(&path).unwrap();
        for more in ["tro ", "{}", "\n"] {
            assert!(read_all(&mut tail, &config, false).is_empty());
            writer.write_all(more.as_bytes()).unwrap();
        }
        assert!(read_all(&mut tail, &config, false).is_empty());
        assert_eq!((tail.offset, tail.header()), (11, Some(b"#rastro {}\n".as_slice())));
        writer.write_all(b"#rastro no header\n").unwrap();
        assert_eq!(read_all(&mut tail, &config, false), [(b"#rastro no header\n".to_vec(), 1, 0)]);
        // Resumed in its middle, the file still has its header.
        let (file, _) = open_regular(&path).unwrap().unwrap();
        let mut resumed = Tail::resumed(path.clone(), file, 0, 11).unwrap();
        assert_eq!(read_all(&mut resumed, &config, false).len(), 1);
        assert_eq!(resumed.header(), Some(b"#rastro {}\n".as_slice()));
    }

    #[test]
    fn a_first_line_that_only_looks_like_a_header_is_a_line() {
        for content in ["#rastro", "#rastro without end", "#rastr\nx"] {
            let (_directory, path) = file_with(content.as_bytes());
            let mut tail = tail(&path);
            let pieces = read_all(&mut tail, &config(100, 100), true);
            let joined: Vec<u8> = pieces.into_iter().flat_map(|(payload, ..)| payload).collect();
            assert_eq!(joined, format!("{content}\n").as_bytes());
            assert_eq!(tail.header(), None);
        }
        let endless = format!("#rastro {}\nx\n", "y".repeat(log_header::MAX_LENGTH));
        let (_directory, path) = file_with(endless.as_bytes());
        let mut tail = tail(&path);
        assert_eq!(read_all(&mut tail, &config(100_000, 100_000), false)[0].1, 2);
        assert_eq!(tail.header(), None);
    }

    #[test]
    fn a_file_that_was_written_anew_and_has_grown_beyond_the_place_is_noticed() {
        let (_directory, path) = file_with(b"one\ntwo\n");
        let mut tail = tail(&path);
        assert_eq!(read_all(&mut tail, &config(100, 100), false).len(), 1);
        fs::write(&path, b"other lines\nand more\n").unwrap();
        assert!(matches!(tail.read(&config(100, 100), Vec::new(), false).unwrap(), Read::Replaced));
    }
}

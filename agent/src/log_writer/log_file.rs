//! One container's log: the file being written, its buffer, its rotations.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use memchr::{memchr, memrchr};
use rastro_model::{LogHeader, log_header};

use super::{
    LogWriterConfig, STATE_FOLDER, Shipped,
    state::{LogState, rotated_path},
};
use crate::{AgentError, error::IoContext};

/// Whole lines are gathered up to this before they are written.
const BUFFER: usize = 64 * 1024;

/// The file being written.
#[derive(Debug)]
struct Current {
    /// Its first line.
    header_line: Vec<u8>,
    /// Bytes of the file that are good: all that was written, without what is buffered.
    length: u64,
    born: SystemTime,
    /// The file ends inside a line, which what comes next continues.
    in_line: bool,
}

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    state_path: PathBuf,
    state: LogState,
    /// The header of what is appended next.
    header_line: Vec<u8>,
    current: Option<Current>,
    file: Option<File>,
    buffer: Vec<u8>,
    /// Bytes that a resumed replay gives again.
    skip: u64,
}

impl LogFile {
    /// The log of the container `id` as it lies on the disk. A torn last line is kept if it `is_resumed`, else cut off.
    pub(super) fn find(
        directory: &Path,
        id: &str,
        header: &LogHeader,
        is_resumed: bool,
        shipped: &Shipped,
    ) -> Result<Self, AgentError> {
        let path = directory.join(format!("{id}.log"));
        let state_path = directory.join(STATE_FOLDER).join(format!("{id}.json"));
        let state = LogState::load(&state_path, &path)?;
        let header_line = line_of(header, &path)?;
        let mut log = Self {
            path,
            state_path,
            state,
            header_line,
            current: None,
            file: None,
            buffer: Vec::new(),
            skip: 0,
        };
        log.complete_rotation()?;
        log.current = log.read_current()?;
        if !is_resumed {
            log.end_torn_line(shipped)?;
        }
        Ok(log)
    }

    pub(super) fn want_header(&mut self, header: &LogHeader) -> Result<(), AgentError> {
        self.header_line = line_of(header, &self.path)?;
        Ok(())
    }

    /// Bytes of lines in all files that the log has had.
    pub(super) fn written_bytes(&self) -> u64 {
        let current =
            self.current.as_ref().map_or(0, |current| current.length - current.header_line.len() as u64);
        self.state.rotated_bytes + current + self.buffer.len() as u64
    }

    /// The replay that is resumed began when the log held `base` bytes.
    pub(super) fn skip_from(&mut self, base: u64) -> Result<(), AgentError> {
        let written = self.written_bytes();
        self.skip = written.checked_sub(base).ok_or_else(|| AgentError::State {
            path: self.path.clone(),
            message: format!("the replay began at byte {base}, but the log holds {written}"),
        })?;
        Ok(())
    }

    /// What of `lines` is not in the log yet.
    pub(super) fn skip<'l>(&mut self, lines: &'l [u8]) -> &'l [u8] {
        let skipped = self.skip.min(lines.len() as u64);
        self.skip -= skipped;
        &lines[skipped as usize..]
    }

    pub(super) const fn skip_left(&self) -> u64 {
        self.skip
    }

    /// Whether `lines` must not go into the file being written.
    pub(super) fn must_rotate(&self, config: &LogWriterConfig, lines: &[u8]) -> bool {
        let Some(current) = &self.current else { return false };
        if current.in_line {
            return false;
        }
        let length = current.length + self.buffer.len() as u64;
        let holds_lines = length > current.header_line.len() as u64;
        let first_line = memchr(b'\n', lines).map_or(lines.len(), |at| at + 1) as u64;
        let is_another = current.header_line != self.header_line;
        is_another || (holds_lines && (length + first_line > config.max_file_bytes || self.is_aged(config)))
    }

    pub(super) fn is_aged(&self, config: &LogWriterConfig) -> bool {
        let (Some(current), Some(max_age)) = (&self.current, config.max_file_age) else { return false };
        let holds_lines = current.length + self.buffer.len() as u64 > current.header_line.len() as u64;
        holds_lines && !current.in_line && current.born.elapsed().is_ok_and(|age| age > max_age)
    }

    /// Appends as many of `lines` as the file may take, at least one, and returns the others.
    pub(super) fn append<'l>(
        &mut self,
        lines: &'l [u8],
        max_file_bytes: u64,
    ) -> Result<&'l [u8], AgentError> {
        if self.file.is_none() {
            self.open()?;
        }
        let Some(current) = &mut self.current else { return Ok(lines) };
        let first_line = memchr(b'\n', lines).map_or(lines.len(), |at| at + 1);
        let room = max_file_bytes.saturating_sub(current.length + self.buffer.len() as u64);
        let taken = if current.in_line {
            first_line
        } else if room >= lines.len() as u64 {
            lines.len()
        } else {
            memrchr(b'\n', &lines[..room as usize]).map_or(first_line, |at| at + 1)
        };
        current.in_line = false;
        let (taken, rest) = lines.split_at(taken);
        if self.buffer.len() + taken.len() > BUFFER {
            self.flush()?;
        }
        if taken.len() > BUFFER {
            self.write(taken)?;
        } else {
            self.buffer.extend_from_slice(taken);
        }
        Ok(rest)
    }

    pub(super) fn flush(&mut self) -> Result<(), AgentError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer);
        self.buffer = buffer;
        written?;
        self.buffer.clear();
        Ok(())
    }

    /// Closes the file and frees its buffer; it is opened again when needed.
    pub(super) fn close(&mut self) -> Result<(), AgentError> {
        self.flush()?;
        self.file = None;
        self.buffer = Vec::new();
        Ok(())
    }

    /// Renames the file being written to `<id>.log.<n>`.
    pub(super) fn rotate(&mut self) -> Result<(), AgentError> {
        self.close()?;
        let Some(current) = &self.current else { return Ok(()) };
        self.state.rotating = Some(current.length - current.header_line.len() as u64);
        self.state.store(&self.state_path)?;
        self.complete_rotation()?;
        self.current = None;
        metrics::counter!("rastro_agent_rotations_total").increment(1);
        Ok(())
    }

    /// Ends a rotation whose intent is on disk.
    fn complete_rotation(&mut self) -> Result<(), AgentError> {
        let Some(bytes) = self.state.rotating else { return Ok(()) };
        let target = rotated_path(&self.path, self.state.rotated + 1);
        if !target.try_exists().context("look for", &target)? {
            match fs::rename(&self.path, &target) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).context("rotate", &self.path);
                }
                _ => {}
            }
        }
        self.state = LogState {
            rotated: self.state.rotated + 1,
            rotated_bytes: self.state.rotated_bytes + bytes,
            rotating: None,
        };
        self.state.store(&self.state_path)
    }

    fn read_current(&self) -> Result<Option<Current>, AgentError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("open", &self.path),
        };
        let metadata = file.metadata().context("read", &self.path)?;
        let length = metadata.len();
        let mut header_line = Vec::new();
        let mut reader = BufReader::new(&file);
        reader
            .by_ref()
            .take(log_header::MAX_LENGTH as u64)
            .read_until(b'\n', &mut header_line)
            .context("read", &self.path)?;
        if header_line.len() < self.header_line.len() && self.header_line.starts_with(&header_line) {
            // A file without lines whose header was cut: it is begun again.
            fs::remove_file(&self.path).context("remove", &self.path)?;
            return Ok(None);
        }
        if !(header_line.starts_with(log_header::MAGIC) && header_line.ends_with(b"\n")) {
            // Not a file of ours (it would have appeared with its header): it is rotated away untouched before anything is written.
            header_line.clear();
        }
        let in_line = !header_line.is_empty() && {
            reader.seek(SeekFrom::Start(length - 1)).context("read", &self.path)?;
            let mut last = [0];
            reader.read_exact(&mut last).context("read", &self.path)?;
            last != *b"\n"
        };
        let born = metadata.created().or_else(|_| metadata.modified()).unwrap_or_else(|_| SystemTime::now());
        Ok(Some(Current { header_line, length, born, in_line }))
    }

    /// A torn line that nothing will continue is no event: it is cut off, or, if the shipper has already taken it for a line, ended.
    fn end_torn_line(&mut self, shipped: &Shipped) -> Result<(), AgentError> {
        let Some(current) = self.current.as_mut().filter(|current| current.in_line) else { return Ok(()) };
        let end_of_lines = end_of_last_line(&self.path, current.length).context("read", &self.path)?;
        let mut file = OpenOptions::new().append(true).open(&self.path).context("open", &self.path)?;
        if shipped(&self.path) > end_of_lines {
            file.write_all(b"\n").context("write", &self.path)?;
            current.length += 1;
        } else {
            file.set_len(end_of_lines).context("write", &self.path)?;
            current.length = end_of_lines;
        }
        current.in_line = false;
        Ok(())
    }

    /// Opens the file being written; a new one appears with its header in it.
    fn open(&mut self) -> Result<(), AgentError> {
        if self.current.is_none() {
            let new = self.state_path.with_extension("first");
            fs::write(&new, &self.header_line).context("write", &new)?;
            fs::rename(&new, &self.path).context("make", &self.path)?;
            self.current = Some(Current {
                header_line: self.header_line.clone(),
                length: self.header_line.len() as u64,
                born: SystemTime::now(),
                in_line: false,
            });
        }
        self.file = Some(OpenOptions::new().append(true).open(&self.path).context("open", &self.path)?);
        Ok(())
    }

    /// Writes `bytes` or nothing: what a failed write has left behind is taken back.
    fn write(&mut self, bytes: &[u8]) -> Result<(), AgentError> {
        if self.file.is_none() {
            self.open()?;
        }
        let (Some(file), Some(current)) = (&mut self.file, &mut self.current) else { return Ok(()) };
        if let Err(error) = file.write_all(bytes) {
            file.set_len(current.length).context("take back a torn line of", &self.path)?;
            return Err(error).context("write", &self.path);
        }
        current.length += bytes.len() as u64;
        metrics::counter!("rastro_agent_written_bytes_total").increment(bytes.len() as u64);
        Ok(())
    }
}

fn line_of(header: &LogHeader, path: &Path) -> Result<Vec<u8>, AgentError> {
    header.to_line().map_err(|source| AgentError::Header { path: path.to_owned(), source })
}

/// Where the last whole line of a file of `length` bytes ends.
fn end_of_last_line(path: &Path, length: u64) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let mut end = length;
    let mut block = vec![0; BUFFER];
    while end > 0 {
        let start = end.saturating_sub(BUFFER as u64);
        let block = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(last) = memrchr(b'\n', block) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

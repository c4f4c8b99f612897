//! One log file a container, rotated, resumable, never with a torn line after a normal stop.
//!
//! # Files
//! `<id>.log` is the file being written; its first line is the header ([`LogHeader`]) and always the writer's own, so no line of a
//! recording can pass for one. A rotated file is `<id>.log.<n>` with rising `n`. Beside them, in `.agent/`, lie one small JSON file
//! a rotated log ([`state`]) and, while a replay is under way, its [`journal`].
//!
//! # What survives what
//! A file appears under its name with its header already in it. A buffer holds whole lines; a write that fails half-way (full disk)
//! is taken back to the last whole line. Only a process that is killed can leave a torn line: [`LogWriter::begin_replay`] continues
//! it at the very byte where it broke off if the same replay is run again, and cuts it off otherwise.
//!
//! # Retention
//! Rotated files beyond [`LogWriterConfig::keep_files`] go once the shipper has read them. Above
//! [`LogWriterConfig::max_total_bytes`] read files go first, the oldest of the folder first; then either the writer says that it is
//! full ([`WhenFull::Wait`]) or unread files go too, and what was lost is counted ([`WhenFull::DropOldest`]).

mod journal;
mod log_file;
mod retention;
mod state;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rastro_model::LogHeader;

use crate::{AgentError, container::container_id, error::IoContext};
use journal::Journal;
use log_file::LogFile;
pub use retention::Lost;
use retention::Retention;

/// Name of the folder beside the log files in which the agent keeps what it must remember.
const STATE_FOLDER: &str = ".agent";

/// What to do when the log files exceed their limit and the shipper has not read the oldest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Delete the oldest all the same and count what was lost: a live source cannot wait.
    #[default]
    DropOldest,
    /// Delete nothing unread; [`LogWriter::is_full`] tells the caller to wait. A recording can.
    Wait,
}

/// How log files are rotated and kept.
#[derive(Debug, Clone)]
pub struct LogWriterConfig {
    /// A file is rotated before it exceeds this, bytes.
    pub max_file_bytes: u64,
    /// A file is rotated when it is older than this.
    pub max_file_age: Option<Duration>,
    /// Rotated files kept for each container once they are shipped.
    pub keep_files: usize,
    /// Limit of all log files together, bytes.
    pub max_total_bytes: u64,
    /// What happens at that limit when nothing shipped is left to delete.
    pub when_full: WhenFull,
    /// Files open at a time.
    pub max_open_files: usize,
}

impl Default for LogWriterConfig {
    fn default() -> Self {
        Self {
            max_file_bytes: 64 * 1024 * 1024,
            max_file_age: Some(Duration::from_hours(24)),
            keep_files: 3,
            max_total_bytes: 2 * 1024 * 1024 * 1024,
            when_full: WhenFull::DropOldest,
            max_open_files: 128,
        }
    }
}

/// Tells how many bytes of a log file, from its beginning, are safely shipped.
pub type Shipped = Box<dyn Fn(&Path) -> u64 + Send>;

/// A log of a [`LogWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(usize);

/// Writes one log file a container. See the [module](self) for what it promises.
pub struct LogWriter {
    directory: PathBuf,
    config: LogWriterConfig,
    logs: Vec<LogFile>,
    by_container: HashMap<String, LogId>,
    /// Logs whose file is open, the least recently used first.
    open: Vec<LogId>,
    journal: Option<Journal>,
    retention: Retention,
}

impl LogWriter {
    /// Opens the folder `directory` for writing and makes it if there is none. One process at a time may write into a folder.
    pub fn open(directory: &Path, config: LogWriterConfig) -> Result<Self, AgentError> {
        let state_folder = directory.join(STATE_FOLDER);
        fs::create_dir_all(&state_folder).context("make the folder", &state_folder)?;
        Ok(Self {
            directory: directory.to_owned(),
            config,
            logs: Vec::new(),
            by_container: HashMap::new(),
            open: Vec::new(),
            journal: None,
            retention: Retention::new(),
        })
    }

    /// Asks `shipped` before a file is deleted. Without it nothing counts as shipped.
    #[must_use]
    pub fn with_shipped(mut self, shipped: Shipped) -> Self {
        self.retention.shipped = shipped;
        self
    }

    /// Begins the replay named `identity`, or resumes it if it was interrupted: then, log by log, the bytes that are already there
    /// are skipped. Returns whether it is resumed.
    ///
    /// The replay counts as interrupted until [`finish_replay`] is called, even if all of it was written: only the caller knows when
    /// what follows has taken it in.
    pub fn begin_replay(&mut self, identity: u128) -> Result<bool, AgentError> {
        self.close_logs()?;
        let (journal, resumed) = Journal::open(&self.directory, identity)?;
        self.journal = Some(journal);
        Ok(resumed)
    }

    /// The log of the container of `header`. From here on what is appended to it lies below `header`: a file with another header is
    /// rotated first.
    pub fn log(&mut self, header: &LogHeader) -> Result<LogId, AgentError> {
        let id = container_id(header.container.id.as_bytes());
        if let Some(&known) = self.by_container.get(&id) {
            self.logs[known.0].want_header(header)?;
            return Ok(known);
        }
        let base = self.journal.as_ref().and_then(|journal| journal.base(&id));
        let mut log = LogFile::find(&self.directory, &id, header, base.is_some(), &self.retention.shipped)?;
        if let Some(base) = base {
            log.skip_from(base)?;
        } else if let Some(journal) = &mut self.journal {
            journal.begin(&id, log.written_bytes())?;
        }
        let number = LogId(self.logs.len());
        self.logs.push(log);
        self.by_container.insert(id, number);
        Ok(number)
    }

    /// Appends whole lines, each with its line break.
    pub fn append(&mut self, log: LogId, lines: &[u8]) -> Result<(), AgentError> {
        debug_assert!(lines.is_empty() || lines.ends_with(b"\n"), "lines are whole");
        let mut rest = self.logs[log.0].skip(lines);
        while !rest.is_empty() {
            if self.logs[log.0].must_rotate(&self.config, rest) {
                self.logs[log.0].rotate()?;
                self.retention.enforce(&self.directory, &self.config)?;
            }
            self.touch(log)?;
            rest = self.logs[log.0].append(rest, self.config.max_file_bytes)?;
        }
        Ok(())
    }

    /// Writes what is buffered. Every file then ends with a whole line.
    pub fn flush(&mut self) -> Result<(), AgentError> {
        for log in &self.open {
            self.logs[log.0].flush()?;
        }
        Ok(())
    }

    /// Rotates files of this writer that are too old and deletes what need not be kept of the whole folder. To be called now and then
    /// when nothing is appended.
    pub fn maintain(&mut self) -> Result<(), AgentError> {
        for number in 0..self.logs.len() {
            if self.logs[number].is_aged(&self.config) {
                self.logs[number].rotate()?;
                self.open.retain(|&open| open != LogId(number));
            }
        }
        self.retention.enforce(&self.directory, &self.config)
    }

    /// Whether the limit is reached and nothing shipped is left to delete; only with [`WhenFull::Wait`]. Looks again at what the
    /// shipper has read.
    pub fn is_full(&mut self) -> Result<bool, AgentError> {
        if self.retention.is_full {
            self.retention.enforce(&self.directory, &self.config)?;
        }
        Ok(self.retention.is_full)
    }

    /// What was deleted unread since the writer was opened.
    pub const fn lost(&self) -> Lost {
        self.retention.lost
    }

    /// Bytes that the log of a resumed replay still holds beyond what was appended again; not 0 only if the recording has changed.
    pub(crate) fn unskipped_bytes(&self) -> u64 {
        self.logs.iter().map(LogFile::skip_left).sum()
    }

    /// Makes `log` the most recently used one and closes the least recently used file if there are too many.
    fn touch(&mut self, log: LogId) -> Result<(), AgentError> {
        if self.open.last() == Some(&log) {
            return Ok(());
        }
        if let Some(at) = self.open.iter().position(|&open| open == log) {
            self.open.remove(at);
        } else if self.open.len() >= self.config.max_open_files.max(1) {
            let oldest = self.open.remove(0);
            self.logs[oldest.0].close()?;
        }
        self.open.push(log);
        Ok(())
    }

    fn close_logs(&mut self) -> Result<(), AgentError> {
        self.flush()?;
        self.open.clear();
        self.logs.clear();
        self.by_container.clear();
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::error!(%error, "the last lines could not be written");
        }
    }
}

/// Says that all of the replay in `directory` was taken in by what follows: run again, the same recordings are written again.
pub fn finish_replay(directory: &Path) -> Result<(), AgentError> {
    Journal::remove(directory)
}

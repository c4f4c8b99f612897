//! Where calls come from.
//!
//! A source hands over whole lines and says which log they belong to; it knows nothing of files, speed or rotation. Recordings
//! are the sources here; live capture is one more implementation of the same trait.

use rastro_model::LogHeader;
use serde::Serialize;

use crate::AgentError;

/// Whole lines for one log.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'source> {
    /// Number of the log, counted from 0 within the source. A log of another header has another number.
    pub log: usize,
    /// The header of that log.
    pub header: &'source LogHeader,
    /// One line or more, each with its line break.
    pub bytes: &'source [u8],
}

/// How far a source is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Bytes of the recording that were read (compressed, where it is compressed).
    pub done_bytes: u64,
    /// Bytes of the recording.
    pub total_bytes: u64,
}

/// What is known from outside of a part of a recording: the truth that detectors are measured against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Id of the container.
    pub container: String,
    /// Thread that the label is for; all of them where absent.
    pub thread: Option<i64>,
    /// Since when, nanoseconds since the epoch; from the beginning where absent.
    pub from_ns: Option<i64>,
    /// What happened: the kind of attack.
    pub kind: String,
    /// Name of the recording that it belongs to, where the labels give one.
    pub recording: Option<String>,
}

/// A source of lines. The same recording always yields the same bytes for each log, in the same order: resuming relies on it.
pub trait Source: Send {
    /// The next lines, or `None` at the end.
    fn next_lines(&mut self) -> Result<Option<Lines<'_>>, AgentError>;

    /// How far it is.
    fn progress(&self) -> Progress;

    /// What is known from outside; complete once the end was reached.
    fn labels(&self) -> &[Label] {
        &[]
    }

    /// Lines that were longer than the agent keeps in memory and were cut.
    fn cut_lines(&self) -> u64 {
        0
    }
}

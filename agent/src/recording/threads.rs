//! A recording whose lines name no thread, with the threads in a file beside it: `<stem>.threads.tsv[.gz]`, columns `event`, `thread`
//! and `attack`, line by line as the recording. The lines are rewritten in the default format, with their threads.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use rastro_format::{DayBase, Format};
use rastro_model::{Event, LogHeader};

use super::{
    RecordingOptions,
    converted::{Convert, pass_through},
    default_format, stem,
};
use crate::{AgentError, Label, error::IoContext, input::Input, line_blocks::LineBlocks};

/// The file of threads beside a recording, if there is one.
pub(super) fn threads_beside(path: &Path) -> Option<PathBuf> {
    let stem = String::from_utf8(stem(path).to_vec()).ok()?;
    let candidates =
        ["threads.tsv.gz", "threads.tsv"].map(|ending| path.with_file_name(format!("{stem}.{ending}")));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

pub(super) struct ThreadsConverter {
    /// Format of the recording.
    from: Format,
    to: Format,
    threads_path: PathBuf,
    threads: LineBlocks,
    line: u64,
    container: String,
    attacking: BTreeSet<i64>,
}

impl ThreadsConverter {
    pub(super) fn open(
        path: &Path,
        from: Format,
        options: &RecordingOptions,
    ) -> Result<(Self, LogHeader), AgentError> {
        let threads_path = threads_beside(path).ok_or_else(|| AgentError::Recording {
            path: path.to_owned(),
            message: "no file of threads (<name>.threads.tsv.gz) lies beside it".to_owned(),
        })?;
        let mut threads = LineBlocks::new(Input::open(&threads_path)?);
        let head = threads.next_line().context("read", &threads_path)?;
        if head != Some(b"event\tthread\tattack") {
            let message = "its first line is not `event`, `thread`, `attack`, separated by tabs".to_owned();
            return Err(AgentError::Recording { path: threads_path, message });
        }
        let to = default_format(path)?;
        let header = options.header(path, &to);
        let container = header.container.id.clone();
        let converter =
            Self { from, to, threads_path, threads, line: 0, container, attacking: BTreeSet::new() };
        Ok((converter, header))
    }

    fn fault(&self, message: &str) -> AgentError {
        AgentError::Recording {
            path: self.threads_path.clone(),
            message: format!("line {}: {message}; is it the file of another recording?", self.line + 1),
        }
    }

    /// Number, thread and attack of the next line.
    fn next_thread(&mut self) -> Result<(u64, i64, bool), AgentError> {
        let row = self.threads.next_line().context("read", &self.threads_path)?.and_then(|row| {
            let mut columns = std::str::from_utf8(row).ok()?.split('\t');
            let number = columns.next()?.parse().ok()?;
            let thread = columns.next()?.parse().ok()?;
            Some((number, thread, columns.next()? == "1"))
        });
        row.ok_or_else(|| self.fault("expected the number of an event, a thread, and 0 or 1"))
    }
}

impl Convert for ThreadsConverter {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), AgentError> {
        self.line += 1;
        let (number, thread, is_attack) = self.next_thread()?;
        let Ok(event) = self.from.parse_line(line, DayBase::default()) else {
            pass_through(line, out);
            return Ok(());
        };
        if event.number != Some(number) {
            return Err(
                self.fault(&format!("names event {number}, which is not that of the recording's line"))
            );
        }
        if is_attack {
            self.attacking.insert(thread);
        }
        self.to.write_line(&Event { thread: Some(thread), ..event }, out);
        Ok(())
    }

    fn labels(&mut self) -> Vec<Label> {
        let label = |&thread: &i64| Label {
            container: self.container.clone(),
            thread: Some(thread),
            from_ns: None,
            kind: "attack".to_owned(),
            recording: None,
        };
        self.attacking.iter().map(label).collect()
    }
}

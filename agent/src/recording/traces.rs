//! Labelled traces: one trace a line, decimal numbers of system calls with blanks between, nothing else (the form of ADFA-LD).
//!
//! A trace is a thread, whose id is the number of its line; each number is an exit event. The recording tells no time, so calls lie a
//! microsecond apart, one trace behind the other. Numbers are opaque symbols (`#168`) unless a table names them. What is no number
//! is passed through as a line of its own.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rastro_format::{DayBase, Format};
use rastro_model::{
    Category, Direction, Event, LogHeader,
    syscall::{self, Architecture},
};

use super::{RecordingOptions, converted::pass_through, default_format, stem};
use crate::{
    AgentError, Label, Lines, Progress, Source, error::IoContext, input::Input, line_blocks::LineBlocks,
};

const NS_PER_CALL: i64 = 1_000;

/// Lines are handed over when so many bytes of them are ready; a trace may be long.
const BATCH: usize = 256 * 1024;

pub(super) struct TracesSource {
    path: PathBuf,
    lines: LineBlocks,
    format: Format,
    header: LogHeader,
    table: Option<Architecture>,
    labels: Vec<Label>,
    start_ns: i64,
    calls: u64,
    traces: i64,
    /// The trace being rewritten, and how much of it is done.
    trace: Vec<u8>,
    position: usize,
    out: Vec<u8>,
}

impl TracesSource {
    pub(super) fn open(path: &Path, options: &RecordingOptions) -> Result<Self, AgentError> {
        let format = default_format(path)?;
        let mut header = options.header(path, &format);
        header.architecture = options.table.map(|table| table.to_string());
        let labels = read_labels(path, &header.container.id)?;
        Ok(Self {
            path: path.to_owned(),
            lines: LineBlocks::new(Input::open(path)?),
            format,
            header,
            table: options.table,
            labels,
            start_ns: options.day()?.unwrap_or(DayBase::default()).0,
            calls: 0,
            traces: 0,
            trace: Vec::new(),
            position: 0,
            out: Vec::with_capacity(BATCH),
        })
    }

    fn write_token(&mut self, start: usize, end: usize) {
        let token = &self.trace[start..end];
        let number = Some(token).filter(|token| token.iter().all(u8::is_ascii_digit));
        let number = number.and_then(|token| std::str::from_utf8(token).ok()?.parse::<u32>().ok());
        let Some(number) = number else { return pass_through(token, &mut self.out) };
        let symbol;
        let name = if let Some(name) = self.table.and_then(|table| syscall::name(table, number)) {
            name
        } else {
            symbol = format!("#{number}");
            &symbol
        };
        self.calls += 1;
        let event = Event {
            number: Some(self.calls),
            time_ns: Some(self.start_ns.saturating_add((self.calls - 1) as i64 * NS_PER_CALL)),
            direction: Direction::Exit,
            category: if self.table.is_some() {
                syscall::category_of(name.as_bytes())
            } else {
                Category::Unknown
            },
            name: name.as_bytes(),
            thread: Some(self.traces),
            ..Event::EMPTY
        };
        self.format.write_line(&event, &mut self.out);
    }
}

impl Source for TracesSource {
    fn next_lines(&mut self) -> Result<Option<Lines<'_>>, AgentError> {
        self.out.clear();
        while self.out.len() < BATCH {
            if self.position >= self.trace.len() {
                let Some(line) = self.lines.next_line().context("read", &self.path)? else { break };
                self.trace.clear();
                self.trace.extend_from_slice(line);
                self.position = 0;
                self.traces += 1;
                if line.iter().all(u8::is_ascii_whitespace) {
                    pass_through(&self.trace, &mut self.out);
                    self.trace.clear();
                    continue;
                }
            }
            let rest = &self.trace[self.position..];
            let start = rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len());
            let length = rest[start..].iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len() - start);
            let start = self.position + start;
            self.position = start + length;
            if length > 0 {
                self.write_token(start, self.position);
            }
        }
        Ok((!self.out.is_empty()).then_some(Lines { log: 0, header: &self.header, bytes: &self.out }))
    }

    fn progress(&self) -> Progress {
        self.lines.progress()
    }

    fn labels(&self) -> &[Label] {
        &self.labels
    }

    fn cut_lines(&self) -> u64 {
        self.lines.cut_lines()
    }
}

/// Whether a line is one of numbers only.
pub(super) fn is_trace(line: &[u8]) -> bool {
    let mut tokens = line.split(u8::is_ascii_whitespace).filter(|token| !token.is_empty()).peekable();
    tokens.peek().is_some() && tokens.all(|token| token.iter().all(u8::is_ascii_digit))
}

/// Labels beside `path` (`attack.labels` for `attack.txt.gz`): kind, recording and trace, separated by tabs, line by line as the traces.
fn read_labels(path: &Path, container: &str) -> Result<Vec<Label>, AgentError> {
    let mut name = stem_path(path);
    name.push(".labels");
    let path = PathBuf::from(name);
    let text = match fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("read", &path),
    };
    let mut labels = Vec::new();
    for (line, thread) in text.lines().zip(1_i64..) {
        let mut columns = line.split('\t');
        let kind = columns.next().unwrap_or_default();
        if kind.is_empty() {
            let message =
                format!("line {thread} names no kind; expected kind, recording and trace, separated by tabs");
            return Err(AgentError::Recording { path, message });
        }
        labels.push(Label {
            container: container.to_owned(),
            thread: Some(thread),
            from_ns: None,
            kind: kind.to_owned(),
            recording: columns.next().map(str::to_owned),
        });
    }
    Ok(labels)
}

/// The path without the endings that only say what a file is.
fn stem_path(path: &Path) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStrExt;
    path.with_file_name(std::ffi::OsStr::from_bytes(stem(path))).into_os_string()
}

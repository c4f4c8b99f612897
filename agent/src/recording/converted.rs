//! Recordings in forms of their own, rewritten in the default line format.

use std::path::{Path, PathBuf};

use rastro_model::LogHeader;

use crate::{
    AgentError, Label, Lines, Progress, Source, error::IoContext, input::Input, line_blocks::LineBlocks,
};

/// Lines are handed over when so many bytes of them are ready.
const BATCH: usize = 256 * 1024;

/// Rewrites lines. Every line of a recording must come out as a line, as part of one, or unchanged: nothing vanishes.
pub(super) trait Convert: Send {
    /// Appends to `out` what `line` (without its line break) becomes: no line, or one or more whole ones.
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), AgentError>;

    /// Appends to `out` what is left at the end.
    fn finish(&mut self, _out: &mut Vec<u8>) {}

    /// What is known from outside, at the end.
    fn labels(&mut self) -> Vec<Label> {
        Vec::new()
    }
}

/// A recording whose lines a [`Convert`] rewrites, all of one container.
pub(super) struct ConvertedSource<C> {
    path: PathBuf,
    lines: LineBlocks,
    header: LogHeader,
    convert: C,
    out: Vec<u8>,
    labels: Vec<Label>,
    is_finished: bool,
}

impl<C: Convert> ConvertedSource<C> {
    pub(super) fn new(path: &Path, input: Input, header: LogHeader, convert: C) -> Self {
        Self {
            path: path.to_owned(),
            lines: LineBlocks::new(input),
            header,
            convert,
            out: Vec::with_capacity(BATCH),
            labels: Vec::new(),
            is_finished: false,
        }
    }

    /// With labels that are known from the start.
    pub(super) fn with_labels(self, labels: Vec<Label>) -> Self {
        Self { labels, ..self }
    }
}

impl<C: Convert> Source for ConvertedSource<C> {
    fn next_lines(&mut self) -> Result<Option<Lines<'_>>, AgentError> {
        self.out.clear();
        while !self.is_finished && self.out.len() < BATCH {
            if let Some(line) = self.lines.next_line().context("read", &self.path)? {
                self.convert.line(line, &mut self.out)?;
            } else {
                self.convert.finish(&mut self.out);
                self.labels.append(&mut self.convert.labels());
                self.is_finished = true;
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

/// Passes a line through that could not be rewritten: it becomes a dead letter downstream, where it is counted.
pub(super) fn pass_through(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.push(b'\n');
}

//! What a recording is, by its content and its name; strict, so that nothing is guessed.

use std::path::Path;

use rastro_format::Format;
use rastro_model::{LogHeader, log_header};

use super::{RecordingKind, strace::is_strace};
use crate::{AgentError, error::IoContext, input::Input, line_blocks::LineBlocks};

/// Lines looked at.
const SAMPLE_LINES: usize = 64;

/// Says what the recording `path` is, or that nothing says it beyond doubt.
pub fn detect(path: &Path) -> Result<RecordingKind, AgentError> {
    let unknown = |reason: &str| AgentError::UnknownKind { path: path.to_owned(), reason: reason.to_owned() };
    let mut blocks = LineBlocks::new(Input::open(path)?);
    let mut sample = Vec::new();
    while sample.len() < SAMPLE_LINES
        && let Some(line) = blocks.next_line().context("read", path)?
    {
        if sample.is_empty() && line.starts_with(log_header::MAGIC) {
            let header = LogHeader::parse(line)
                .map_err(|source| AgentError::Header { path: path.to_owned(), source })?;
            return Ok(RecordingKind::Text { format: header.format });
        }
        // sysdig prints a blank second line after some container events; it speaks for no format.
        if !line.iter().all(u8::is_ascii_whitespace) {
            sample.push(line.to_vec());
        }
    }
    if sample.is_empty() {
        return Err(unknown("it holds no line"));
    }
    let lines: Vec<&[u8]> = sample.iter().map(Vec::as_slice).collect();
    if let Some(format) = Format::detect(&lines).and_then(Format::named) {
        return Ok(RecordingKind::Text { format: format.text().to_owned() });
    }
    if lines.iter().all(|line| is_strace(line)) {
        return Ok(RecordingKind::Strace);
    }
    Err(unknown("its first lines fit no known format alone"))
}

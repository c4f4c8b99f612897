//! What a recording is, by its content and its name; strict, so that nothing is guessed.

use std::path::Path;

use rastro_format::Format;
use rastro_model::{LogHeader, log_header};

use super::{
    RecordingKind, lttng::is_lttng, pid_calls::is_pid_call, strace::is_strace, threads::threads_beside,
    traces::is_trace,
};
use crate::{
    AgentError,
    error::IoContext,
    input::{Input, open_file, read_up_to},
    line_blocks::LineBlocks,
};

/// Lines looked at.
const SAMPLE_LINES: usize = 64;

/// How a zip archive begins.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

/// How a capture begins: sysdig writes pcapng blocks.
const SCAP_MAGIC: &[u8] = b"\x0a\x0d\x0d\x0a";

/// Marks at the beginning of text that Windows programs have written.
const MARKS: [(&[u8], &str); 3] =
    [(b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16")];

/// Says what the recording `path` is, or that nothing says it beyond doubt.
///
/// Captures and archives are known by their first bytes; everything else by its first 64 lines, all of which must be of the kind. Lines
/// of numbers alone are traces only in a file named `.txt`; pairs of numbers in another one are processes and calls.
pub fn detect(path: &Path) -> Result<RecordingKind, AgentError> {
    let unknown = |reason: &str| AgentError::UnknownKind { path: path.to_owned(), reason: reason.to_owned() };
    if is_archive(path)? {
        let format = Format::named("lidds-2021").ok_or_else(|| unknown("archives cannot be read"))?;
        return Ok(RecordingKind::LidDsArchive { format: format.text().to_owned() });
    }
    let mut blocks = LineBlocks::new(Input::open(path)?);
    let beginning = blocks.peek_block().context("read", path)?.unwrap_or_default();
    if beginning.starts_with(SCAP_MAGIC) {
        return Ok(RecordingKind::Scap);
    }
    if let Some((_, encoding)) = MARKS.iter().find(|(mark, _)| beginning.starts_with(mark)) {
        return Err(AgentError::Recording {
            path: path.to_owned(),
            message: format!(
                "it begins with the byte order mark of {encoding}: convert it to UTF-8 without one (`iconv`) and name that"
            ),
        });
    }
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
    let all = |is_of_kind: fn(&[u8]) -> bool| lines.iter().all(|line| is_of_kind(line));
    if let Some(format) = Format::detect(&lines).and_then(Format::named) {
        let text = format.text().to_owned();
        let has_threads_beside = !format.has_thread() && threads_beside(path).is_some();
        return Ok(if has_threads_beside {
            RecordingKind::TextWithThreads { format: text }
        } else {
            RecordingKind::Text { format: text }
        });
    }
    if all(is_lttng) {
        return Ok(RecordingKind::Lttng);
    }
    if all(is_strace) {
        return Ok(RecordingKind::Strace);
    }
    if all(is_trace) {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let is_named_so = name.strip_suffix(b".gz").unwrap_or(name).ends_with(b".txt");
        return if is_named_so {
            Ok(RecordingKind::Traces)
        } else if all(is_pid_call) {
            Ok(RecordingKind::PidCalls)
        } else {
            Err(unknown("its lines are numbers, but traces are named .txt or .txt.gz"))
        };
    }
    Err(unknown("its first lines are not all of one known kind"))
}

/// Whether the file is a zip archive.
pub(super) fn is_archive(path: &Path) -> Result<bool, AgentError> {
    let mut magic = [0; ZIP_MAGIC.len()];
    let (mut file, _) = open_file(path)?;
    // What is wrong with a file that cannot be read is said where it is opened as an input.
    Ok(matches!(read_up_to(&mut file, &mut magic), Ok(read) if magic[..read] == *ZIP_MAGIC))
}

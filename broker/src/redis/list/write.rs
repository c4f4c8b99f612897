//! Chunks as Filebeat 7.13 would have sent their lines: one JSON document a line.

use rastro_model::{Position, StreamId};

use crate::{BrokerError, Chunk};

/// A run of documents is complete at about this size, bytes.
const BYTES_A_RUN: usize = 256 * 1024;

/// Documents of neighbouring lines, put into the list together.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) stream: StreamId,
    pub(super) previous: Position,
    pub(super) end: Position,
    pub(super) next_line: u64,
    text: Vec<u8>,
    /// Where each document ends.
    ends: Vec<usize>,
}

impl Run {
    /// The documents.
    pub(super) fn documents(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| {
            let start = if index == 0 { 0 } else { self.ends[index - 1] };
            &self.text[start..self.ends[index]]
        })
    }

    /// Their bytes together.
    pub(super) fn size(&self) -> usize {
        self.text.len()
    }
}

/// A line of a chunk: its bytes, where it begins in its file, and how many bytes of the file it covers where that is known.
struct Line<'a> {
    content: &'a [u8],
    offset: u64,
    length: Option<u64>,
}

/// The documents of a chunk's lines. `members` are the ones that are the same in every document. Empty lines have none, as with
/// Filebeat; a carriage return before the line break is left out; each byte that is not UTF-8 becomes U+FFFD.
pub(super) fn runs_of(chunk: &Chunk, members: &str) -> Result<Vec<Run>, BrokerError> {
    let mut text = Vec::new();
    chunk.payload.decompress(&mut text)?;
    let generation = chunk.start.generation;
    let time = jiff::Timestamp::from_nanosecond(i128::from(chunk.read_ns)).unwrap_or_default();
    let mut before = format!(r#"{{"@timestamp":"{time:.3}",{members},"log":{{"offset":"#).into_bytes();
    let mut between = br#","file":{"path":"#.to_vec();
    put_string(&mut between, &chunk.path);
    between.extend_from_slice(br#"}},"message":"#);
    before.shrink_to_fit();
    let header = chunk.header.as_deref().map(|header| {
        let mut member = br#","header":"#.to_vec();
        put_string(&mut member, header.trim_ascii_end());
        member
    });
    let run = |previous, next_line| Run {
        stream: chunk.stream,
        previous,
        end: previous,
        next_line,
        text: Vec::new(),
        ends: Vec::new(),
    };
    let lines = lines_of(&text, chunk);
    // Within a chunk with lines that were cut it is not known everywhere where lines begin, so nobody could go on from there.
    let limit = if chunk.cut_lines == 0 { BYTES_A_RUN } else { usize::MAX };
    let mut gap = chunk.gap.as_ref();
    let mut runs = Vec::new();
    let mut current = run(chunk.previous, chunk.first_line);
    for line in &lines {
        if current.text.len() >= limit {
            let next = run(current.end, current.next_line);
            runs.push(std::mem::replace(&mut current, next));
        }
        current.end = Position::new(generation, line.offset + line.length.unwrap_or(0));
        current.next_line += 1;
        let content = line.content.strip_suffix(b"\r").unwrap_or(line.content);
        if content.is_empty() {
            continue;
        }
        let out = &mut current.text;
        out.extend_from_slice(&before);
        put_number(out, line.offset);
        out.extend_from_slice(&between);
        put_string(out, content);
        out.extend_from_slice(br#","input":{"type":"log"},"rastro":{"generation":"#);
        put_number(out, generation);
        if let Some(length) = line.length {
            out.extend_from_slice(br#","length":"#);
            put_number(out, length);
        }
        if let Some(header) = &header {
            out.extend_from_slice(header);
        }
        if let Some(gap) = gap.take().and_then(|gap| serde_json::to_vec(gap).ok()) {
            out.extend_from_slice(br#","gap":"#);
            out.extend_from_slice(&gap);
        }
        out.extend_from_slice(b"}}");
        current.ends.push(out.len());
    }
    current.end = chunk.end;
    runs.push(current);
    Ok(runs)
}

/// The lines of a chunk and where they are. Lines that were cut cover more of the file than they hold: what lies before the first of
/// them is counted from the front, what lies behind the last one from the end, and what lies between is not known exactly.
fn lines_of<'a>(text: &'a [u8], chunk: &Chunk) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::with_capacity(chunk.lines as usize);
    let mut offset = chunk.start.offset;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        lines.push(Line { content, offset, length: Some(line.len() as u64) });
        offset += line.len() as u64;
    }
    if chunk.cut_lines > 0 {
        // All of those that were cut are as long as one another, and nothing is longer.
        let longest = lines.iter().map(|line| line.content.len()).max().unwrap_or(0);
        let first = lines.iter().position(|line| line.content.len() == longest).unwrap_or(0);
        let last = lines.iter().rposition(|line| line.content.len() == longest).unwrap_or(0);
        let mut end = chunk.end.offset;
        for line in lines[last + 1..].iter_mut().rev() {
            end = end.saturating_sub(line.content.len() as u64 + 1);
            line.offset = end;
        }
        for line in &mut lines[first..=last] {
            line.length = None;
        }
        if first == last {
            lines[first].length = end.checked_sub(lines[first].offset);
        }
    } else if let Some(last) = lines.last_mut() {
        // The last line of a finished file may lack its line break there.
        last.length = Some(chunk.end.offset.saturating_sub(last.offset));
    }
    lines
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// Puts bytes as a JSON string. What is not UTF-8 becomes U+FFFD, byte by byte.
fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for part in bytes.utf8_chunks() {
        let valid = part.valid().as_bytes();
        let mut copied = 0;
        for (index, &byte) in valid.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            out.extend_from_slice(&valid[copied..index]);
            copied = index + 1;
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                b'\t' => out.extend_from_slice(br"\t"),
                b'\n' => out.extend_from_slice(br"\n"),
                b'\r' => out.extend_from_slice(br"\r"),
                _ => {
                    out.extend_from_slice(br"\u00");
                    out.push(DIGITS[usize::from(byte >> 4)]);
                    out.push(DIGITS[usize::from(byte & 15)]);
                }
            }
        }
        out.extend_from_slice(&valid[copied..]);
        for _ in part.invalid() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests;

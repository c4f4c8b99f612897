//! Calls as NDJSON and as CSV.

use std::io::Write;

use rastro_model::Segment;
use rastro_store::Label;

use super::{
    column::{COLUMNS, Form, Rows, Value},
    time_text::TimeText,
};

/// Bytes that are gathered before they are handed on.
const BUFFER_BYTES: usize = 256 * 1024;

/// One JSON document a line, one line a call.
#[derive(Debug)]
pub(super) struct NdjsonWriter<W> {
    output: W,
    buffer: Vec<u8>,
    times: TimeText,
}

impl<W: Write> NdjsonWriter<W> {
    /// Writes to `output`.
    pub(super) fn new(output: W) -> Self {
        Self { output, buffer: Vec::with_capacity(BUFFER_BYTES * 2), times: TimeText::default() }
    }

    /// Writes the calls of a segment.
    pub(super) fn write(&mut self, segment: &Segment, labels: &[Label]) -> anyhow::Result<()> {
        let rows = Rows::new(segment, labels);
        for call in 0..rows.len() {
            let mut separator = b'{';
            for column in COLUMNS {
                let value = (column.value)(&rows, call);
                if value == Value::Unknown && !column.always {
                    continue;
                }
                self.buffer.push(separator);
                separator = b',';
                // Names of columns hold nothing that JSON escapes.
                self.buffer.push(b'"');
                self.buffer.extend_from_slice(column.name.as_bytes());
                self.buffer.extend_from_slice(b"\":");
                match value {
                    Value::Unknown => self.buffer.extend_from_slice(b"null"),
                    Value::Time(time_ns) => {
                        self.buffer.push(b'"');
                        self.times.append(time_ns, zone(column.form), &mut self.buffer);
                        self.buffer.push(b'"');
                    }
                    Value::Unsigned(number) => write!(self.buffer, "{number}")?,
                    Value::Signed(number) => write!(self.buffer, "{number}")?,
                    Value::Text(text) => serde_json::to_writer(&mut self.buffer, text)?,
                }
            }
            self.buffer.extend_from_slice(b"}\n");
            flush_full(&mut self.buffer, &mut self.output)?;
        }
        Ok(())
    }

    /// Hands everything on and gives the output back.
    pub(super) fn finish(mut self) -> anyhow::Result<W> {
        self.output.write_all(&self.buffer)?;
        self.output.flush()?;
        Ok(self.output)
    }
}

/// One row a call, quoted as RFC 4180 says, with a header. Lines end in a line feed alone, as every reader in use accepts.
#[derive(Debug)]
pub(super) struct CsvWriter<W> {
    output: W,
    buffer: Vec<u8>,
    times: TimeText,
    formula_cells: u64,
}

impl<W: Write> CsvWriter<W> {
    /// Writes the header, unless the rows go on behind those of another index.
    pub(super) fn new(output: W, header: bool) -> Self {
        let mut buffer = Vec::with_capacity(BUFFER_BYTES * 2);
        if header {
            let names: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
            buffer.extend_from_slice(names.join(",").as_bytes());
            buffer.push(b'\n');
        }
        Self { output, buffer, times: TimeText::default(), formula_cells: 0 }
    }

    /// Writes the calls of a segment.
    pub(super) fn write(&mut self, segment: &Segment, labels: &[Label]) -> anyhow::Result<()> {
        let rows = Rows::new(segment, labels);
        for call in 0..rows.len() {
            for (place, column) in COLUMNS.iter().enumerate() {
                if place > 0 {
                    self.buffer.push(b',');
                }
                match (column.value)(&rows, call) {
                    Value::Unknown => {}
                    Value::Time(time_ns) => self.times.append(time_ns, zone(column.form), &mut self.buffer),
                    Value::Unsigned(number) => write!(self.buffer, "{number}")?,
                    Value::Signed(number) => write!(self.buffer, "{number}")?,
                    Value::Text(text) => {
                        self.formula_cells += u64::from(is_formula(text));
                        append_cell(text, &mut self.buffer);
                    }
                }
            }
            self.buffer.push(b'\n');
            flush_full(&mut self.buffer, &mut self.output)?;
        }
        Ok(())
    }

    /// Cells that a spreadsheet might take for a formula.
    pub(super) const fn formula_cells(&self) -> u64 {
        self.formula_cells
    }

    /// Hands everything on and gives the output back.
    pub(super) fn finish(mut self) -> anyhow::Result<W> {
        self.output.write_all(&self.buffer)?;
        self.output.flush()?;
        Ok(self.output)
    }
}

fn flush_full(buffer: &mut Vec<u8>, output: &mut impl Write) -> std::io::Result<()> {
    if buffer.len() >= BUFFER_BYTES {
        output.write_all(buffer)?;
        buffer.clear();
    }
    Ok(())
}

/// How the offset is written: RFC 3339's way, or as sysdig prints it.
const fn zone(form: Form) -> &'static str {
    match form {
        Form::TimeText => "+0000",
        _ => "Z",
    }
}

/// A spreadsheet computes cells that begin like this instead of showing them.
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// An empty text is quoted, so that it differs from an unknown one.
fn append_cell(text: &str, buffer: &mut Vec<u8>) {
    let is_plain = !text.is_empty() && !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if is_plain {
        buffer.extend_from_slice(text.as_bytes());
        return;
    }
    buffer.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            buffer.push(b'"');
        }
        buffer.push(byte);
    }
    buffer.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::export::sample::{hostile_segment, label};

    #[test]
    fn a_document_has_the_names_and_values_of_the_published_one() {
        let mut writer = NdjsonWriter::new(Vec::new());
        writer.write(&hostile_segment(), &[label()]).unwrap();
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[0],
            r#"{"@timestamp":"2022-03-31T18:13:16.977633722Z","timestamp":"2022-03-31T18:13:16.977633722+0000","event_number":1611,"event_direction":0,"systemcall_type":3,"systemcall":23,"systemcall_name":"select","systemcall_type_name":"wait","latency":0,"return_value":0,"argc":1,"args_length":7,"container.id":"0123456789ab","container.image.name":null,"container.name":"=cmd|' /C calc'!A0","host.name":"worker-0","host.architecture":"x86_64","process.name":null,"process.pid":null,"process.thread.id":null}"#
        );
        let second: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(second["process.name"], "a\n\"b\",\u{1b}[2J");
        assert_eq!(second["return_value"], -110);
        assert_eq!(second["arguments"], " res=-110(ETIMEDOUT) ");
        assert_eq!(second["label"], "shell");
        assert!(second["latency"].is_null());
        let third: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert!(third["systemcall"].is_null(), "an unknown name has no number");
        assert_eq!(third["event_direction"], 1);
    }

    #[test]
    fn a_hostile_name_stays_in_its_cell() {
        let mut writer = CsvWriter::new(Vec::new(), true);
        writer.write(&hostile_segment(), &[label()]).unwrap();
        assert_eq!(writer.formula_cells(), 3);
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        let rows = read_csv(&text);
        assert_eq!(rows.len(), 4);
        assert!(rows.iter().all(|row| row.len() == COLUMNS.len()), "{rows:?}");
        let process = COLUMNS.iter().position(|column| column.name == "process.name").unwrap();
        assert_eq!(rows[0][process], "process.name");
        assert_eq!(rows[1][process], "");
        assert_eq!(rows[2][process], "a\n\"b\",\u{1b}[2J");
    }

    /// A reader of RFC 4180 as the standard words it.
    fn read_csv(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' if quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    cell.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut cell)),
                '\n' if !quoted => {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                other => cell.push(other),
            }
        }
        assert!(!quoted && cell.is_empty() && row.is_empty());
        rows
    }
}

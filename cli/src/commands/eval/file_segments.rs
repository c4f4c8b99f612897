//! The segments of a recording in a file, the same that the whole trail would make of it.

use std::{collections::HashMap, path::Path};

use anyhow::Context as _;
use rastro_agent::{
    Label, RecordingKind,
    recording::{self, RecordingOptions},
};
use rastro_broker::{Chunk, Payload};
use rastro_format::Format;
use rastro_model::{Position, Segment, StreamId};
use rastro_transformer::{Transformer, TransformerConfig, config::KeepArguments};

/// Hands the segments of the recording to `each`, in order, and returns what the recording says of itself. `number` tells it from others:
/// containers of two recordings are two, whatever their ids are.
pub(super) fn read(
    path: &Path,
    kind: Option<&RecordingKind>,
    number: u32,
    each: &mut dyn FnMut(&Segment),
) -> anyhow::Result<Vec<Label>> {
    let detected;
    let kind = match kind {
        Some(kind) => kind,
        None => {
            detected = recording::detect(path)?;
            &detected
        }
    };
    let dataset = format!("recording-{number}");
    let options = RecordingOptions { dataset: Some(dataset.clone()), ..RecordingOptions::default() };
    let mut source = recording::open(path, kind, &options)?;
    let format = Format::parse(rastro_format::DEFAULT).context("the default format")?;
    let mut transformer = Transformer::new(TransformerConfig {
        rollups: false,
        keep_arguments: KeepArguments::None,
        dead_letters_per_chunk: 0,
        ..TransformerConfig::new(format, dataset)
    });
    // Where each log stands: bytes and lines so far.
    let mut logs: HashMap<usize, (u64, u64)> = HashMap::new();
    while let Some(lines) = source.next_lines()? {
        let (offset, first_line) = logs.entry(lines.log).or_default();
        let count = lines.bytes.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
        let start = Position::new(0, *offset);
        let end = Position::new(0, *offset + lines.bytes.len() as u64);
        let chunk = Chunk {
            stream: StreamId(u64::from(number) << 32 | lines.log as u64),
            start,
            end,
            previous: start,
            first_line: *first_line,
            lines: count as u32,
            cut_lines: 0,
            gap: None,
            node: "eval".to_owned(),
            path: path.as_os_str().as_encoded_bytes().to_vec(),
            header: Some(lines.header.to_line().with_context(|| format!("header of `{}`", path.display()))?),
            read_ns: 0,
            payload: Payload::compress(lines.bytes)
                .with_context(|| format!("lines of `{}`", path.display()))?,
        };
        *offset = end.offset;
        *first_line += count;
        for segment in &transformer.transform(&chunk).segments {
            each(segment);
        }
    }
    Ok(source.labels().to_vec())
}

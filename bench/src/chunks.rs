//! Generated lines as chunks in memory, as the shipper would cut them.

use rastro_broker::{Chunk, ChunkError, Payload};
use rastro_format::Format;
use rastro_model::{Container, LogHeader, Position, StreamId};

use crate::generate::{Generator, Layout};

/// Size of a chunk, bytes: the shipper's default.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks of one stream with the text that is in them.
pub(crate) struct Chunks {
    pub(crate) list: Vec<Chunk>,
    /// The lines of all chunks.
    pub(crate) text: Vec<u8>,
    /// How many there are.
    pub(crate) lines: u64,
}

impl Chunks {
    /// Chunks of at least `lines` lines of `threads` threads in the layout.
    pub(crate) fn generate(seed: u64, layout: Layout, threads: usize, lines: u64) -> anyhow::Result<Self> {
        let header = header(layout)?;
        let mut generator = Generator::new(seed, layout, threads, 10_000);
        let mut made = Self { list: Vec::new(), text: Vec::new(), lines: 0 };
        let mut end = Position::new(0, header.len() as u64);
        let mut text = Vec::new();
        while made.lines < lines {
            text.clear();
            let count = generator.fill(CHUNK_BYTES, &mut text);
            let start = end;
            end.offset += text.len() as u64;
            let previous = made.list.last().map_or(Position::START, |chunk: &Chunk| chunk.end);
            made.list.push(chunk((previous, start, end), made.lines, count, &header, &text)?);
            made.lines += u64::from(count);
            made.text.extend_from_slice(&text);
        }
        Ok(made)
    }
}

fn chunk(
    (previous, start, end): (Position, Position, Position),
    first_line: u64,
    lines: u32,
    header: &[u8],
    text: &[u8],
) -> Result<Chunk, ChunkError> {
    Ok(Chunk {
        stream: StreamId(1),
        start,
        end,
        previous,
        first_line,
        lines,
        cut_lines: 0,
        gap: None,
        node: "node".to_owned(),
        path: b"/var/log/rastro/0123456789ab.log".to_vec(),
        header: Some(header.to_vec()),
        read_ns: 0,
        payload: Payload::compress(text)?,
    })
}

/// The header line of a log file in the layout.
pub(crate) fn header(layout: Layout) -> anyhow::Result<Vec<u8>> {
    let format = Format::named(layout.name())
        .ok_or_else(|| anyhow::anyhow!("there is no format `{}`", layout.name()))?;
    let header = LogHeader {
        version: 1,
        format: format.text().to_owned(),
        dataset: Some("bench".to_owned()),
        container: Container {
            id: "0123456789ab".to_owned(),
            name: Some("server".to_owned()),
            image: Some("bench".to_owned()),
        },
        architecture: None,
        date: None,
    };
    Ok(header.to_line()?)
}

//! Chunks made by hand.

use rastro_broker::{Chunk, Payload};
use rastro_format::Format;
use rastro_model::{Container, LogHeader, Position, StreamId, Tally};
use rastro_store::{
    ChunkOutput,
    ledger::{Crossings, OpenEnters},
};
use rastro_transformer::{Transformer, TransformerConfig};

/// 2026-11-21T00:00:00Z
pub(crate) const READ_NS: i64 = 1_795_219_200_000_000_000;

/// A transformer for files without a header in the named format.
pub(crate) fn transformer(format: &str) -> Transformer {
    let format = Format::named(format).unwrap_or_else(|| Format::parse(format).unwrap());
    Transformer::new(TransformerConfig::new(format, "test"))
}

/// `text` as the first chunk of `/logs/0123456789ab.log`.
pub(crate) fn chunk(text: &[u8]) -> Chunk {
    let lines = text.split_inclusive(|&byte| byte == b'\n').count();
    Chunk {
        stream: StreamId(0x5eed),
        start: Position::START,
        end: Position::new(0, text.len() as u64),
        previous: Position::START,
        first_line: 0,
        lines: lines as u32,
        cut_lines: 0,
        gap: None,
        node: "worker-1".to_owned(),
        path: b"/logs/0123456789ab.log".to_vec(),
        header: None,
        read_ns: READ_NS,
        payload: Payload::compress(text).unwrap(),
    }
}

/// The same with a header.
pub(crate) fn chunk_with_header(header: &LogHeader, text: &[u8]) -> Chunk {
    Chunk { header: Some(header.to_line().unwrap()), ..chunk(text) }
}

/// A header of a file in `format`.
pub(crate) fn header(format: &str) -> LogHeader {
    let container = Container { id: "0123456789ab".to_owned(), name: None, image: Some("web:1".to_owned()) };
    LogHeader {
        version: 1,
        format: format.to_owned(),
        dataset: None,
        container,
        architecture: None,
        date: None,
    }
}

/// `lines` as a chain of chunks of one stream, cut behind the given numbers of lines.
pub(crate) fn chain(lines: &[Vec<u8>], cuts: &[usize]) -> Vec<Chunk> {
    let mut borders = cuts.to_vec();
    borders.push(lines.len());
    let (mut offset, mut begun) = (0, 0);
    let mut chunks = Vec::new();
    for border in borders {
        let border = border.clamp(begun, lines.len());
        let text = lines[begun..border].concat();
        if text.is_empty() {
            continue;
        }
        let end = offset + text.len() as u64;
        chunks.push(Chunk {
            start: Position::new(0, offset),
            end: Position::new(0, end),
            previous: Position::new(0, offset),
            first_line: begun as u64,
            ..chunk(&text)
        });
        (offset, begun) = (end, border);
    }
    chunks
}

/// Fails unless both sums of the chunk and of each segment close, every column fits, and the parts make up the whole.
pub(crate) fn check(output: &ChunkOutput) {
    assert!(output.tally.is_closed(), "{:?}", output.tally);
    assert_eq!(output.tally.lines_read, u64::from(output.lines));
    let mut stored = 0;
    for segment in &output.segments {
        assert!(segment.tally.is_closed(), "{:?}", segment.tally);
        assert!(segment.calls.is_consistent());
        assert_eq!(segment.tally.calls_stored as usize, segment.calls.len() + segment.unfinished.len());
        assert!(segment.details.is_sorted_by_key(|detail| detail.call));
        assert!(segment.details.iter().all(|detail| (detail.call as usize) < segment.calls.len()));
        assert!(segment.index.starts_with(&format!("{}-", output.dataset)));
        stored += segment.tally.calls_stored;
    }
    assert_eq!(output.tally.calls_stored, stored);
    let rolled_up: u64 = output.rollups.iter().map(|rollup| rollup.count).sum();
    let in_sequence: usize = output.segments.iter().map(|segment| segment.calls.len()).sum();
    assert_eq!(rolled_up as usize, in_sequence);
}

/// The tally of a stream once the store's ledger has brought together what chunk borders had parted.
pub(crate) fn settled(outputs: &[ChunkOutput]) -> Tally {
    let mut open = OpenEnters::default();
    let mut tally = Tally::default();
    for output in outputs {
        tally += output.tally;
        for (_, enters) in open.advance(Crossings::of(&output.segments), 1) {
            tally.settle(enters);
        }
    }
    assert!(tally.is_closed(), "{tally:?}");
    tally
}

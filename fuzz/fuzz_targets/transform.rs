//! Any lines in a sound chunk: both sums close, every segment is consistent, and its columns give it back whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rastro_broker::{Chunk, Payload};
use rastro_format::{Format, PRESETS};
use rastro_model::{Position, StreamId};
use rastro_store::columns::{self, Envelope};
use rastro_transformer::{KeepArguments, Transformer, TransformerConfig};

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    // The first line may be a header.
    let (header, text) = match rest.iter().position(|&byte| byte == b'\n') {
        Some(end) if rest.starts_with(b"#rastro ") => (Some(rest[..=end].to_vec()), &rest[end + 1..]),
        _ => (None, rest),
    };
    let lines = text.split_inclusive(|&byte| byte == b'\n').count() as u32;
    let chunk = Chunk {
        stream: StreamId(7),
        start: Position::START,
        end: Position::new(0, text.len() as u64),
        previous: Position::START,
        first_line: 0,
        lines,
        cut_lines: 0,
        gap: None,
        node: "node".to_owned(),
        path: b"/var/log/rastro/host.log".to_vec(),
        header,
        read_ns: 1_648_750_396_977_633_722,
        payload: Payload::compress(text).expect("a fuzzer's input is short"),
    };
    let (name, _) = PRESETS[usize::from(choice) % PRESETS.len()];
    let format = Format::named(name).expect("a preset has its name");
    let mut config = TransformerConfig::new(format, "fuzz");
    config.keep_arguments = KeepArguments::All;
    let output = Transformer::new(config.clone()).transform(&chunk);
    assert!(output.tally.is_closed(), "{:?}", output.tally);
    assert_eq!(output.tally.lines_read, u64::from(lines));
    let in_segments: u64 = output.segments.iter().map(|segment| segment.tally.calls_stored).sum();
    assert_eq!(in_segments, output.tally.calls_stored);
    for segment in &output.segments {
        assert!(segment.calls.is_consistent());
        let stored = segment.calls.len() + segment.unfinished.len();
        assert_eq!(stored as u64, segment.tally.calls_stored);
        let blobs = columns::encode(segment).expect("a segment that is consistent can be written");
        let decoded = columns::decode(Envelope::of(segment), &blobs.sequence, Some(&blobs.rest));
        assert_eq!(decoded.as_ref(), Ok(segment));
    }
    // Done twice, it is the same twice.
    assert_eq!(Transformer::new(config).transform(&chunk), output);
});

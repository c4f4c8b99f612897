//! Any bytes as an encoded chunk: no panic, no unbounded memory, and what the transformer makes of it adds up. A header line likewise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rastro_broker::Chunk;
use rastro_format::Format;
use rastro_model::LogHeader;
use rastro_transformer::{Transformer, TransformerConfig};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(chunk) = Chunk::decode(bytes) {
        let mut lines = Vec::new();
        let _ = chunk.payload.decompress(&mut lines);
        let encoded = chunk.encode().expect("a chunk that was read can be written");
        assert_eq!(Chunk::decode(&encoded).expect("what was written can be read"), chunk);
        let format = Format::named("rocha").expect("a preset has its name");
        let output = Transformer::new(TransformerConfig::new(format, "fuzz")).transform(&chunk);
        assert!(output.tally.is_closed(), "{:?}", output.tally);
    }
    let _ = LogHeader::parse(bytes);
});

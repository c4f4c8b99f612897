//! Any bytes as an encoded chunk: no panic, no unbounded memory, and a header line likewise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rastro_broker::Chunk;
use rastro_model::LogHeader;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(chunk) = Chunk::decode(bytes) {
        let mut lines = Vec::new();
        let _ = chunk.payload.decompress(&mut lines);
    }
    let _ = LogHeader::parse(bytes);
});

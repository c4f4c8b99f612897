//! Chunks as bytes.

use proptest::prelude::*;
use rastro_broker::{Chunk, Payload};

use crate::chunk;

fn read(bytes: &[u8]) -> Option<(Chunk, Vec<u8>)> {
    let chunk = Chunk::decode(bytes).ok()?;
    let mut lines = Vec::new();
    chunk.payload.decompress(&mut lines).ok()?;
    Some((chunk, lines))
}

#[test]
fn a_chunk_survives_encoding() {
    let original = chunk(3, 5, 500);
    let (decoded, lines) = read(&original.encode().unwrap()).unwrap();
    assert_eq!(decoded, original);
    assert_eq!(lines.len(), 4950);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_payload_gives_back_what_was_put_in(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let mut back = vec![1, 2, 3];
        Payload::compress(&bytes).unwrap().decompress(&mut back).unwrap();
        prop_assert_eq!(back, bytes);
    }

    #[test]
    fn a_damaged_chunk_never_gives_other_lines(place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let original = chunk(3, 5, 500);
        let mut bytes = original.encode().unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let mut lines = Vec::new();
        original.payload.decompress(&mut lines).unwrap();
        if let Some((_, damaged)) = read(&bytes) {
            prop_assert_eq!(damaged, lines);
        }
    }
}

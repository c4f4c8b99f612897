//! Bodies as they are sent: as they are, or gzipped.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::client::Body;

/// Bodies below this are one packet either way.
const LEAST_BYTES: usize = 1024;

/// Above this, it takes long enough to be done elsewhere.
const LARGE_BYTES: usize = 64 * 1024;

/// A body with its headers.
pub(super) struct Packed {
    pub(super) content_type: &'static str,
    pub(super) bytes: Bytes,
    pub(super) is_gzipped: bool,
}

/// A body as it is sent; `None` if there is none.
pub(super) async fn packed(body: Body, compresses: bool) -> Option<Packed> {
    let (content_type, bytes) = match body {
        Body::None => return None,
        Body::Json(bytes) => ("application/json", bytes),
        Body::Lines(bytes) => ("application/x-ndjson", bytes),
    };
    if !compresses || bytes.len() < LEAST_BYTES {
        return Some(Packed { content_type, bytes, is_gzipped: false });
    }
    let plain = bytes.clone();
    let zipped = if bytes.len() < LARGE_BYTES {
        gzipped(&plain)
    } else {
        tokio::task::spawn_blocking(move || gzipped(&plain)).await.ok().flatten()
    };
    // Writing to memory does not fail; if it did, the body would be as good as it is.
    Some(match zipped {
        Some(zipped) => Packed { content_type, bytes: zipped, is_gzipped: true },
        None => Packed { content_type, bytes, is_gzipped: false },
    })
}

/// The fastest level: columns are compressed already, and documents of calls repeat themselves so much that any level does.
fn gzipped(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn only_what_is_worth_it_is_gzipped_and_it_is_the_same() {
        let large: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        for (length, compresses, is_gzipped) in
            [(200_000, true, true), (2_000, true, true), (1_000, true, false), (200_000, false, false)]
        {
            let body = Body::Lines(Bytes::copy_from_slice(&large[..length]));
            let packed = packed(body, compresses).await.unwrap();
            assert_eq!(packed.is_gzipped, is_gzipped, "{length}");
            let mut plain = Vec::new();
            if is_gzipped {
                assert!(packed.bytes.len() < length / 2);
                flate2::read::GzDecoder::new(&packed.bytes[..]).read_to_end(&mut plain).unwrap();
            } else {
                plain.extend_from_slice(&packed.bytes);
            }
            assert_eq!(plain, large[..length]);
        }
        assert!(packed(Body::None, true).await.is_none());
    }
}

//! A chunk: some whole lines of one file, compressed, with their identity.

use rastro_model::{Gap, Position, StreamId};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Largest payload of a chunk before compression, bytes. A length beyond it is refused before anything is allocated.
pub const MAX_PAYLOAD: usize = 16 * 1024 * 1024;

/// Some whole lines of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The stream that the lines belong to.
    pub stream: StreamId,
    /// Where the first line begins.
    pub start: Position,
    /// Where the last line ends (exclusive, line break included).
    pub end: Position,
    /// `end` of the stream's chunk before this one ([`Position::START`] for the first). Neighbours in the chain hold neighbouring
    /// bytes: what lies between `previous` and `start` is a header, the end of a finished file, or told in `gap`.
    pub previous: Position,
    /// Number of the first line: lines of the stream before it, over all generations.
    pub first_line: u64,
    /// Number of lines.
    pub lines: u32,
    /// Lines that were longer than the limit and were cut to it.
    pub cut_lines: u32,
    /// Something was lost directly before this chunk.
    pub gap: Option<Gap>,
    /// Name of the node.
    pub node: String,
    /// Path of the file, as bytes: a file's name need not be UTF-8.
    pub path: Vec<u8>,
    /// First line of the file if it is a header (`#rastro …`), opaque here.
    pub header: Option<Vec<u8>>,
    /// When the lines were read, nanoseconds since the epoch.
    pub read_ns: i64,
    /// The lines, each with its line break.
    pub payload: Payload,
}

/// Compressed bytes with their checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Length before compression, bytes.
    raw_length: u32,
    /// XXH3 of the bytes before compression.
    checksum: u64,
    /// One LZ4 block.
    #[serde(with = "byte_block")]
    block: Vec<u8>,
}

/// Writes and reads the block as one run of bytes; serde's own way for a `Vec<u8>` goes byte by byte. The encoded form is the same.
mod byte_block {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(block: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(block)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Block;
        impl de::Visitor<'_> for Block {
            type Value = Vec<u8>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a compressed block")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Block)
    }
}

/// A chunk is damaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// The payload says it is longer than [`MAX_PAYLOAD`].
    #[error("chunk payload of {0} bytes is larger than the limit of {MAX_PAYLOAD}")]
    TooLarge(u64),
    /// The payload does not decompress.
    #[error("chunk payload is damaged: {0}")]
    Compression(String),
    /// The payload decompresses to other bytes than were written.
    #[error("chunk payload is damaged: its checksum does not match")]
    Checksum,
    /// The encoded chunk cannot be read.
    #[error("chunk is damaged: {0}")]
    Encoding(String),
}

impl Payload {
    /// Compresses `bytes`, at most [`MAX_PAYLOAD`] of them.
    pub fn compress(bytes: &[u8]) -> Result<Self, ChunkError> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(ChunkError::TooLarge(bytes.len() as u64));
        }
        Ok(Self {
            raw_length: bytes.len() as u32,
            checksum: xxh3_64(bytes),
            block: lz4_flex::block::compress(bytes),
        })
    }

    /// The bytes that were compressed, written over `buffer`.
    pub fn decompress(&self, buffer: &mut Vec<u8>) -> Result<(), ChunkError> {
        let length = self.raw_length as usize;
        if length > MAX_PAYLOAD {
            return Err(ChunkError::TooLarge(u64::from(self.raw_length)));
        }
        buffer.clear();
        buffer.resize(length, 0);
        let written = lz4_flex::block::decompress_into(&self.block, buffer)
            .map_err(|error| ChunkError::Compression(error.to_string()))?;
        if written == length && xxh3_64(buffer) == self.checksum { Ok(()) } else { Err(ChunkError::Checksum) }
    }

    /// Size as it travels, bytes.
    pub const fn compressed_length(&self) -> usize {
        self.block.len()
    }

    /// Size of the lines, bytes.
    pub const fn raw_length(&self) -> usize {
        self.raw_length as usize
    }
}

impl Chunk {
    /// The chunk as bytes (postcard).
    pub fn encode(&self) -> Result<Vec<u8>, ChunkError> {
        postcard::to_stdvec(self).map_err(|error| ChunkError::Encoding(error.to_string()))
    }

    /// Reads what [`Chunk::encode`] wrote. Never panics; allocates no more than the input is long.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChunkError> {
        postcard::from_bytes(bytes).map_err(|error| ChunkError::Encoding(error.to_string()))
    }
}

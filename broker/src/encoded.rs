//! A chunk as it is stored or sent: its bytes, and what the broker must know of it to put it in its place.

use rastro_model::{Position, StreamId};

use crate::{BrokerError, Chunk};

/// An encoded chunk with its place in its stream.
#[derive(Debug)]
pub(crate) struct EncodedChunk {
    pub(crate) stream: StreamId,
    pub(crate) previous: Position,
    pub(crate) end: Position,
    pub(crate) next_line: u64,
    pub(crate) bytes: Vec<u8>,
}

impl EncodedChunk {
    pub(crate) fn new(chunk: &Chunk) -> Result<Self, BrokerError> {
        Ok(Self {
            stream: chunk.stream,
            previous: chunk.previous,
            end: chunk.end,
            next_line: chunk.first_line + u64::from(chunk.lines),
            bytes: chunk.encode()?,
        })
    }
}

//! Chunks on their way from shippers to transformers.
//!
//! [`Broker`] is the one trait; [`embedded`] is its home on the disk of one machine (a bounded SQLite queue), [`mod@redis`] its
//! home in Redis Streams, and [`redis::list`] a list of documents as Filebeat writes them. None knows what a line means: a [`Chunk`] is some whole lines of one file, compressed, with the identity that makes repeats vanish.

pub mod chunk;
pub mod embedded;
mod encoded;
pub mod redis;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rastro_model::{Position, StreamId};
use tokio::sync::watch;

pub use self::redis::{
    RedisBroker, RedisConfig, RedisError,
    list::{ListBroker, ListConfig},
};
pub use chunk::{Chunk, ChunkError, Payload};
pub use embedded::{EmbeddedBroker, EmbeddedConfig, Opened, QueueState};

/// What a broker cannot do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The queue's file cannot be used; the message names the file and what to do.
    #[error("broker queue `{path}`: {message}")]
    Queue {
        /// The file.
        path: String,
        /// What happened and what to do.
        message: String,
    },
    /// A chunk does not fit where its stream stands and is no repeat either.
    #[error(
        "stream {stream}: a chunk follows {previous}, but the broker holds the stream up to {held}; the shipper has to go on from there"
    )]
    OutOfOrder {
        /// The stream.
        stream: StreamId,
        /// What the chunk says it follows.
        previous: Position,
        /// Where the broker stands.
        held: Position,
    },
    /// Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// A chunk is damaged.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The broker is closing.
    #[error("the broker is closed")]
    Closed,
}

/// Where a stream stands in the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnd {
    /// End of the last chunk that the broker accepted.
    pub position: Position,
    /// Number of the next line (lines of the stream before `position`, over all generations).
    pub next_line: u64,
}

/// A chunk handed to a consumer, to be acknowledged once its results are stored.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What to acknowledge. Rises within a stream.
    pub id: u64,
    /// The chunk.
    pub chunk: Chunk,
}

/// How full the broker is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Chunks that wait or are delivered and not acknowledged.
    pub chunks: u64,
    /// Their size as stored, bytes.
    pub bytes: u64,
    /// Bound of `bytes`; [`Broker::append`] waits at it.
    pub limit_bytes: u64,
}

/// A bounded queue of chunks with acknowledgement.
///
/// Chunks of one stream are delivered in the order of their positions; streams are independent. Delivery is at least once:
/// what was delivered and not acknowledged when the process died is delivered again.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Accepts `chunks` in order; they survive kill -9 once this returns. A chunk that the broker has already accepted
    /// (its end is not beyond its stream's end) is skipped without an error. Waits while the queue is full: that wait is the
    /// back-pressure that makes the shipper stop reading.
    ///
    /// Returns the number of chunks that were new.
    async fn append(&self, chunks: Vec<Chunk>) -> Result<usize, BrokerError>;

    /// Where `stream` stands; `None` if the broker has never seen it (or has lost its file).
    async fn stream_end(&self, stream: StreamId) -> Result<Option<StreamEnd>, BrokerError>;

    /// Takes chunks that have not been taken since this broker was opened, up to about `max_bytes` of compressed payload and at
    /// least one; waits up to `wait` if there is none, then returns an empty list.
    async fn take(&self, max_bytes: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError>;

    /// The results of these deliveries are stored: forget the chunks.
    async fn acknowledge(&self, ids: &[u64]) -> Result<(), BrokerError>;

    /// Makes chunks that were taken and not acknowledged available again, in their order.
    async fn release(&self, ids: &[u64]) -> Result<(), BrokerError>;

    /// How full it is.
    async fn depth(&self) -> Result<Depth, BrokerError>;

    /// What was accepted before this moment survives a power loss, too. A broker whose server writes to its disk later than it answers
    /// is behind; until then, nobody may throw away what the chunks were made from.
    fn durable_before(&self) -> Instant {
        Instant::now()
    }

    /// Gives back what others wait for. What is taken and not acknowledged is delivered again, here or elsewhere.
    async fn close(&self) {}

    /// Changes when the broker has found that chunks which it had accepted are gone, and that it cannot bring them back by itself: the
    /// streams stand where [`stream_end`](Self::stream_end) says, and are to be shipped again from there. Never changes for a broker
    /// that does not lose.
    fn regressions(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

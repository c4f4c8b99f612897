//! The broker's home in Redis 7 (or anything that speaks its protocol): Streams, drained by one consumer group.
//!
//! # Layout
//! All keys begin with `{prefix}:`, `rastro` by default. `N` partitions, laid out once (`meta`), each a Redis stream `<n>:chunks` with one
//! encoded chunk an entry. A file's stream belongs to one partition for ever, by its hash. Beside them: `ends` (a hash: where each
//! stream stands), `bytes` (a hash: bytes held, by partition), `leases`, `consumers`, `bell` (wakes idle consumers), `damaged`.
//!
//! Why not one Redis stream a file with ids made of the position, so that Redis itself refuses repeats? It would refuse them, and it would
//! accept a chunk that leaves a hole; and a consumer would have to find and read ten thousand streams. A script that appends only
//! where `ends` says that the chunk follows refuses both, for every file at once, and lets a fixed number of partitions be shared out.
//!
//! # What is atomic
//! Accepting a chunk (its end, its bytes, its entry), acknowledging one, and leasing partitions are scripts: they happen whole or not at
//! all, also in Redis' append-only file. Sending any of them twice is as good as once, so all are sent again until answered. A script
//! changes nothing before Redis' own refusals (out of memory, read-only, disk failing) have had their chance.
//!
//! # Order
//! A partition is leased to one consumer at a time, hence each file's chunks are handled in order. The lease names the epoch
//! of the consumer's connection, and reading is refused to any other: a command that a stopped Redis finds in the buffer of a dead connection does nothing. A
//! new lease first claims (`XAUTOCLAIM`) what the last owner had taken and not acknowledged. Consumers share the partitions evenly.
//! A consumer that was stopped for longer than its lease may still finish what it has in hand: the store knows it by its position.
//!
//! # Room
//! The bound is over all partitions, kept by the same script, so it is exact. What the group has acknowledged is deleted at once and
//! nothing else ever is.
//!
//! # A Redis that comes back without its last writes
//! With `appendfsync everysec` a power loss takes back a second. What this process had accepted in the last seconds it remembers and sends again,
//! the same chunks at the same places, whenever it makes a new connection or sees a stream behind where it was. Beyond that
//! (more than it remembers, a snapshot restored, the sender lost at the same moment) the chunks are the shipper's to read again: it is told by
//! [`Broker::regressions`] and [`BrokerError::OutOfOrder`], or asks [`Broker::stream_end`] when it starts. So that the files are still there,
//! [`Broker::durable_before`] stays behind by [`RedisConfig::resend_window`], during which the same Redis must have gone on answering.
//!
//! # Where
//! One server, `redis://` or `rediss://`; or Sentinels and a master's name; or nodes of a cluster, where one namespace lives on one node
//! (the braces in its keys) and is found by following `MOVED`. A failover may lose what the old master had not passed on: as above.
//!
//! # What a user needs to be permitted
//! `~{rastro}:*` and `+@read +@write +@stream +@scripting +@connection +time`; for the checks `+info +config|get`.

mod backoff;
mod checks;
mod config;
mod consumer;
mod core;
mod dial;
mod error;
mod keys;
pub mod list;
mod recent;
mod scripts;
mod writer;

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rastro_model::StreamId;
use tokio::{sync::watch, task::JoinSet};

use crate::{Broker, BrokerError, Chunk, Delivery, Depth, StreamEnd, encoded::EncodedChunk};
use consumer::Consumer;
use core::Core;
use keys::Keys;

pub use checks::{CheckLevel, RedisCheck};
pub use config::{RedisConfig, Secret};
pub use error::RedisError;

/// A bounded queue in Redis Streams. See the [module](self) for what it promises.
pub struct RedisBroker {
    core: Arc<Core>,
    consumer: Arc<Consumer>,
    /// What works in the background: guarding what was appended, and, once something is taken, leases and the bell.
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    running: JoinSet<()>,
    is_taking: bool,
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker").field("config", &self.core.config).finish_non_exhaustive()
    }
}

impl RedisBroker {
    /// Connects, and lays the namespace out if it is new. Says at once what is wrong; where [`RedisError::is_transient`] holds, trying
    /// again later can help. Afterwards a connection that breaks is made anew for as long as it takes.
    pub async fn connect(config: RedisConfig) -> Result<Self, RedisError> {
        let keys = Keys::new(&config.prefix);
        Self::connect_with(config, keys).await
    }

    async fn connect_with(config: RedisConfig, keys: Keys) -> Result<Self, RedisError> {
        let name = format!("{}-{:08x}", config.consumer, RandomState::new().hash_one(0_u8) as u32);
        let core = Arc::new(Core::new(config, keys)?);
        let live = core.connect_once().await?;
        core.check_types(&live).await?;
        if core.partitions() != core.config.partitions {
            tracing::warn!(
                configured = core.config.partitions,
                in_use = core.partitions(),
                "the queue in redis was laid out with another number of partitions; using that"
            );
        }
        let mut tasks = Tasks::default();
        tasks.running.spawn(writer::guard(Arc::clone(&core)));
        Ok(Self { core, consumer: Arc::new(Consumer::new(name)), tasks: Mutex::new(tasks) })
    }

    /// Looks at what would lose chunks: persistence, eviction, memory, role, version, keys of other programs.
    pub async fn checks(&self) -> Result<Vec<RedisCheck>, RedisError> {
        let live = self.core.connect_once().await?;
        checks::checks(&self.core, &live).await
    }

    /// Closes the broker: what waits in it returns [`BrokerError::Closed`], and its partitions go to other consumers at once instead of
    /// when their lease ends. Dropping it does the first.
    pub async fn close(&self) {
        let is_taking = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).is_taking;
        if is_taking {
            let leaving = self.consumer.leave(&self.core);
            match tokio::time::timeout(self.core.config.command_timeout, leaving).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "partitions of the queue are not given back; their lease will end");
                }
                Err(_) => {
                    tracing::warn!(
                        "partitions of the queue are not given back in time; their lease will end"
                    );
                }
            }
        }
        self.shut();
    }

    fn shut(&self) {
        self.core.close();
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).running.abort_all();
    }

    fn begin_taking(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if !tasks.is_taking && !self.core.is_closed() {
            tasks.is_taking = true;
            tasks.running.spawn(Arc::clone(&self.consumer).keep_leases(Arc::clone(&self.core)));
            tasks.running.spawn(Arc::clone(&self.consumer).listen(Arc::clone(&self.core)));
        }
    }
}

impl Drop for RedisBroker {
    fn drop(&mut self) {
        self.shut();
    }
}

#[async_trait]
impl Broker for RedisBroker {
    /// As the trait says. A chunk that may have arrived with an attempt whose answer was lost counts as new.
    async fn append(&self, chunks: Vec<Chunk>) -> Result<usize, BrokerError> {
        let chunks =
            chunks.iter().map(|chunk| EncodedChunk::new(chunk).map(Arc::new)).collect::<Result<_, _>>()?;
        writer::append(&self.core, chunks).await
    }

    async fn stream_end(&self, stream: StreamId) -> Result<Option<StreamEnd>, BrokerError> {
        let mut ask = redis::cmd("HGET");
        ask.arg(&self.core.keys.authority).arg(stream.to_string());
        let text: Option<String> = self.core.persist(&ask).await?;
        let end = |text: String| {
            let address = self.core.config.addresses.first().map(|address| config::redact(address));
            keys::decode_end(&text)
                .ok_or_else(|| RedisError::unexpected(&address.unwrap_or_default(), "the end of a stream"))
        };
        let end = text.map(end).transpose()?;
        self.core.recent().heard(stream, end.map(|end| end.position), Instant::now());
        self.core.appended.notify_one();
        Ok(end)
    }

    /// As the trait says, of the partitions that this consumer leases. While Redis cannot be reached it waits for it within `wait`
    /// (or for the time that a command may take), and then has nothing.
    async fn take(&self, max_bytes: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.begin_taking();
        self.consumer.take(&self.core, max_bytes, wait).await
    }

    async fn acknowledge(&self, ids: &[u64]) -> Result<(), BrokerError> {
        self.consumer.acknowledge(&self.core, ids).await
    }

    async fn release(&self, ids: &[u64]) -> Result<(), BrokerError> {
        self.consumer.release(ids);
        Ok(())
    }

    async fn close(&self) {
        Self::close(self).await;
    }

    fn durable_before(&self) -> Instant {
        self.core.recent().durable_before()
    }

    fn regressions(&self) -> watch::Receiver<u64> {
        self.core.regressions.subscribe()
    }

    /// As the trait says; one attempt, so that it can tell whether Redis answers.
    async fn depth(&self) -> Result<Depth, BrokerError> {
        let live = self.core.connect_once().await?;
        match writer::depth(&self.core, &live).await {
            Ok((chunks, bytes)) => {
                metrics::gauge!("rastro_broker_queue_chunks").set(chunks as f64);
                metrics::gauge!("rastro_broker_queue_bytes").set(bytes as f64);
                Ok(Depth { chunks, bytes, limit_bytes: self.core.config.limit_bytes })
            }
            Err(error) => Err(self.core.given_up(&live, error).await),
        }
    }
}

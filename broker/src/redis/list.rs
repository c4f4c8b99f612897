//! A Redis list of documents as Filebeat 7.13 writes them (`SPEC` 1.3), in place of the queue of chunks, at either end: an existing Logstash
//! can read what Rastro's shipper writes, and an existing Filebeat can feed Rastro's transformer.
//!
//! # Writing
//! [`Broker::append`] puts each line of a chunk into the list as one JSON document with all of Filebeat's members, and one more, `rastro`
//! (generation, length, header of the file, what was lost before the line), which other readers ignore. As Filebeat does it, empty lines are left out, and bytes that
//! are not UTF-8 become U+FFFD: a list cannot give them back. Documents and the place of their stream (`{key}:written`) go in by one
//! script, so that what is sent again after a lost answer is there once. The list is bounded in documents; appending waits at the bound.
//!
//! # Reading
//! One reader at a time holds the list's lock (`{key}:lock`, a lease); others stand by. It moves documents to `{key}:taken`, and from there, by
//! one script, chunks made of them into a queue in [Redis Streams](super), whose keys begin with `{key}:`. From there on everything is as
//! with the queue: shared by any number of transformers, removed after the store has confirmed. A reader that dies leaves what it had
//! moved where its successor begins.
//!
//! # What is exactly once, and what is not
//! - From the list into the store: each document once, whoever is killed in between.
//! - From a file by Rastro's shipper into the list: each line once. If Redis comes back without its last second (`appendfsync
//!   everysec`), the shipper writes that again, and a Logstash that had taken it already takes it twice; Rastro's own reader is in the same
//!   Redis and goes back with it.
//! - From a file by Filebeat into the list: at least once, as Filebeat has it. Of what it sends again, Rastro knows the last 2,048 lines of each file
//!   as long as its reader lives; what goes further back is taken for a new file, and stored again rather than dropped.
//! - Filebeat's documents do not tell lost lines, which file they were in once the name was given to another, or the file's header.
//!   Offsets that go back begin a new generation; lines of the old file that Filebeat sends between those of the new one begin others.
//!
//! A document without `message` or path, or with a line break in its message, is never dropped and stops nothing: its whole text is a line of a stream named after the
//! list, and becomes a dead letter there. One of more than 8 MiB is put aside in `{key}:aside`.
//!
//! A list that Filebeat fills has no bound of ours: while nothing is read it grows as far as Redis lets it.
//!
//! # What a user needs to be permitted
//! As for the [queue](super), with `~{key}` and `~{{key}}:*` in place of its keys: for the key `k8s`, `~k8s ~{k8s}:*`.

mod cut;
mod document;
mod host;
mod import;
mod push;
mod write;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rastro_model::StreamId;
use tokio::{sync::watch, task::JoinSet};

use super::{RedisBroker, RedisConfig, RedisError, keys::Keys};
use crate::{Broker, BrokerError, Chunk, Delivery, Depth, StreamEnd};
use import::Importer;

/// How a [`ListBroker`] is set up.
#[derive(Debug, Clone)]
pub struct ListConfig {
    /// Where Redis is, and how the queue behind the list is kept; its `prefix` is not used.
    pub redis: RedisConfig,
    /// Key of the list; Filebeat's `output.redis.key`.
    pub key: String,
    /// Name of the node in documents that are written.
    pub node: String,
    /// Bound of the list in documents; appending waits at it.
    pub limit_documents: u64,
}

/// The keys beside the list, in the same slot of a cluster.
#[derive(Debug, Clone)]
struct ListKeys {
    /// The list.
    list: String,
    /// Hash: stream → where it stands in the list.
    written: String,
    /// List: documents that are being handled.
    taken: String,
    /// Text: who reads.
    lock: String,
    /// List: documents that are too large.
    aside: String,
}

impl ListKeys {
    fn new(key: &str) -> Self {
        let beside = |name: &str| format!("{{{key}}}:{name}");
        Self {
            list: key.to_owned(),
            written: beside("written"),
            taken: beside("taken"),
            lock: beside("lock"),
            aside: beside("aside"),
        }
    }

    fn types(&self) -> Vec<(String, &'static str)> {
        let types = [
            (&self.list, "list"),
            (&self.written, "hash"),
            (&self.taken, "list"),
            (&self.lock, "string"),
            (&self.aside, "list"),
        ];
        types.map(|(key, kind)| (key.clone(), kind)).to_vec()
    }
}

/// A list of Filebeat's documents. See the [module](self) for what it promises.
pub struct ListBroker {
    config: ListConfig,
    keys: ListKeys,
    /// What is the same in every document.
    members: String,
    queue: RedisBroker,
    importer: Arc<Importer>,
    reading: Mutex<JoinSet<()>>,
}

impl fmt::Debug for ListBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListBroker").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ListBroker {
    /// Connects; says at once what is wrong, as [`RedisBroker::connect`] does.
    pub async fn connect(config: ListConfig) -> Result<Self, RedisError> {
        let keys = ListKeys::new(&config.key);
        let redis = RedisConfig { prefix: config.key.clone(), ..config.redis.clone() };
        let mut all = Keys::new(&redis.prefix);
        all.authority.clone_from(&keys.written);
        all.others = keys.types();
        let queue = RedisBroker::connect_with(redis, all).await.map_err(|error| match error {
            RedisError::Config { key: "prefix", message } => RedisError::Config { key: "list_key", message },
            error => error,
        })?;
        let importer = Importer::new(Arc::clone(&queue.core), keys.clone(), queue.consumer.name().to_owned());
        Ok(Self {
            members: host::members(&config.node),
            keys,
            importer: Arc::new(importer),
            reading: Mutex::default(),
            queue,
            config,
        })
    }

    /// As [`RedisBroker::close`]; the list's lock is given back, too.
    pub async fn close(&self) {
        let is_reading = {
            let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
            let is_reading = !reading.is_empty();
            reading.abort_all();
            is_reading
        };
        if is_reading {
            let leaving = self.importer.leave();
            if !matches!(tokio::time::timeout(self.config.redis.command_timeout, leaving).await, Ok(Ok(()))) {
                tracing::warn!("the lock of the list is not given back; its lease will end");
            }
        }
        self.queue.close().await;
    }

    fn begin_reading(&self) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.is_empty() && !self.queue.core.is_closed() {
            reading.spawn(Arc::clone(&self.importer).run());
        }
    }
}

#[async_trait]
impl Broker for ListBroker {
    /// As the trait says; counts runs of documents that were new.
    async fn append(&self, chunks: Vec<Chunk>) -> Result<usize, BrokerError> {
        let mut runs = Vec::new();
        for chunk in &chunks {
            runs.extend(write::runs_of(chunk, &self.members)?);
        }
        drop(chunks);
        push::push(&self.queue.core, &self.keys, &runs, self.config.limit_documents).await
    }

    /// Where a stream stands in the list.
    async fn stream_end(&self, stream: StreamId) -> Result<Option<StreamEnd>, BrokerError> {
        self.queue.stream_end(stream).await
    }

    async fn take(&self, max_bytes: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        if let Some(error) = self.importer.failure() {
            return Err(error);
        }
        self.begin_reading();
        self.queue.take(max_bytes, wait).await
    }

    async fn acknowledge(&self, ids: &[u64]) -> Result<(), BrokerError> {
        self.queue.acknowledge(ids).await
    }

    async fn release(&self, ids: &[u64]) -> Result<(), BrokerError> {
        self.queue.release(ids).await
    }

    async fn close(&self) {
        Self::close(self).await;
    }

    fn durable_before(&self) -> Instant {
        self.queue.durable_before()
    }

    fn regressions(&self) -> watch::Receiver<u64> {
        self.queue.regressions()
    }

    /// As the trait says; a document of the list counts as a chunk.
    async fn depth(&self) -> Result<Depth, BrokerError> {
        let core = &self.queue.core;
        let live = core.connect_once().await?;
        let mut ask = redis::pipe();
        // What moves meanwhile moves from the first to the last: counted in this order, it is seen at least once.
        ask.cmd("LLEN").arg(&self.keys.list).cmd("LLEN").arg(&self.keys.taken);
        let documents: Vec<u64> = match live.ask_all(&ask).await {
            Ok(documents) => documents,
            Err(error) => return Err(core.given_up(&live, error).await),
        };
        let documents: u64 = documents.iter().sum();
        metrics::gauge!("rastro_broker_list_documents").set(documents as f64);
        let queue = self.queue.depth().await?;
        Ok(Depth { chunks: queue.chunks + documents, ..queue })
    }
}

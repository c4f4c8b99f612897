//! The reading side: documents leave the list and become chunks of the queue, in one step each time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rastro_model::StreamId;

use super::{ListKeys, cut, cut::Memory, document};
use crate::{
    BrokerError, Chunk, StreamEnd,
    redis::{
        backoff::Backoff,
        core::{Core, Live},
        error::RedisError,
        keys::{decode_end, encode_position, partition_of},
        scripts,
        writer::ROOM_POLL,
    },
};

/// Documents that are taken at once, at most.
const DOCUMENTS_AT_ONCE: usize = 4096;
/// And their bytes. Redis does nothing else while it moves them.
const BYTES_AT_ONCE: usize = 2 * 1024 * 1024;
/// A larger document is put aside unread.
const LARGEST_DOCUMENT: usize = 8 * 1024 * 1024;
/// How long to wait before an empty list is looked at again: at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// Streams of which it is remembered where they stand.
const STREAMS_REMEMBERED: usize = 100_000;

/// Reads a list, as one of those who do so in turn.
pub(super) struct Importer {
    core: Arc<Core>,
    keys: ListKeys,
    name: String,
    failure: Mutex<Option<BrokerError>>,
}

/// What is known as long as nothing fails and nobody else reads.
#[derive(Default)]
struct Known {
    ends: HashMap<StreamId, StreamEnd>,
    memory: Memory,
}

enum Step {
    Imported,
    Nothing,
    /// Somebody else reads, or has read.
    Others,
}

impl Importer {
    pub(super) fn new(core: Arc<Core>, keys: ListKeys, name: String) -> Self {
        Self { core, keys, name, failure: Mutex::default() }
    }

    /// What ended the reading for good.
    pub(super) fn failure(&self) -> Option<BrokerError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reads until the broker is closed, or something is wrong that waiting does not mend.
    pub(super) async fn run(self: Arc<Self>) {
        if let Err(error) = self.read().await
            && !matches!(error, BrokerError::Closed)
        {
            tracing::error!(%error, list = self.keys.list, "the list is not read any more");
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    async fn read(&self) -> Result<(), BrokerError> {
        let core = &self.core;
        let mut known = Known::default();
        let mut trouble = Backoff::new();
        let mut idle = Backoff::between(LOOK_AGAIN.0, LOOK_AGAIN.1);
        loop {
            let live = core.connected().await?;
            let step = match self.step(&live, &mut known).await {
                Ok(step) => step,
                Err(BrokerError::Redis(error)) => {
                    // Whether the last step was taken is not known: where streams stand is asked anew.
                    known = Known::default();
                    core.wait_out(&live, error, &mut trouble).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            trouble = Backoff::new();
            let pause = match step {
                Step::Imported => {
                    idle = Backoff::between(LOOK_AGAIN.0, LOOK_AGAIN.1);
                    continue;
                }
                Step::Nothing => idle.next_delay(),
                Step::Others => {
                    known = Known::default();
                    core.config.lease / 3
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = core.closed() => return Ok(()),
            }
        }
    }

    /// Takes documents and imports them.
    async fn step(&self, live: &Live, known: &mut Known) -> Result<Step, BrokerError> {
        let core = &self.core;
        let keys = [&self.keys.lock, &self.keys.list, &self.keys.taken, &self.keys.aside];
        let mut take = scripts::LIST_TAKE.call(&keys);
        take.arg(&self.name)
            .arg(core.config.lease.as_millis() as u64)
            .arg(DOCUMENTS_AT_ONCE)
            .arg(BYTES_AT_ONCE)
            .arg(LARGEST_DOCUMENT);
        let (status, texts): (String, Vec<Vec<u8>>) = live.ask(&take).await?;
        match status.as_str() {
            "mine" if texts.is_empty() => return Ok(Step::Nothing),
            "mine" => {}
            "aside" => {
                let size = texts.first().map(|size| String::from_utf8_lossy(size).into_owned());
                tracing::error!(
                    list = self.keys.list,
                    kept_in = self.keys.aside,
                    bytes = size.as_deref().unwrap_or_default(),
                    "a document of the list is too large to be one line; it is put aside"
                );
                metrics::counter!("rastro_broker_list_set_aside_total").increment(1);
                return Ok(Step::Imported);
            }
            _ => return Ok(Step::Others),
        }
        let documents: Vec<_> = texts.iter().map(|text| document::read(&self.keys.list, text)).collect();
        let count = texts.len();
        drop(texts);
        self.learn(live, documents.iter().map(|document| document.stream), known).await?;
        let mut ends = known.ends.clone();
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        let cut = cut::cut(documents, &mut ends, &mut known.memory, now_ns)?;
        let mut room = Backoff::between(ROOM_POLL.0, ROOM_POLL.1);
        loop {
            match self.import(live, count, &cut.chunks).await?.as_str() {
                "done" => break,
                "full" => tokio::select! {
                    () = tokio::time::sleep(room.next_delay()) => {}
                    () = core.closed() => return Ok(Step::Others),
                },
                _ => return Ok(Step::Others),
            }
        }
        known.ends = ends;
        metrics::counter!("rastro_broker_list_documents_total").increment(count as u64);
        metrics::counter!("rastro_broker_list_repeats_total").increment(cut.repeats);
        metrics::counter!("rastro_broker_list_strange_documents_total").increment(cut.strange);
        Ok(Step::Imported)
    }

    /// Asks where streams stand that are met for the first time.
    async fn learn(
        &self,
        live: &Live,
        streams: impl Iterator<Item = StreamId>,
        known: &mut Known,
    ) -> Result<(), RedisError> {
        if known.ends.len() > STREAMS_REMEMBERED {
            known.ends.clear();
        }
        let mut unknown: Vec<StreamId> = streams.filter(|stream| !known.ends.contains_key(stream)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = unknown.iter().map(StreamId::to_string).collect();
        let texts: Vec<Option<String>> =
            live.ask(redis::cmd("HMGET").arg(&self.core.keys.ends).arg(names)).await?;
        for (stream, text) in unknown.into_iter().zip(texts) {
            if let Some(text) = text {
                let end = decode_end(&text).ok_or_else(|| live.unexpected("the end of a stream"))?;
                known.ends.insert(stream, end);
            }
        }
        Ok(())
    }

    async fn import(&self, live: &Live, documents: usize, chunks: &[Chunk]) -> Result<String, BrokerError> {
        let core = &self.core;
        let partitions = core.partitions();
        let mut touched: Vec<u32> =
            chunks.iter().map(|chunk| partition_of(chunk.stream, partitions)).collect();
        touched.sort_unstable();
        touched.dedup();
        let mut keys = vec![
            self.keys.lock.clone(),
            self.keys.taken.clone(),
            core.keys.ends.clone(),
            core.keys.bytes.clone(),
            core.keys.bell.clone(),
        ];
        keys.extend(touched.iter().map(|partition| core.keys.chunks(*partition)));
        let mut call = scripts::LIST_IMPORT.call(&keys);
        call.arg(&self.name)
            .arg(core.config.lease.as_millis() as u64)
            .arg(core.config.limit_bytes)
            .arg(documents);
        // The last chunk of a stream says where it stands.
        let ends: HashMap<StreamId, &Chunk> = chunks.iter().map(|chunk| (chunk.stream, chunk)).collect();
        call.arg(ends.len());
        for (stream, chunk) in ends {
            let next_line = chunk.first_line + u64::from(chunk.lines);
            call.arg(stream.to_string()).arg(encode_position(chunk.end)).arg(next_line);
        }
        for chunk in chunks {
            let partition = partition_of(chunk.stream, partitions);
            call.arg(touched.partition_point(|one| *one <= partition)).arg(partition).arg(chunk.encode()?);
        }
        Ok(live.ask(&call).await?)
    }

    /// Lets the next reader begin at once.
    pub(super) async fn leave(&self) -> Result<(), RedisError> {
        let live = self.core.connect_once().await?;
        live.ask(scripts::LIST_LEAVE.call(&[&self.keys.lock]).arg(&self.name)).await
    }
}

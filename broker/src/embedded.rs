//! The broker's home on the disk of one machine: a bounded queue in one SQLite file.
//!
//! One thread owns the connection; callers talk to it through a channel, so no caller ever blocks a runtime thread on the disk.
//!
//! # What survives what
//! The file is in WAL mode with `synchronous = NORMAL`. What [`Broker::append`] has returned for survives the death of the process
//! at any moment, kill -9 included: the bytes are with the operating system. A power loss may take the last commits back, always
//! to a consistent earlier state of the whole file; the shipper, which asks for [`Broker::stream_end`] at its start, then sends
//! those chunks again from the log files.
//!
//! # What is remembered
//! Chunks until they are acknowledged, and where every stream stands for ever. Which chunks are delivered is kept in memory only:
//! a broker that is opened again delivers everything that is not acknowledged, in order.
//!
//! # Damage
//! The file is checked whole when it is opened (its structure by SQLite, every chunk by its checksum). A damaged file is set aside
//! as `<file>.corrupt-<n>` and a new one begins; [`Opened::state`] says so, and the caller rewinds the shipper to what the store
//! holds. Damage that shows later makes every call fail with a sentence that says to start again, and leaves a marker by which the
//! next start knows.
//!
//! # Room
//! The bound counts chunks as they are stored. The file keeps its highest size and is filled again from within. A full disk makes
//! [`Broker::append`] wait and try again; nothing is lost by it.

mod file;
mod worker;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use rastro_model::StreamId;
use tokio::sync::oneshot;

use crate::{Broker, BrokerError, Chunk, Delivery, Depth, StreamEnd, encoded::EncodedChunk};
use file::QueueFile;
use worker::{Command, Shared, Worker};

/// How an [`EmbeddedBroker`] is set up.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Bound of the chunks kept, bytes as stored; [`Broker::append`] waits at it. A single larger chunk is accepted into an empty
    /// queue.
    pub limit_bytes: u64,
    /// How long to wait before a write is tried again that found the disk full.
    pub disk_full_retry: Duration,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { limit_bytes: 256 * 1024 * 1024, disk_full_retry: Duration::from_secs(1) }
    }
}

/// What was found when the queue was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueState {
    /// There was a sound queue.
    Sound,
    /// There was none; an empty one was made. If a shipper has a checkpoint all the same, the queue was removed: rewind it.
    Created,
    /// The queue was damaged and is set aside under this path; an empty one was made. Rewind the shipper.
    Quarantined(PathBuf),
}

/// An opened queue and what was found.
#[derive(Debug)]
pub struct Opened {
    /// The queue.
    pub broker: EmbeddedBroker,
    /// What was found.
    pub state: QueueState,
}

/// A bounded queue in one SQLite file. See the [module](self) for what it promises.
#[derive(Debug)]
pub struct EmbeddedBroker {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Opens the queue in the file `path` and makes it if there is none. The directory must exist.
    ///
    /// Reads the whole file once to check it; call it where blocking is allowed.
    pub fn open(path: &Path, config: &EmbeddedConfig) -> Result<Opened, BrokerError> {
        let (file, state) = QueueFile::open(path)?;
        let shared = Arc::new(Shared::default());
        let (commands, received) = mpsc::channel();
        let worker = Worker::new(file, config, Arc::clone(&shared))?;
        let thread = std::thread::Builder::new()
            .name("rastro-broker".to_owned())
            .spawn(move || worker.run(&received))
            .map_err(|error| BrokerError::Queue {
                path: path.display().to_string(),
                message: format!("no thread can be started for it: {error}"),
            })?;
        Ok(Opened { broker: Self { commands, shared, thread: Some(thread) }, state })
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, BrokerError>>) -> Command,
    ) -> Result<T, BrokerError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| BrokerError::Closed)?;
        answer.await.map_err(|_| BrokerError::Closed)?
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        // Waits for the thread, so that the file is closed and free when the drop returns.
        if self.commands.send(Command::Close).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn append(&self, chunks: Vec<Chunk>) -> Result<usize, BrokerError> {
        let chunks = chunks.iter().map(EncodedChunk::new).collect::<Result<_, _>>()?;
        self.ask(|reply| Command::Append { chunks, reply }).await
    }

    async fn stream_end(&self, stream: StreamId) -> Result<Option<StreamEnd>, BrokerError> {
        self.ask(|reply| Command::StreamEnd { stream, reply }).await
    }

    async fn take(&self, max_bytes: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // Registered before the look, so that a chunk that arrives in between wakes the wait.
            let arrived = self.shared.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let commands = self.commands.clone();
            let batch = self.ask(|reply| Command::Take { max_bytes, commands, reply }).await?;
            let deliveries = batch.accept();
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            if tokio::time::timeout_at(deadline, arrived).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    async fn acknowledge(&self, ids: &[u64]) -> Result<(), BrokerError> {
        let ids = ids.to_vec();
        self.ask(|reply| Command::Acknowledge { ids, reply }).await
    }

    async fn release(&self, ids: &[u64]) -> Result<(), BrokerError> {
        let ids = ids.to_vec();
        self.ask(|reply| Command::Release { ids, reply: Some(reply) }).await
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        Ok(self.shared.depth())
    }
}

#[cfg(test)]
mod tests {
    use rastro_model::Position;

    use super::*;
    use crate::Payload;

    fn noise_chunk(number: u64) -> Chunk {
        let mut state = number + 1;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .take(40_000)
        .collect();
        Chunk {
            stream: StreamId(1),
            start: Position::new(0, number),
            end: Position::new(0, number + 1),
            previous: Position::new(0, number),
            first_line: number,
            lines: 1,
            cut_lines: 0,
            gap: None,
            node: "node".to_owned(),
            path: b"/log".to_vec(),
            header: None,
            read_ns: 0,
            payload: Payload::compress(&bytes).unwrap(),
        }
    }

    fn run_sql(broker: &EmbeddedBroker, sql: &'static str) {
        let inspect = Box::new(move |connection: &rusqlite::Connection| {
            connection.prepare(sql).unwrap().query([]).unwrap().next().unwrap();
        });
        broker.commands.send(Command::Inspect(inspect)).unwrap();
    }

    #[tokio::test]
    async fn an_append_to_a_full_disk_waits_and_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let config =
            EmbeddedConfig { disk_full_retry: Duration::from_millis(20), ..EmbeddedConfig::default() };
        let opened = EmbeddedBroker::open(&directory.path().join("queue.db"), &config).unwrap();
        let broker = Arc::new(opened.broker);
        // SQLite answers as on a full disk when the file may not grow.
        run_sql(&broker, "PRAGMA max_page_count = 12");
        let appending = {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move { broker.append((0..10).map(noise_chunk).collect()).await })
        };
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!appending.is_finished(), "ten chunks of 40 kB fit into twelve pages of 16 KiB");
        assert_eq!(broker.stream_end(StreamId(1)).await.unwrap(), None);
        run_sql(&broker, "PRAGMA max_page_count = 1000000");
        assert_eq!(appending.await.unwrap().unwrap(), 10);
        let taken = broker.take(usize::MAX, Duration::ZERO).await.unwrap();
        assert_eq!(
            taken.iter().map(|delivery| delivery.chunk.first_line).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        );
    }

    #[tokio::test]
    async fn damage_that_shows_while_open_is_an_error_now_and_a_quarantine_at_the_next_start() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        let opened = EmbeddedBroker::open(&path, &EmbeddedConfig::default()).unwrap();
        opened.broker.append(vec![noise_chunk(0)]).await.unwrap();
        run_sql(&opened.broker, "UPDATE chunks SET blob = zeroblob(9)");
        for _ in 0..2 {
            let error = opened.broker.take(1, Duration::ZERO).await.unwrap_err().to_string();
            assert!(error.contains("damaged") && error.contains("queue.db"), "{error}");
        }
        assert!(opened.broker.append(vec![noise_chunk(1)]).await.is_err());
        drop(opened);
        let opened = EmbeddedBroker::open(&path, &EmbeddedConfig::default()).unwrap();
        assert!(matches!(opened.state, QueueState::Quarantined(_)), "{:?}", opened.state);
        assert_eq!(opened.broker.stream_end(StreamId(1)).await.unwrap(), None);
        drop(opened);
        let opened = EmbeddedBroker::open(&path, &EmbeddedConfig::default()).unwrap();
        assert_eq!(opened.state, QueueState::Sound);
    }

    #[tokio::test]
    async fn a_take_that_nobody_waits_for_any_more_gives_its_chunks_back() {
        let directory = tempfile::tempdir().unwrap();
        let opened =
            EmbeddedBroker::open(&directory.path().join("queue.db"), &EmbeddedConfig::default()).unwrap();
        let broker = opened.broker;
        broker.append(vec![noise_chunk(0), noise_chunk(1)]).await.unwrap();
        // Asked, answered, and never looked at.
        let (reply, answer) = oneshot::channel();
        let commands = broker.commands.clone();
        broker.commands.send(Command::Take { max_bytes: usize::MAX, commands, reply }).unwrap();
        broker.stream_end(StreamId(1)).await.unwrap();
        drop(answer);
        let again = broker.take(usize::MAX, Duration::from_secs(10)).await.unwrap();
        assert_eq!(again.iter().map(|delivery| delivery.chunk.first_line).collect::<Vec<_>>(), [0, 1]);
    }
}

//! The one thread that owns the queue file: takes commands in order, one transaction each.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rastro_model::StreamId;
use tokio::sync::{Notify, oneshot};

use super::{
    EmbeddedConfig,
    file::{self, FileError, QueueFile},
};
use crate::{BrokerError, Chunk, Delivery, Depth, StreamEnd, encoded::EncodedChunk};

/// How often a write that waits for room on the disk is spoken of.
const DISK_FULL_REMINDER: Duration = Duration::from_mins(1);

type Reply<T> = oneshot::Sender<Result<T, BrokerError>>;

/// What callers ask of the thread.
pub(super) enum Command {
    Append {
        chunks: Vec<EncodedChunk>,
        reply: Reply<usize>,
    },
    StreamEnd {
        stream: StreamId,
        reply: Reply<Option<StreamEnd>>,
    },
    Take {
        max_bytes: usize,
        commands: mpsc::Sender<Command>,
        reply: Reply<Batch>,
    },
    Acknowledge {
        ids: Vec<u64>,
        reply: Reply<()>,
    },
    Release {
        ids: Vec<u64>,
        reply: Option<Reply<()>>,
    },
    Close,
    #[cfg(test)]
    Inspect(Box<dyn FnOnce(&rusqlite::Connection) + Send>),
}

/// Chunks on their way to a caller of `take`. If the caller has gone away before it got them, they become available again.
pub(super) struct Batch {
    deliveries: Vec<Delivery>,
    commands: mpsc::Sender<Command>,
}

impl Batch {
    pub(super) fn accept(mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if !self.deliveries.is_empty() {
            let ids = self.deliveries.iter().map(|delivery| delivery.id).collect();
            // A closed channel means the broker is gone; the next one delivers everything again.
            let _ = self.commands.send(Command::Release { ids, reply: None });
        }
    }
}

/// What callers see without asking the thread.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Told when chunks have become available.
    pub(super) arrived: Notify,
    chunks: AtomicU64,
    bytes: AtomicU64,
    limit_bytes: AtomicU64,
}

impl Shared {
    pub(super) fn depth(&self) -> Depth {
        Depth {
            chunks: self.chunks.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            limit_bytes: self.limit_bytes.load(Ordering::Relaxed),
        }
    }
}

/// An append that is not yet answered.
struct Pending {
    chunks: VecDeque<EncodedChunk>,
    accepted: usize,
    reply: Reply<usize>,
}

/// How far an append came.
enum Progress {
    /// All of it is dealt with.
    Done(Result<(), BrokerError>),
    /// The queue is full: go on after an acknowledgement.
    Full,
    /// The disk would not take it: go on after a while.
    Stalled(FileError),
}

pub(super) struct Worker {
    file: QueueFile,
    shared: Arc<Shared>,
    disk_full_retry: Duration,
    limit_bytes: u64,
    chunks: u64,
    bytes: u64,
    next_id: u64,
    /// Everything from this id on has not been taken.
    untaken_from: u64,
    /// Ids below `untaken_from` that are available again.
    released: BTreeSet<u64>,
    /// Ids delivered and not acknowledged.
    taken: HashSet<u64>,
    waiting: VecDeque<Pending>,
    /// Acknowledged ids whose removal the disk would not take.
    unremoved: Vec<u64>,
    retry_at: Option<Instant>,
    last_reminder: Option<Instant>,
    damaged: bool,
}

impl Worker {
    pub(super) fn new(
        file: QueueFile,
        config: &EmbeddedConfig,
        shared: Arc<Shared>,
    ) -> Result<Self, BrokerError> {
        let contents = file.contents().map_err(|error| error.into_broker_error(&file.path))?;
        shared.limit_bytes.store(config.limit_bytes, Ordering::Relaxed);
        let worker = Self {
            file,
            shared,
            disk_full_retry: config.disk_full_retry,
            limit_bytes: config.limit_bytes,
            chunks: contents.chunks,
            bytes: contents.bytes,
            next_id: contents.highest_id + 1,
            untaken_from: 0,
            released: BTreeSet::new(),
            taken: HashSet::new(),
            waiting: VecDeque::new(),
            unremoved: Vec::new(),
            retry_at: None,
            last_reminder: None,
            damaged: false,
        };
        worker.publish_depth();
        Ok(worker)
    }

    pub(super) fn run(mut self, commands: &mpsc::Receiver<Command>) {
        loop {
            let command = match self.retry_at {
                None => commands.recv().ok(),
                Some(at) => match commands.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(command) => Some(command),
                    Err(mpsc::RecvTimeoutError::Disconnected) => None,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        self.retry();
                        continue;
                    }
                },
            };
            match command {
                None | Some(Command::Close) => return,
                Some(command) => self.handle(command),
            }
        }
    }

    fn handle(&mut self, command: Command) {
        // A caller that has gone away is no error: its answer is dropped.
        match command {
            Command::Append { chunks, reply } => {
                self.waiting.push_back(Pending { chunks: chunks.into(), accepted: 0, reply });
                // Those that wait longer come first, or small appends could overtake a large one for ever.
                if self.retry_at.is_none() {
                    self.advance_waiting();
                }
            }
            Command::StreamEnd { stream, reply } => {
                let end = self.guarded(|worker| worker.file.stream_end(stream));
                let _ = reply.send(end);
            }
            Command::Take { max_bytes, commands, reply } => {
                let batch = self.take(max_bytes).map(|deliveries| Batch { deliveries, commands });
                let _ = reply.send(batch);
            }
            Command::Acknowledge { ids, reply } => {
                let _ = reply.send(self.acknowledge(ids));
                self.advance_waiting();
            }
            Command::Release { ids, reply } => {
                self.release(&ids);
                if let Some(reply) = reply {
                    let _ = reply.send(Ok(()));
                }
            }
            Command::Close => {}
            #[cfg(test)]
            Command::Inspect(inspect) => inspect(&self.file.connection),
        }
    }

    /// Runs an access to the file; remembers when the file has turned out damaged.
    fn guarded<T>(
        &mut self,
        access: impl FnOnce(&mut Self) -> Result<T, FileError>,
    ) -> Result<T, BrokerError> {
        if self.damaged {
            return Err(FileError::Marked.into_broker_error(&self.file.path));
        }
        access(self).map_err(|error| self.fail(error))
    }

    fn fail(&mut self, error: FileError) -> BrokerError {
        if error.is_damage() && !self.damaged {
            self.damaged = true;
            self.file.mark_damaged();
        }
        error.into_broker_error(&self.file.path)
    }

    /// Goes on with the appends that wait, in their order, as far as there is room.
    fn advance_waiting(&mut self) {
        while let Some(mut pending) = self.waiting.pop_front() {
            if pending.reply.is_closed() {
                continue;
            }
            let result = if self.damaged {
                Progress::Done(Err(FileError::Marked.into_broker_error(&self.file.path)))
            } else {
                self.advance(&mut pending)
            };
            match result {
                Progress::Done(result) => {
                    let _ = pending.reply.send(result.map(|()| pending.accepted));
                }
                Progress::Full => {
                    self.waiting.push_front(pending);
                    return;
                }
                Progress::Stalled(error) => {
                    self.waiting.push_front(pending);
                    self.stall(&error);
                    return;
                }
            }
        }
        if self.unremoved.is_empty() {
            self.retry_at = None;
            self.last_reminder = None;
        }
    }

    /// Stores as much of one append as there is room for, in one transaction.
    fn advance(&mut self, pending: &mut Pending) -> Progress {
        match self.store(pending) {
            Ok(stored) => {
                self.next_id += stored.accepted as u64;
                self.chunks += stored.accepted as u64;
                self.bytes += stored.bytes;
                pending.chunks.drain(..stored.dealt_with);
                pending.accepted += stored.accepted;
                metrics::counter!("rastro_broker_chunks_appended_total").increment(stored.accepted as u64);
                metrics::counter!("rastro_broker_chunks_repeated_total")
                    .increment((stored.dealt_with - stored.accepted) as u64);
                self.publish_depth();
                if stored.accepted > 0 {
                    self.shared.arrived.notify_waiters();
                }
                match stored.refused {
                    Some(error) => Progress::Done(Err(error)),
                    None if pending.chunks.is_empty() => Progress::Done(Ok(())),
                    None => Progress::Full,
                }
            }
            Err(error) if error.is_transient_write_failure() => Progress::Stalled(error),
            Err(error) => Progress::Done(Err(self.fail(error))),
        }
    }

    fn store(&mut self, pending: &Pending) -> Result<Stored, FileError> {
        let mut stored = Stored::default();
        let transaction = self.file.connection.transaction()?;
        for chunk in &pending.chunks {
            let held = file::stream_end(&transaction, chunk.stream)?;
            match held {
                Some(held) if chunk.end <= held.position => {
                    stored.dealt_with += 1;
                    continue;
                }
                Some(held) if chunk.previous != held.position => {
                    stored.refused = Some(BrokerError::OutOfOrder {
                        stream: chunk.stream,
                        previous: chunk.previous,
                        held: held.position,
                    });
                    break;
                }
                _ => {}
            }
            let length = chunk.bytes.len() as u64;
            let held_bytes = self.bytes + stored.bytes;
            if held_bytes > 0 && held_bytes + length > self.limit_bytes {
                break;
            }
            file::insert(&transaction, self.next_id + stored.accepted as u64, chunk)?;
            stored.accepted += 1;
            stored.dealt_with += 1;
            stored.bytes += length;
        }
        transaction.commit()?;
        Ok(stored)
    }

    fn take(&mut self, max_bytes: usize) -> Result<Vec<Delivery>, BrokerError> {
        let mut deliveries = Vec::new();
        let result = self.guarded(|worker| worker.take_into(max_bytes, &mut deliveries));
        match result {
            Ok(()) => {
                self.taken.extend(deliveries.iter().map(|delivery| delivery.id));
                metrics::counter!("rastro_broker_chunks_delivered_total").increment(deliveries.len() as u64);
                Ok(deliveries)
            }
            Err(error) => {
                self.released.extend(deliveries.iter().map(|delivery| delivery.id));
                Err(error)
            }
        }
    }

    fn take_into(&mut self, max_bytes: usize, deliveries: &mut Vec<Delivery>) -> Result<(), FileError> {
        let mut bytes = 0;
        while deliveries.is_empty() || bytes < max_bytes {
            let stored = match self.released.first().copied() {
                Some(id) => {
                    let stored = self.file.chunk(id)?;
                    self.released.remove(&id);
                    if stored.is_none() {
                        continue;
                    }
                    stored
                }
                None => self.file.chunk_from(self.untaken_from)?,
            };
            let Some(stored) = stored else { break };
            self.untaken_from = self.untaken_from.max(stored.id + 1);
            let chunk = Chunk::decode(&stored.bytes).map_err(|error| FileError::Check(error.to_string()))?;
            bytes += stored.bytes.len();
            deliveries.push(Delivery { id: stored.id, chunk });
        }
        Ok(())
    }

    fn acknowledge(&mut self, mut ids: Vec<u64>) -> Result<(), BrokerError> {
        for id in &ids {
            self.taken.remove(id);
            self.released.remove(id);
        }
        ids.append(&mut self.unremoved);
        self.remove(ids)
    }

    /// Removes chunks. If the disk will not take it, they are removed later: the caller's results are stored, and a chunk that is
    /// delivered again after a crash in between is a repeat like any other.
    fn remove(&mut self, ids: Vec<u64>) -> Result<(), BrokerError> {
        if self.damaged {
            return Err(FileError::Marked.into_broker_error(&self.file.path));
        }
        match self.file.remove(&ids) {
            Ok((chunks, bytes)) => {
                self.chunks -= chunks;
                self.bytes -= bytes;
                metrics::counter!("rastro_broker_chunks_acknowledged_total").increment(chunks);
                self.publish_depth();
                Ok(())
            }
            Err(error) if error.is_transient_write_failure() => {
                self.unremoved = ids;
                self.stall(&error);
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn release(&mut self, ids: &[u64]) {
        let before = self.released.len();
        self.released.extend(ids.iter().copied().filter(|id| self.taken.remove(id)));
        if self.released.len() > before {
            self.shared.arrived.notify_waiters();
        }
    }

    fn stall(&mut self, error: &FileError) {
        let now = Instant::now();
        self.retry_at = Some(now + self.disk_full_retry);
        if self.last_reminder.is_none_or(|last| now.duration_since(last) >= DISK_FULL_REMINDER) {
            self.last_reminder = Some(now);
            tracing::warn!(
                queue = %self.file.path.display(), %error,
                "the queue cannot be written; nothing is lost, shipping waits until the disk takes it: make room"
            );
        }
    }

    fn retry(&mut self) {
        self.retry_at = None;
        let unremoved = std::mem::take(&mut self.unremoved);
        if !unremoved.is_empty()
            && let Err(error) = self.remove(unremoved)
        {
            tracing::error!(%error, "acknowledged chunks cannot be removed");
        }
        self.advance_waiting();
    }

    fn publish_depth(&self) {
        self.shared.chunks.store(self.chunks, Ordering::Relaxed);
        self.shared.bytes.store(self.bytes, Ordering::Relaxed);
        metrics::gauge!("rastro_broker_queue_chunks").set(self.chunks as f64);
        metrics::gauge!("rastro_broker_queue_bytes").set(self.bytes as f64);
    }
}

/// What one transaction did with an append.
#[derive(Default)]
struct Stored {
    /// Chunks from the front that need no more attention.
    dealt_with: usize,
    /// Of these, the new ones.
    accepted: usize,
    /// Their size.
    bytes: u64,
    /// Why the chunk behind them is refused.
    refused: Option<BrokerError>,
}

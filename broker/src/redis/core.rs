//! What writer and consumer share: the connection, its epoch, and what is done each time that it is made anew.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use rastro_model::{Position, StreamId};
use redis::{Cmd, FromRedisValue};
use tokio::sync::watch;

use super::{
    backoff::Backoff,
    config::RedisConfig,
    dial::{Dialled, Dialler},
    error::RedisError,
    keys::{self, Keys},
    recent::Recent,
    writer,
};
use crate::{BrokerError, encoded::EncodedChunk};

/// After how many failed attempts a waiting caller's trouble is spoken of again.
const REMINDER_ATTEMPTS: u64 = 12;

/// Ends of streams that are asked for in one command.
const STREAMS_A_QUESTION: usize = 1000;

/// A connection that works as far as is known. Everything sent on a later one carries a higher epoch.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) epoch: u64,
    pub(super) dialled: Arc<Dialled>,
}

impl Live {
    /// Sends one command and waits for its answer.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let mut connection = self.dialled.connection.clone();
        command.query_async(&mut connection).await.map_err(|error| self.failure(&error))
    }

    /// Sends commands in one write and waits for all answers.
    pub(super) async fn ask_all<T: FromRedisValue>(
        &self,
        commands: &redis::Pipeline,
    ) -> Result<T, RedisError> {
        let mut connection = self.dialled.connection.clone();
        commands.query_async(&mut connection).await.map_err(|error| self.failure(&error))
    }

    pub(super) fn failure(&self, error: &redis::RedisError) -> RedisError {
        RedisError::new(error, &self.dialled.address, &self.dialled.user)
    }

    pub(super) fn unexpected(&self, what: &str) -> RedisError {
        RedisError::unexpected(&self.dialled.address, what)
    }
}

#[derive(Default)]
struct Link {
    epoch: u64,
    live: Option<Live>,
}

/// What writer and consumer share.
pub(super) struct Core {
    pub(super) config: RedisConfig,
    pub(super) keys: Keys,
    dialler: Dialler,
    link: tokio::sync::Mutex<Link>,
    /// As Redis says; the same for the life of the namespace.
    partitions: AtomicU32,
    recent: Mutex<Recent>,
    /// Told when there is something to guard.
    pub(super) appended: tokio::sync::Notify,
    closed: watch::Sender<bool>,
    /// Counts how often Redis was found to have lost chunks that are not remembered here.
    pub(super) regressions: watch::Sender<u64>,
}

impl Core {
    pub(super) fn new(config: RedisConfig, keys: Keys) -> Result<Self, RedisError> {
        config.check()?;
        Ok(Self {
            keys,
            dialler: Dialler::new(&config)?,
            link: tokio::sync::Mutex::default(),
            partitions: AtomicU32::new(config.partitions),
            recent: Mutex::new(Recent::new(config.resend_limit_bytes)),
            appended: tokio::sync::Notify::new(),
            closed: watch::Sender::new(false),
            regressions: watch::Sender::new(0),
            config,
        })
    }

    pub(super) fn partitions(&self) -> u32 {
        self.partitions.load(Ordering::Relaxed)
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        // Every change of it is one call that does not panic half-way.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Returns once the broker is closed.
    pub(super) async fn closed(&self) {
        // The sender lives as long as `self`.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// The connection there is, or a new one: one attempt.
    pub(super) async fn connect_once(&self) -> Result<Live, RedisError> {
        let mut link = self.link.lock().await;
        if let Some(live) = &link.live {
            return Ok(live.clone());
        }
        link.epoch += 1;
        let dialled = self.dialler.dial(&self.config, &self.keys).await?;
        if link.epoch > 1 && dialled.partitions != self.partitions() {
            return Err(RedisError::Layout {
                address: dialled.address,
                prefix: self.config.prefix.clone(),
                found: format!("in {} partitions", dialled.partitions),
                expected: format!("{} as before, so restart it", self.partitions()),
            });
        }
        self.partitions.store(dialled.partitions, Ordering::Relaxed);
        let live = Live { epoch: link.epoch, dialled: Arc::new(dialled) };
        self.send_again(&live).await?;
        if link.epoch > 1 {
            metrics::counter!("rastro_broker_redis_reconnects_total").increment(1);
            tracing::info!(address = live.dialled.address, "connected to redis again");
        }
        link.live = Some(live.clone());
        Ok(live)
    }

    /// The connection there is, or a new one: waits for it as long as it takes.
    pub(super) async fn connected(&self) -> Result<Live, BrokerError> {
        let mut backoff = Backoff::new();
        loop {
            if self.is_closed() {
                return Err(BrokerError::Closed);
            }
            match self.connect_once().await {
                Ok(live) => return Ok(live),
                // Of what others must put right, what worked before may be on its way to another state: passwords and certificates are
                // changed in two places one after the other.
                Err(
                    error @ (RedisError::Authentication { .. }
                    | RedisError::Tls { .. }
                    | RedisError::File { .. }),
                ) => self.wait(&mut backoff, &error).await,
                Err(error) if error.is_transient() => self.wait(&mut backoff, &error).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits before the next attempt, and speaks of the failure from time to time.
    pub(super) async fn wait(&self, backoff: &mut Backoff, error: &RedisError) {
        if backoff.attempts().is_multiple_of(REMINDER_ATTEMPTS) {
            tracing::warn!(%error, attempts = backoff.attempts() + 1, "redis does not answer as it should; trying again until it does");
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = self.closed() => {}
        }
    }

    /// A call on `live` has failed: does what the failure asks for.
    pub(super) async fn failed(&self, live: &Live, error: &RedisError) {
        if error.breaks_connection() {
            let mut link = self.link.lock().await;
            if link.live.as_ref().is_some_and(|current| current.epoch == live.epoch) {
                link.live = None;
            }
        }
    }

    /// A call on `live` has failed: waits where another attempt may mend it, and is the failure where none will.
    pub(super) async fn wait_out(
        &self,
        live: &Live,
        error: RedisError,
        backoff: &mut Backoff,
    ) -> Result<(), BrokerError> {
        if !error.is_transient() {
            return Err(self.given_up(live, error).await);
        }
        self.failed(live, &error).await;
        self.wait(backoff, &error).await;
        Ok(())
    }

    /// A call on `live` has failed and is not made again: what to tell of it.
    pub(super) async fn given_up(&self, live: &Live, error: RedisError) -> BrokerError {
        self.failed(live, &error).await;
        self.explained(live, error).await.into()
    }

    /// Sends a command that may be sent twice, until it is answered or fails for good.
    pub(super) async fn persist<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, BrokerError> {
        let mut backoff = Backoff::new();
        loop {
            let live = self.connected().await?;
            match live.ask(command).await {
                Ok(value) => return Ok(value),
                Err(error) => self.wait_out(&live, error, &mut backoff).await?,
            }
        }
    }

    /// Finds the key that a wrong type was found under, which Redis does not name.
    async fn explained(&self, live: &Live, error: RedisError) -> RedisError {
        if matches!(error, RedisError::WrongType { .. })
            && let Err(exact) = self.check_types(live).await
        {
            return exact;
        }
        error
    }

    /// Whether each key holds what it should, or nothing.
    pub(super) async fn check_types(&self, live: &Live) -> Result<(), RedisError> {
        let types = self.keys.types(self.partitions());
        let mut ask = redis::pipe();
        for (key, _) in &types {
            ask.cmd("TYPE").arg(key);
        }
        let found: Vec<String> = live.ask_all(&ask).await?;
        for ((key, expected), found) in types.into_iter().zip(found) {
            if found != expected && found != "none" {
                return Err(RedisError::WrongType {
                    address: live.dialled.address.clone(),
                    key,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Where streams stand in Redis.
    pub(super) async fn ends(
        &self,
        live: &Live,
        streams: &[StreamId],
    ) -> Result<HashMap<StreamId, Position>, RedisError> {
        if streams.is_empty() {
            return Ok(HashMap::new());
        }
        let names: Vec<String> = streams.iter().map(StreamId::to_string).collect();
        let found: Vec<Option<String>> =
            live.ask(redis::cmd("HMGET").arg(&self.keys.authority).arg(names)).await?;
        let mut ends = HashMap::new();
        for (stream, text) in streams.iter().zip(found) {
            if let Some(text) = text {
                let end = keys::decode_end(&text).ok_or_else(|| live.unexpected("the end of a stream"))?;
                ends.insert(*stream, end.position);
            }
        }
        Ok(ends)
    }

    /// Gives Redis back what it held once and holds no more: it was restarted, or another took over, without its last writes.
    pub(super) async fn send_again(&self, live: &Live) -> Result<(), RedisError> {
        let streams = self.recent().streams();
        let held = self.ends(live, &streams).await?;
        let lacking: Vec<Arc<EncodedChunk>> = self.recent().lacking(&held);
        if lacking.is_empty() {
            return self.look_for_regressions(live).await;
        }
        let count = lacking.len();
        tracing::warn!(
            address = live.dialled.address,
            chunks = count,
            "redis has lost chunks that it had accepted; sending them again"
        );
        metrics::counter!("rastro_broker_redis_resent_chunks_total").increment(count as u64);
        let mut left = lacking.as_slice();
        while !left.is_empty() {
            let batch = writer::batch_of(left);
            // No bound: these were within it when they were accepted.
            let outcome = writer::send(self, live, &left[..batch], 0, |_| false).await?;
            // A chunk that no longer attaches to its stream is for the shipper to read again, and stands in no other stream's way.
            left = &left[outcome.settled.len().max(1).min(batch)..];
        }
        self.recent().sent_again(Instant::now());
        self.look_for_regressions(live).await
    }

    /// Whether streams are behind where they were, beyond what is remembered: then they are the shipper's to read again.
    async fn look_for_regressions(&self, live: &Live) -> Result<(), RedisError> {
        let known = self.recent().ends();
        let mut lost = Vec::new();
        for part in known.chunks(STREAMS_A_QUESTION) {
            let streams: Vec<StreamId> = part.iter().map(|(stream, _)| *stream).collect();
            let held = self.ends(live, &streams).await?;
            // A stream that is gone as a whole stands at its beginning, and is known to do so: nothing but its first chunk may follow.
            let held = |stream: &StreamId| held.get(stream).copied().unwrap_or(Position::START);
            let behind = part.iter().filter(|(stream, known)| held(stream) < *known);
            lost.extend(behind.map(|(stream, _)| (*stream, held(stream))));
        }
        if lost.is_empty() {
            return Ok(());
        }
        tracing::error!(
            address = live.dialled.address,
            streams = lost.len(),
            "redis has lost chunks that are no longer remembered here; their lines are to be read from the files again"
        );
        metrics::counter!("rastro_broker_redis_regressed_streams_total").increment(lost.len() as u64);
        for (stream, held) in lost {
            self.recent().set_end(stream, Some(held));
        }
        self.regressions.send_modify(|count| *count += 1);
        Ok(())
    }
}

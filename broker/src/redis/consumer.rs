//! Taking: leases on partitions, what is pending before what is new, acknowledgement.

mod held;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::Cmd;
use tokio::{sync::Notify, time::Instant};

use super::{
    backoff::Backoff,
    core::{Core, Live},
    error::RedisError,
    scripts,
};
use crate::{BrokerError, Chunk, Delivery};
use held::{EntryId, Held, Place};

/// Redis does nothing else while a script runs, so one reading gets no more than about this, bytes.
const BYTES_A_READING: usize = 4 * 1024 * 1024;
/// A consumer of the group that has nothing pending and has been silent for so long is forgotten.
const FORGET_CONSUMERS_AFTER: Duration = Duration::from_hours(1);
/// How long one wait for the bell lasts.
const BELL_WAIT: Duration = Duration::from_secs(5);
/// How long a taker relies on the bell before it looks by itself.
const LOOK_ANYWAY_AFTER: Duration = Duration::from_secs(1);

/// The taking side of a broker. One for each process: its name in Redis is unique.
pub(super) struct Consumer {
    name: String,
    held: Mutex<Held>,
    /// One reading or renewal of leases at a time: their answers are taken in the order in which Redis gave them.
    turn: tokio::sync::Mutex<()>,
    arrived: Notify,
}

impl Consumer {
    pub(super) fn new(name: String) -> Self {
        Self { name, held: Mutex::default(), turn: tokio::sync::Mutex::default(), arrived: Notify::new() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every change of it is one call that does not panic half-way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes chunks; waits up to `wait` for some.
    pub(super) async fn take(
        self: &Arc<Self>,
        core: &Arc<Core>,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, BrokerError> {
        let deadline = Instant::now() + wait;
        // Even who does not want to wait for chunks waits for the answer.
        let answer_deadline = deadline.max(Instant::now() + core.config.command_timeout);
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let deliveries = self.held().hand_out(max_bytes);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            // On its own, so that the answer is kept even if nobody waits for it any more.
            let reading = tokio::spawn({
                let (consumer, core) = (Arc::clone(self), Arc::clone(core));
                async move { consumer.read(&core, max_bytes).await }
            });
            match tokio::time::timeout_at(answer_deadline, reading).await {
                Ok(Ok(read)) => read?,
                Ok(Err(_)) => return Err(BrokerError::Closed),
                Err(_) => return Ok(Vec::new()),
            }
            let deliveries = self.held().hand_out(max_bytes);
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            let look_again = deadline.min(Instant::now() + LOOK_ANYWAY_AFTER);
            let _ = tokio::time::timeout_at(look_again, arrived).await;
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
        }
    }

    /// Reads from the partitions once.
    async fn read(&self, core: &Core, max_bytes: usize) -> Result<(), BrokerError> {
        let mut trouble = Backoff::new();
        loop {
            let _turn = self.turn.lock().await;
            let live = core.connected().await?;
            let mut outcome = Ok(());
            if self.held().epoch != live.epoch {
                outcome = self.renew(core, &live).await;
            }
            if outcome.is_ok() {
                outcome = self.read_once(core, &live, max_bytes.clamp(1, BYTES_A_READING)).await;
            }
            let Err(error) = outcome else { return Ok(()) };
            core.wait_out(&live, error, &mut trouble).await?;
        }
    }

    async fn read_once(&self, core: &Core, live: &Live, max_bytes: usize) -> Result<(), RedisError> {
        let reading = self.held().next_reading();
        if reading.is_empty() {
            return Ok(());
        }
        let mut keys = vec![core.keys.leases.clone()];
        keys.extend(reading.iter().map(|(partition, _)| core.keys.chunks(*partition)));
        let mut call = scripts::TAKE.call(&keys);
        call.arg(&core.config.group).arg(&self.name).arg(live.epoch).arg(max_bytes);
        for (partition, cursor) in &reading {
            call.arg(partition).arg(cursor);
        }
        let (entries, cursors, lost): (Vec<redis::Value>, Vec<(u32, String)>, Vec<u32>) =
            live.ask(&call).await?;
        let entries = parse_entries(entries).ok_or_else(|| live.unexpected("a reading"))?;
        let mut damaged = Vec::new();
        {
            let mut held = self.held();
            for (place, bytes) in entries {
                if !held.wants(place.partition, place.entry) {
                    continue;
                }
                match Chunk::decode(&bytes) {
                    Ok(chunk) => held.put(place, chunk),
                    Err(error) => {
                        tracing::error!(
                            partition = place.partition,
                            entry = %place.entry,
                            key = core.keys.damaged,
                            %error,
                            "an entry of the queue is no chunk; setting it aside"
                        );
                        damaged.push(place);
                    }
                }
            }
            for (partition, cursor) in &cursors {
                held.set_cursor(*partition, cursor);
            }
            for partition in lost {
                tracing::info!(partition, "a partition of the queue has gone to another consumer");
                held.lose(partition);
            }
        }
        if !damaged.is_empty() {
            metrics::counter!("rastro_broker_redis_damaged_chunks_total").increment(damaged.len() as u64);
            live.ask::<()>(&removal(core, &damaged, true)).await?;
        }
        Ok(())
    }

    /// Says that this consumer lives, and learns which partitions are its own.
    async fn renew(&self, core: &Core, live: &Live) -> Result<(), RedisError> {
        let mut keys = vec![core.keys.leases.clone(), core.keys.consumers.clone(), core.keys.bytes.clone()];
        keys.extend((0..core.partitions()).map(|partition| core.keys.chunks(partition)));
        let mut call = scripts::LEASE.call(&keys);
        call.arg(&core.config.group)
            .arg(&self.name)
            .arg(live.epoch)
            .arg(core.config.lease.as_millis() as u64)
            .arg(FORGET_CONSUMERS_AFTER.as_millis() as u64);
        let answer: Option<(usize, Vec<u32>, Vec<u32>)> = match live.ask::<redis::Value>(&call).await? {
            redis::Value::Array(parts) if parts.is_empty() => None,
            value => Some(redis::from_redis_value(value).map_err(|_| live.unexpected("a lease"))?),
        };
        let Some((share, kept, fresh)) = answer else {
            // This came late, on a connection that was given up.
            return Err(RedisError::Unavailable {
                address: live.dialled.address.clone(),
                message: "UNBLOCKED a later connection of this process holds the leases".to_owned(),
            });
        };
        if !fresh.is_empty() {
            tracing::info!(partitions = ?fresh, share, "took partitions of the queue");
            self.arrived.notify_waiters();
        }
        self.held().lease(live.epoch, share, &kept, &fresh);
        metrics::gauge!("rastro_broker_redis_partitions").set((kept.len() + fresh.len()) as f64);
        self.give_up(core, live).await
    }

    /// Gives back what is beyond the fair share.
    async fn give_up(&self, core: &Core, live: &Live) -> Result<(), RedisError> {
        let partitions = self.held().to_give_up();
        if partitions.is_empty() {
            return Ok(());
        }
        tracing::info!(?partitions, "giving partitions of the queue to other consumers");
        let mut call = scripts::GIVE_UP.call(&[&core.keys.leases, &core.keys.consumers]);
        call.arg(&self.name).arg(0).arg(&partitions);
        live.ask::<()>(&call).await?;
        let mut held = self.held();
        for partition in partitions {
            held.lose(partition);
        }
        Ok(())
    }

    /// Keeps the leases until the broker is closed.
    pub(super) async fn keep_leases(self: Arc<Self>, core: Arc<Core>) {
        let mut trouble = Backoff::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(core.config.lease / 3) => {}
                () = core.closed() => return,
            }
            let _turn = self.turn.lock().await;
            let Ok(live) = core.connected().await else { continue };
            match self.renew(&core, &live).await {
                Ok(()) => trouble = Backoff::new(),
                Err(error) => {
                    core.failed(&live, &error).await;
                    core.wait(&mut trouble, &error).await;
                }
            }
        }
    }

    /// Waits for appends, on a connection of its own, and tells those who wait here.
    pub(super) async fn listen(self: Arc<Self>, core: Arc<Core>) {
        let mut trouble = Backoff::new();
        while !core.is_closed() {
            let Ok(live) = core.connected().await else {
                // Others report why; here it is enough to come back.
                tokio::select! {
                    () = tokio::time::sleep(trouble.next_delay()) => {}
                    () = core.closed() => {}
                }
                continue;
            };
            let bell = match live.dialled.again(&core.config, BELL_WAIT).await {
                Ok(dialled) => Live { epoch: live.epoch, dialled: Arc::new(dialled) },
                Err(error) => {
                    core.wait(&mut trouble, &error).await;
                    continue;
                }
            };
            // From the beginning: what rang while nobody listened counts.
            let mut last = "0-0".to_owned();
            loop {
                let mut wait = redis::cmd("XREAD");
                wait.arg("BLOCK")
                    .arg(BELL_WAIT.as_millis() as u64)
                    .arg("STREAMS")
                    .arg(&core.keys.bell)
                    .arg(&last);
                match bell.ask::<Option<redis::streams::StreamReadReply>>(&wait).await {
                    Ok(rung) => {
                        trouble = Backoff::new();
                        let rung =
                            rung.and_then(|mut reply| reply.keys.pop()).and_then(|mut key| key.ids.pop());
                        if let Some(entry) = rung {
                            last = entry.id;
                            self.arrived.notify_waiters();
                        }
                    }
                    Err(error) => {
                        core.failed(&live, &error).await;
                        core.wait(&mut trouble, &error).await;
                        break;
                    }
                }
            }
        }
    }

    pub(super) async fn acknowledge(&self, core: &Core, ids: &[u64]) -> Result<(), BrokerError> {
        let places = self.held().places(ids);
        if !places.is_empty() {
            core.persist::<()>(&removal(core, &places, false)).await?;
            metrics::counter!("rastro_broker_redis_acknowledged_chunks_total").increment(places.len() as u64);
        }
        self.held().forget(ids);
        Ok(())
    }

    pub(super) fn release(&self, ids: &[u64]) {
        self.held().release(ids);
        self.arrived.notify_waiters();
    }

    /// Gives everything back, so that others need not wait for the leases to end.
    pub(super) async fn leave(&self, core: &Core) -> Result<(), RedisError> {
        let _turn = self.turn.lock().await;
        let live = core.connect_once().await?;
        let partitions = self.held().partitions();
        let mut call = scripts::GIVE_UP.call(&[&core.keys.leases, &core.keys.consumers]);
        call.arg(&self.name).arg(1).arg(&partitions);
        live.ask(&call).await
    }
}

/// Asks for entries to be forgotten, or to be moved aside.
fn removal(core: &Core, places: &[Place], keep_copy: bool) -> Cmd {
    let mut touched: Vec<u32> = places.iter().map(|place| place.partition).collect();
    touched.sort_unstable();
    touched.dedup();
    let mut keys = vec![core.keys.bytes.clone(), core.keys.damaged.clone()];
    keys.extend(touched.iter().map(|partition| core.keys.chunks(*partition)));
    let mut call = scripts::ACKNOWLEDGE.call(&keys);
    call.arg(&core.config.group).arg(u8::from(keep_copy));
    for place in places {
        call.arg(touched.partition_point(|one| *one <= place.partition))
            .arg(place.partition)
            .arg(place.entry.to_string())
            .arg(place.size);
    }
    call
}

/// Partition, id and chunk, one after the other.
fn parse_entries(values: Vec<redis::Value>) -> Option<Vec<(Place, Vec<u8>)>> {
    let mut entries = Vec::with_capacity(values.len() / 3);
    let mut values = values.into_iter();
    while let Some(partition) = values.next() {
        let partition: u32 = redis::from_redis_value(partition).ok()?;
        let entry: String = redis::from_redis_value(values.next()?).ok()?;
        let redis::Value::BulkString(bytes) = values.next()? else { return None };
        entries.push((Place { partition, entry: EntryId::parse(&entry)?, size: bytes.len() as u64 }, bytes));
    }
    Some(entries)
}

//! Appending: each chunk exactly where it belongs, once, however often it has to be sent.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use rastro_model::{Position, StreamId};
use redis::Cmd;

use super::{
    backoff::Backoff,
    core::{Core, Live},
    error::RedisError,
    keys::{decode_position, encode_position, partition_of},
    scripts,
};
use crate::{BrokerError, encoded::EncodedChunk};

/// Redis does nothing else while a script runs, so one script gets no more than this, bytes.
const BYTES_A_SCRIPT: usize = 512 * 1024;
/// Bytes that are on their way at once, in one pipeline of scripts.
const BYTES_A_BATCH: usize = 4 * 1024 * 1024;
/// Chunks that are on their way at once.
const CHUNKS_A_BATCH: usize = 1024;
/// Looking for room in a full queue: how long between looks, at first and at most.
pub(super) const ROOM_POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How far a batch came.
pub(super) struct Outcome {
    /// For each chunk from the front: it is in Redis; whether it was new there.
    pub(super) settled: Vec<bool>,
    /// Why the chunk behind them is not.
    stopped: Option<Stop>,
}

enum Stop {
    Full,
    /// It does not follow what Redis holds.
    OutOfOrder(Position),
    /// Redis knows nothing of a stream that it should know.
    Unknown,
}

/// How many chunks from the front go into one batch.
pub(super) fn batch_of(chunks: &[Arc<EncodedChunk>]) -> usize {
    take_while_fits(chunks, BYTES_A_BATCH).min(CHUNKS_A_BATCH)
}

/// How many from the front have so many bytes together; at least one.
fn take_while_fits(chunks: &[Arc<EncodedChunk>], limit: usize) -> usize {
    let mut bytes = 0;
    chunks
        .iter()
        .take_while(|chunk| {
            let fits = bytes == 0 || bytes + chunk.bytes.len() <= limit;
            bytes += chunk.bytes.len();
            fits
        })
        .count()
}

/// Sends chunks in one pipeline and notes what was accepted. `is_known` says of which streams Redis must know the end.
pub(super) async fn send(
    core: &Core,
    live: &Live,
    chunks: &[Arc<EncodedChunk>],
    limit_bytes: u64,
    is_known: impl Fn(StreamId) -> bool,
) -> Result<Outcome, RedisError> {
    let partitions = core.partitions();
    let mut pipeline = redis::pipe();
    let mut seen = HashSet::new();
    let mut left = chunks;
    while !left.is_empty() {
        let (now, later) = left.split_at(take_while_fits(left, BYTES_A_SCRIPT));
        left = later;
        let mut keys = vec![core.keys.ends.clone(), core.keys.bytes.clone(), core.keys.bell.clone()];
        let mut touched: Vec<u32> = now.iter().map(|chunk| partition_of(chunk.stream, partitions)).collect();
        touched.sort_unstable();
        touched.dedup();
        keys.extend(touched.iter().map(|partition| core.keys.chunks(*partition)));
        let mut call = scripts::APPEND.call(&keys);
        call.arg(limit_bytes);
        for chunk in now {
            let partition = partition_of(chunk.stream, partitions);
            // If an earlier chunk of the stream was refused, this one must not become the stream's first.
            let must_follow = !seen.insert(chunk.stream) || is_known(chunk.stream);
            call.arg(chunk.stream.to_string())
                .arg(touched.partition_point(|one| *one <= partition))
                .arg(partition)
                .arg(u8::from(must_follow))
                .arg(encode_position(chunk.previous))
                .arg(encode_position(chunk.end))
                .arg(chunk.next_line)
                .arg(&chunk.bytes);
        }
        pipeline.add_command(call);
    }
    let answers: Vec<(String, String, String)> = live.ask_all(&pipeline).await?;
    let mut outcome = Outcome { settled: Vec::with_capacity(chunks.len()), stopped: None };
    for (settled, reason, standing) in answers {
        outcome.settled.extend(settled.bytes().map(|flag| flag == b'1'));
        outcome.stopped = match reason.as_str() {
            "done" => continue,
            "full" => Some(Stop::Full),
            "order" => Some(Stop::OutOfOrder(
                decode_position(&standing).ok_or_else(|| live.unexpected("the end of a stream"))?,
            )),
            "unknown" => Some(Stop::Unknown),
            _ => return Err(live.unexpected("an append")),
        };
        // What later scripts of the pipeline accepted shows as repeats when it is sent again.
        break;
    }
    Ok(outcome)
}

/// Appends chunks in order. Returns how many were new.
pub(super) async fn append(core: &Core, chunks: Vec<Arc<EncodedChunk>>) -> Result<usize, BrokerError> {
    let mut left = chunks.as_slice();
    let mut accepted = 0;
    // Chunks from the front of `left` that an earlier attempt may have brought into Redis without our hearing of it.
    let mut unsure = 0;
    let mut has_sent_again = false;
    let mut trouble = Backoff::new();
    let mut room = Backoff::between(ROOM_POLL.0, ROOM_POLL.1);
    while !left.is_empty() {
        let live = core.connected().await?;
        let batch = &left[..batch_of(left)];
        let is_known = |stream| core.recent().end(stream).is_some();
        let outcome = match send(core, &live, batch, core.config.limit_bytes, is_known).await {
            Ok(outcome) => outcome,
            Err(error) => {
                unsure = unsure.max(batch.len());
                core.wait_out(&live, error, &mut trouble).await?;
                continue;
            }
        };
        let now = Instant::now();
        let settled = outcome.settled.len();
        let mut bytes = 0;
        for (index, (chunk, was_new)) in left.iter().zip(&outcome.settled).enumerate() {
            let is_new = *was_new || index < unsure;
            core.recent().accepted(chunk, is_new, now);
            accepted += usize::from(is_new);
            bytes += if is_new { chunk.bytes.len() as u64 } else { 0 };
        }
        metrics::counter!("rastro_broker_redis_appended_bytes_total").increment(bytes);
        core.appended.notify_one();
        left = &left[settled..];
        unsure =
            if outcome.stopped.is_some() { batch.len() - settled } else { unsure.saturating_sub(settled) };
        if settled > 0 {
            trouble = Backoff::new();
            room = Backoff::between(ROOM_POLL.0, ROOM_POLL.1);
        }
        let (Some(stopped), Some(next)) = (outcome.stopped, left.first()) else { continue };
        match stopped {
            Stop::Full => wait_for_room(core, next.bytes.len() as u64, &mut room).await?,
            Stop::Unknown | Stop::OutOfOrder(_) => {
                let held = match stopped {
                    Stop::OutOfOrder(held) => Some(held),
                    _ => None,
                };
                let known = core.recent().end(next.stream);
                if known > held && !has_sent_again {
                    // Redis went back behind what it had accepted from us, on this very connection or unseen.
                    has_sent_again = true;
                    if let Err(error) = core.send_again(&live).await {
                        core.failed(&live, &error).await;
                        core.wait(&mut trouble, &error).await;
                    }
                    continue;
                }
                core.recent().set_end(next.stream, held);
                if held.is_some() || known.is_some() || has_sent_again {
                    return Err(BrokerError::OutOfOrder {
                        stream: next.stream,
                        previous: next.previous,
                        held: held.unwrap_or(Position::START),
                    });
                }
            }
        }
    }
    Ok(accepted)
}

/// Returns when the queue may have room for so many bytes.
async fn wait_for_room(core: &Core, bytes: u64, room: &mut Backoff) -> Result<(), BrokerError> {
    metrics::counter!("rastro_broker_redis_full_waits_total").increment(1);
    loop {
        tokio::select! {
            () = tokio::time::sleep(room.next_delay()) => {}
            () = core.closed() => return Err(BrokerError::Closed),
        }
        let held: Vec<u64> = core.persist(&held_bytes(core)).await?;
        let held: u64 = held.iter().sum();
        if held == 0 || held + bytes <= core.config.limit_bytes {
            return Ok(());
        }
    }
}

/// Chunks in the queue, and their bytes.
pub(super) async fn depth(core: &Core, live: &Live) -> Result<(u64, u64), RedisError> {
    let mut lengths = redis::pipe();
    for partition in 0..core.partitions() {
        lengths.cmd("XLEN").arg(core.keys.chunks(partition));
    }
    let chunks: Vec<u64> = live.ask_all(&lengths).await?;
    let bytes: Vec<u64> = live.ask(&held_bytes(core)).await?;
    Ok((chunks.iter().sum(), bytes.iter().sum()))
}

/// Asks for the bytes of each partition's chunks.
fn held_bytes(core: &Core) -> Cmd {
    let mut ask = redis::cmd("HVALS");
    ask.arg(&core.keys.bytes);
    ask
}

/// Calls chunks durable and forgets them once Redis has held them for long enough; until then, makes sure that it is still there.
pub(super) async fn guard(core: Arc<Core>) {
    let window = core.config.resend_window;
    while !core.is_closed() {
        core.appended.notified().await;
        while core.recent().is_undurable() {
            tokio::select! {
                () = tokio::time::sleep(window / 2) => {}
                () = core.closed() => return,
            }
            let Ok(before) = core.connected().await else { continue };
            let asked = Instant::now();
            match before.ask::<()>(&redis::cmd("PING")).await {
                Ok(()) => core.recent().forget_older(window, asked),
                Err(error) => core.failed(&before, &error).await,
            }
        }
    }
}

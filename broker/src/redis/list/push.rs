//! The writing side: runs of documents, each exactly where it belongs, once, however often it has to be sent.

use std::time::Instant;

use rastro_model::Position;

use super::{ListKeys, write::Run};
use crate::{
    BrokerError,
    redis::{
        backoff::Backoff,
        core::{Core, Live},
        error::RedisError,
        keys::{decode_position, encode_position},
        scripts,
        writer::ROOM_POLL,
    },
};

/// Redis does nothing else while a script runs, so one script gets about this at most, bytes.
const BYTES_A_SCRIPT: usize = 1024 * 1024;

struct Answer {
    settled: String,
    reason: String,
    standing: String,
}

/// Puts runs into the list in order. Returns how many of them were new.
pub(super) async fn push(
    core: &Core,
    keys: &ListKeys,
    runs: &[Run],
    limit_documents: u64,
) -> Result<usize, BrokerError> {
    let mut left = runs;
    let mut accepted = 0;
    let mut trouble = Backoff::new();
    let mut room = Backoff::between(ROOM_POLL.0, ROOM_POLL.1);
    while let Some(next) = left.first() {
        let live = core.connected().await?;
        let answer = match send(core, keys, &live, batch_of(left), limit_documents).await {
            Ok(answer) => answer,
            Err(error) => {
                core.wait_out(&live, error, &mut trouble).await?;
                continue;
            }
        };
        let now = Instant::now();
        for (run, flag) in left.iter().zip(answer.settled.bytes()) {
            core.recent().advanced(run.stream, run.end, now);
            let is_new = flag == b'1';
            accepted += usize::from(is_new);
            if is_new {
                metrics::counter!("rastro_broker_list_pushed_documents_total")
                    .increment(run.documents().len() as u64);
            }
        }
        core.appended.notify_one();
        left = &left[answer.settled.len().min(left.len())..];
        if !answer.settled.is_empty() {
            trouble = Backoff::new();
            room = Backoff::between(ROOM_POLL.0, ROOM_POLL.1);
            continue;
        }
        match answer.reason.as_str() {
            "done" => {}
            "full" => {
                metrics::counter!("rastro_broker_list_full_waits_total").increment(1);
                tokio::select! {
                    () = tokio::time::sleep(room.next_delay()) => {}
                    () = core.closed() => return Err(BrokerError::Closed),
                }
            }
            "order" | "unknown" => {
                let held = decode_position(&answer.standing);
                core.recent().set_end(next.stream, held);
                return Err(BrokerError::OutOfOrder {
                    stream: next.stream,
                    previous: next.previous,
                    held: held.unwrap_or(Position::START),
                });
            }
            _ => return Err(live.unexpected("a push to the list").into()),
        }
    }
    Ok(accepted)
}

fn batch_of(runs: &[Run]) -> &[Run] {
    let mut bytes = 0;
    let count = runs.iter().take_while(|run| {
        let fits = bytes == 0 || bytes + run.size() <= BYTES_A_SCRIPT;
        bytes += run.size().max(1);
        fits
    });
    &runs[..count.count()]
}

async fn send(
    core: &Core,
    keys: &ListKeys,
    live: &Live,
    runs: &[Run],
    limit_documents: u64,
) -> Result<Answer, RedisError> {
    let mut call = scripts::LIST_PUSH.call(&[&keys.list, &keys.written]);
    call.arg(limit_documents);
    for (index, run) in runs.iter().enumerate() {
        // If an earlier run of the stream was refused, this one must not become the stream's first.
        let is_known = runs[..index].iter().any(|before| before.stream == run.stream)
            || core.recent().end(run.stream).is_some();
        let documents = run.documents();
        call.arg(run.stream.to_string())
            .arg(u8::from(is_known))
            .arg(encode_position(run.previous))
            .arg(encode_position(run.end))
            .arg(run.next_line)
            .arg(documents.len());
        for document in documents {
            call.arg(document);
        }
    }
    let (settled, reason, standing) = live.ask(&call).await?;
    Ok(Answer { settled, reason, standing })
}

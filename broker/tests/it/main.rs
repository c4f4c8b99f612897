//! What the embedded queue and the one in Redis promise, seen from outside.

#![allow(clippy::unwrap_used, reason = "the helpers of the tests are tests, too")]

mod chunk;
mod contract;
mod kill;
mod queue;
mod redis;

use rastro_broker::{Broker, Chunk, Delivery, EmbeddedBroker, EmbeddedConfig, Payload};
use rastro_model::{Position, StreamId};

/// Lines `from..to` of a stream of which every line is ten bytes, as a chunk.
fn chunk(stream: u64, from: u64, to: u64) -> Chunk {
    let mut lines = Vec::new();
    for line in from..to {
        lines.extend_from_slice(format!("{line:09}\n").as_bytes());
    }
    Chunk {
        stream: StreamId(stream),
        start: Position::new(0, from * 10),
        end: Position::new(0, to * 10),
        previous: Position::new(0, from * 10),
        first_line: from,
        lines: (to - from) as u32,
        cut_lines: 0,
        gap: None,
        node: "node-1".to_owned(),
        path: b"/var/log/rastro/\xff.log".to_vec(),
        header: Some(b"#rastro {}\n".to_vec()),
        read_ns: 7,
        payload: Payload::compress(&lines).unwrap(),
    }
}

fn open(directory: &std::path::Path) -> EmbeddedBroker {
    open_with(directory, &EmbeddedConfig::default())
}

fn open_with(directory: &std::path::Path, config: &EmbeddedConfig) -> EmbeddedBroker {
    EmbeddedBroker::open(&directory.join("queue.db"), config).unwrap().broker
}

fn first_lines(deliveries: &[Delivery]) -> Vec<(u64, u64)> {
    deliveries.iter().map(|delivery| (delivery.chunk.stream.0, delivery.chunk.first_line)).collect()
}

async fn take_all(broker: &EmbeddedBroker) -> Vec<Delivery> {
    broker.take(usize::MAX, std::time::Duration::ZERO).await.unwrap()
}

//! How fast chunks pass through Redis: appended until acknowledged by it, and drained by one consumer.
//!
//! `cargo run --release -p rastro-broker --example redis_throughput -- redis://127.0.0.1:6379 [MILLION LINES]`, with the password in the
//! file that `RASTRO_REDIS_PASSWORD_FILE` names. Chunks of 256 KiB of lines in the agent's default form, made before the clock runs.

#![allow(clippy::unwrap_used, reason = "whoever measures wants to see where it stops")]

use std::{
    io::Write,
    time::{Duration, Instant},
};

use rastro_broker::{Broker, Chunk, Payload, RedisBroker, RedisConfig};
use rastro_model::{Position, StreamId};

const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that one append call carries, as the shipper does.
const CHUNKS_AN_APPEND: usize = 16;
const STREAMS: u64 = 8;

fn lines(first: u64) -> (Vec<u8>, u32) {
    let calls = [
        "file read",
        "file write",
        "IPC futex",
        "wait epoll_wait",
        "net recvfrom",
        "file openat",
        "memory mmap",
    ];
    let (mut text, mut count, mut state) = (Vec::with_capacity(CHUNK_BYTES + 200), 0, first);
    while text.len() < CHUNK_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = state >> 33;
        let call = calls[random as usize % calls.len()];
        let number = first + u64::from(count);
        writeln!(
            text,
            "{number} 2026-11-21T09:{:02}:{:02}.{:09}+0000 < {call} {} {} {} nginx  fd={}(<f>/var/lib/app/{:x}) size={} ",
            number / 60_000 % 60,
            number / 1000 % 60,
            random % 1_000_000_000,
            random % 90_000,
            random % 4096,
            1000 + random % 64,
            random % 40,
            random % 1000,
            random % 8192
        )
        .unwrap();
        count += 1;
    }
    (text, count)
}

fn chunks(wanted: u64) -> Vec<Chunk> {
    let (mut all, mut total) = (Vec::new(), 0);
    let mut places = vec![(0_u64, 0_u64); STREAMS as usize];
    while total < wanted {
        let stream = all.len() % STREAMS as usize;
        let (offset, first_line) = places[stream];
        let (text, count) = lines(total);
        let end = offset + text.len() as u64;
        all.push(Chunk {
            stream: StreamId(stream as u64),
            start: Position::new(0, offset),
            end: Position::new(0, end),
            previous: Position::new(0, offset),
            first_line,
            lines: count,
            cut_lines: 0,
            gap: None,
            node: "node".to_owned(),
            path: b"/var/log/rastro/0123456789ab.log".to_vec(),
            header: None,
            read_ns: 0,
            payload: Payload::compress(&text).unwrap(),
        });
        places[stream] = (end, first_line + u64::from(count));
        total += u64::from(count);
    }
    all
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let million: u64 = arguments.next().map_or(10, |text| text.parse().unwrap());
    let config = RedisConfig {
        addresses: vec![address],
        password_file: std::env::var_os("RASTRO_REDIS_PASSWORD_FILE").map(Into::into),
        prefix: format!("throughput-{}", std::process::id()),
        limit_bytes: 8 << 30,
        ..RedisConfig::default()
    };
    let broker = RedisBroker::connect(config).await.unwrap();
    let chunks = chunks(million * 1_000_000);
    let lines: u64 = chunks.iter().map(|chunk| u64::from(chunk.lines)).sum();
    let raw: usize = chunks.iter().map(|chunk| chunk.payload.raw_length()).sum();
    let stored: usize = chunks.iter().map(|chunk| chunk.payload.compressed_length()).sum();
    println!(
        "{lines} lines of {:.1} bytes in {} chunks, {:.2} bytes a line compressed",
        raw as f64 / lines as f64,
        chunks.len(),
        stored as f64 / lines as f64
    );
    let count = chunks.len();

    let mut slowest = Duration::ZERO;
    let mut left = chunks.into_iter();
    let begun = Instant::now();
    loop {
        let batch: Vec<Chunk> = left.by_ref().take(CHUNKS_AN_APPEND).collect();
        if batch.is_empty() {
            break;
        }
        let sent = Instant::now();
        broker.append(batch).await.unwrap();
        slowest = slowest.max(sent.elapsed());
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "appended and acknowledged: {:.2} million lines/s, {:.0} MB/s of lines, slowest append of {CHUNKS_AN_APPEND} chunks {slowest:?}",
        lines as f64 / seconds / 1e6,
        raw as f64 / seconds / 1e6
    );

    let begun = Instant::now();
    let mut taken = 0;
    while taken < count {
        let deliveries = broker.take(4 << 20, Duration::from_secs(10)).await.unwrap();
        taken += deliveries.len();
        broker.acknowledge(&deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await.unwrap();
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("taken and acknowledged: {:.2} million lines/s", lines as f64 / seconds / 1e6);
    assert_eq!(broker.depth().await.unwrap().bytes, 0);
    broker.close().await;
}

//! A server that is crowded, that freezes for longer than a request may take, and that is killed, under writes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Bytes;
use elasticsearch::http::Method;
use rastro_model::StreamId;
use rastro_store::{
    ChunkOutput, Columns, Rendered, RenderedKind, Store,
    elastic::{ElasticConfig, ElasticStore},
};

use crate::{home::Home, own_server::OwnServer, tally};

const STREAMS: u64 = 6;
const CALLS: u64 = 20;

/// Longest time for one request: short, but not for a machine that has other things to do.
const REQUEST_LIMIT: Duration = Duration::from_secs(4);

/// A chunk with two documents of calls.
fn chunk(home: &Home, stream: u64, number: u64) -> ChunkOutput {
    let mut chunk = home.chunk(stream, number * CALLS, (number + 1) * CALLS);
    let document = br#"{"@timestamp":"2022-03-31T18:13:16.977Z","latency":7}"#;
    chunk.rendered = vec![Rendered {
        kind: RenderedKind::Call,
        segment: chunk.segments[0].id,
        id_prefix: format!("{}-", chunk.segments[0].id),
        bytes: [document.as_slice(), document].concat(),
        ends: vec![document.len() as u32, 2 * document.len() as u32],
    }];
    chunk
}

/// Writers, each of streams of its own, until they are told to stop.
struct Writers {
    is_over: Arc<AtomicBool>,
    failures: Arc<AtomicU64>,
    batches: Arc<AtomicU64>,
    /// Chunks of a stream that are written, by writer.
    tasks: Vec<tokio::task::JoinHandle<u64>>,
}

impl Writers {
    fn start(home: &Arc<Home>, from: u64) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        let (failures, batches) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let write = |stream: u64| {
            let (home, is_over) = (Arc::clone(home), Arc::clone(&is_over));
            let (failures, batches) = (Arc::clone(&failures), Arc::clone(&batches));
            tokio::spawn(async move {
                let config =
                    ElasticConfig { request_timeout: REQUEST_LIMIT, bulk_bytes: 4_096, ..home.config() };
                let store = loop {
                    match ElasticStore::connect(config.clone()).await {
                        Ok(store) => break store,
                        Err(error) => assert!(error.is_transient(), "{error}"),
                    }
                };
                let mut next = from;
                while !is_over.load(Ordering::Relaxed) {
                    let batch: Vec<ChunkOutput> = (next..next + 5).map(|n| chunk(&home, stream, n)).collect();
                    while let Err(error) = store.write_chunks(&batch).await {
                        assert!(error.is_transient(), "{error}");
                        failures.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    next += 5;
                    batches.fetch_add(1, Ordering::Relaxed);
                }
                next
            })
        };
        let tasks = (1..=STREAMS).map(write).collect();
        Self { is_over, failures, batches, tasks }
    }

    /// Waits until `count` more batches are written.
    async fn write_more(&self, count: u64) {
        let target = self.batches.load(Ordering::Relaxed) + count;
        let begun = Instant::now();
        while self.batches.load(Ordering::Relaxed) < target {
            assert!(begun.elapsed() < Duration::from_mins(2), "nothing is written any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Lets each write what it has begun; the chunks of every stream, and how often a write failed.
    async fn end(self) -> (Vec<u64>, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut written = Vec::new();
        for task in self.tasks {
            written.push(task.await.unwrap());
        }
        (written, self.failures.load(Ordering::Relaxed))
    }
}

/// Every call once, every stream in its order, every document beside once.
async fn assert_whole(home: &Home, chunks: &[u64]) {
    let store = home.open_elastic().await;
    let mut next = vec![1_u64; chunks.len()];
    let mut place = 0;
    loop {
        let page = store.segments(&home.index(), place, 100_000, Columns::All).await.unwrap();
        let Some(last) = page.last() else { break };
        place = last.place;
        for stored in page {
            assert_eq!(stored.segment.gap, None);
            let next = &mut next[stored.segment.id.stream.0 as usize - 1];
            for number in stored.segment.calls.number {
                assert_eq!(number, *next, "stream {}", stored.segment.id.stream);
                *next += 1;
            }
        }
    }
    for (number, chunks) in chunks.iter().enumerate() {
        assert_eq!(next[number], chunks * CALLS + 1);
        let stream = StreamId(number as u64 + 1);
        assert_eq!(store.stream_tally(stream).await.unwrap(), tally(chunks * CALLS));
    }
    let all: u64 = chunks.iter().sum();
    assert_eq!(store.rollups(&home.index()).await.unwrap()[0].count, all * CALLS);
    let events = format!("/{}-events", home.index());
    home.server().ask(Method::Post, &format!("{events}/_refresh"), None).await;
    let (_, count) = home.server().ask(Method::Get, &format!("{events}/_count"), None).await;
    assert_eq!(count["count"], all * 2);
}

/// Keeps the server's one writing thread busy until `is_over`, with documents of nobody's.
fn crowd(home: &Arc<Home>, is_over: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<()>> {
    let lines =
        format!("{{\"index\":{{\"_index\":\"{}\"}}}}\n{{\"a\":\"b c d e f\"}}\n", home.named("noise"));
    let body = Bytes::from(lines.repeat(4_000));
    let ask = || {
        let (home, is_over, body) = (Arc::clone(home), Arc::clone(is_over), body.clone());
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                home.server().pass_on("POST", "/_bulk", "application/x-ndjson", body.clone()).await;
            }
        })
    };
    (0..3).map(|_| ask()).collect()
}

async fn rejected(home: &Home) -> u64 {
    let path = "/_nodes/stats/thread_pool?filter_path=nodes.*.thread_pool.write.rejected";
    let (_, stats) = home.server().ask(Method::Get, path, None).await;
    let nodes = stats["nodes"].as_object().unwrap();
    nodes.values().filter_map(|node| node["thread_pool"]["write"]["rejected"].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_crowded_freezes_and_dies_under_writes_loses_nothing_and_doubles_nothing() {
    let settings = "xpack.security.enabled: false\nnode.processors: 1\nthread_pool.write.queue_size: 1";
    let Some(mut own) = OwnServer::new(settings) else { return };
    let url = format!("http://127.0.0.1:{}", own.port);
    let home = Arc::new(Home::on(own.start(&url).await));

    // Crowded: one bulk request at a time, one that waits, and three askers beside the writers.
    let writers = Writers::start(&home, 0);
    writers.write_more(2 * STREAMS).await;
    let is_over = Arc::<AtomicBool>::default();
    let crowd = crowd(&home, &is_over);
    let begun = Instant::now();
    while rejected(&home).await < 50 && begun.elapsed() < Duration::from_mins(2) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let rejections = rejected(&home).await;
    assert!(rejections >= 50, "{rejections} rejections prove little");
    is_over.store(true, Ordering::Relaxed);
    for asking in crowd {
        asking.await.unwrap();
    }

    // Frozen for longer than a request may take; what it was asked meanwhile it does afterwards, beside the repeats.
    writers.write_more(STREAMS).await;
    own.freeze();
    tokio::time::sleep(3 * REQUEST_LIMIT).await;
    own.thaw();
    writers.write_more(2 * STREAMS).await;
    let (chunks, failures) = writers.end().await;
    assert!(failures >= 3, "{failures} writes failed: it was not frozen while they wrote");
    assert_whole(&home, &chunks).await;

    // Killed in the middle, twice.
    let from = *chunks.iter().max().unwrap();
    let mut level = Vec::new();
    for (number, chunks) in chunks.iter().enumerate() {
        level.extend((*chunks..from).map(|n| chunk(&home, number as u64 + 1, n)));
    }
    home.open_elastic().await.write_chunks(&level).await.unwrap();
    let writers = Writers::start(&home, from);
    for _ in 0..2 {
        writers.write_more(2 * STREAMS).await;
        own.kill();
        own.start(&url).await;
    }
    writers.write_more(2 * STREAMS).await;
    let (chunks, failures) = writers.end().await;
    assert!(failures >= STREAMS, "{failures} writes failed: it was not killed while they wrote");
    assert!(chunks.iter().all(|chunks| *chunks > from), "{chunks:?}");
    assert_whole(&home, &chunks).await;
}

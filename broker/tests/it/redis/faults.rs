//! Redis dies, stops, forgets; connections are cut; consumers die.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rastro_broker::{Broker, BrokerError, Delivery, RedisBroker, RedisConfig};
use rastro_model::StreamId;

use super::{
    acknowledge_all, lines_of,
    server::{Proxy, Server},
    take_all,
};
use crate::{chunk, first_lines};

const STREAMS: u64 = 5;

/// Appends a chunk to each stream, again and again, until told to stop. Returns how many each got.
async fn write(broker: Arc<RedisBroker>, stop: Arc<AtomicBool>) -> u64 {
    let mut line = 0;
    while !stop.load(Ordering::Relaxed) {
        let chunks = (0..STREAMS).map(|stream| chunk(stream, line, line + 1)).collect();
        broker.append(chunks).await.unwrap();
        line += 1;
    }
    line
}

/// What consumers have been given.
#[derive(Default)]
struct Record {
    next: BTreeMap<u64, u64>,
    repeats: u64,
}

impl Record {
    fn note(&mut self, deliveries: &[Delivery]) {
        for (stream, line) in first_lines(deliveries) {
            let next = self.next.entry(stream).or_default();
            assert!(line <= *next, "stream {stream}: line {line} came before line {next}");
            if line == *next {
                *next += 1;
            } else {
                self.repeats += 1;
            }
        }
    }
}

/// Takes and acknowledges until the writers have stopped and nothing is left.
async fn read(broker: Arc<RedisBroker>, stop: Arc<AtomicBool>) -> Record {
    let mut record = Record::default();
    loop {
        let has_stopped = stop.load(Ordering::Relaxed);
        let taken = broker.take(2000, Duration::from_millis(100)).await.unwrap();
        record.note(&taken);
        acknowledge_all(&broker, &taken).await;
        if has_stopped && taken.is_empty() && broker.depth().await.is_ok_and(|depth| depth.chunks == 0) {
            return record;
        }
    }
}

/// Runs a writer and a reader while `faults` happen, and checks that everything came, in order.
async fn survives(
    writer: Arc<RedisBroker>,
    reader: Arc<RedisBroker>,
    faults: impl AsyncFnOnce(),
) -> (u64, Record) {
    let stop = Arc::new(AtomicBool::new(false));
    let stop_reading = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write(writer, Arc::clone(&stop)));
    let reading = tokio::spawn(read(reader, Arc::clone(&stop_reading)));
    faults().await;
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    stop_reading.store(true, Ordering::Relaxed);
    let record = tokio::time::timeout(Duration::from_mins(1), reading).await.unwrap().unwrap();
    assert_eq!(record.next, (0..STREAMS).map(|stream| (stream, written)).collect());
    eprintln!("{written} chunks in each of {STREAMS} streams, {} delivered more than once", record.repeats);
    (written, record)
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_redis_is_killed_and_restarted() {
    let Some(mut server) = Server::start() else { return };
    let (writer, reader) = (Arc::new(server.open().await), Arc::new(server.open().await));
    let (written, _) = survives(writer, reader, async || {
        for round in 0..5 {
            pause(150 + round * 40).await;
            server.kill();
            pause(round * 30).await;
            server.restart();
        }
        pause(150).await;
    })
    .await;
    assert!(written > 10, "too little was written to prove anything: {written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_reordered_when_connections_are_cut() {
    let Some(server) = Server::start_with(&["--appendonly", "no"]) else { return };
    let proxy = Proxy::to(server.port);
    let config =
        RedisConfig { addresses: vec![format!("redis://127.0.0.1:{}", proxy.port)], ..server.config() };
    let writer = Arc::new(RedisBroker::connect(config.clone()).await.unwrap());
    let reader = Arc::new(RedisBroker::connect(config).await.unwrap());
    let mut cut = 0;
    survives(writer, reader, async || {
        for round in 0..25 {
            pause(20 + round * 7 % 60).await;
            cut += proxy.cut();
        }
        pause(100).await;
    })
    .await;
    assert!(cut >= 25, "only {cut} connections were cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_reordered_when_redis_stands_still() {
    let Some(server) = Server::start_with(&["--appendonly", "no"]) else { return };
    let config = RedisConfig {
        command_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(300),
        ..server.config()
    };
    let writer = Arc::new(RedisBroker::connect(config.clone()).await.unwrap());
    let reader = Arc::new(RedisBroker::connect(config).await.unwrap());
    survives(writer, reader, async || {
        for _ in 0..3 {
            pause(150).await;
            server.signal("-STOP");
            pause(900).await;
            server.signal("-CONT");
        }
        pause(300).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_scripts_are_forgotten() {
    let Some(server) = Server::start_with(&["--appendonly", "no"]) else { return };
    let (writer, reader) = (Arc::new(server.open().await), Arc::new(server.open().await));
    survives(writer, reader, async || {
        for _ in 0..5 {
            pause(60).await;
            server.cli(&["SCRIPT", "FLUSH"]);
        }
        pause(100).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_power_loss_takes_from_redis_is_sent_again() {
    let Some(mut server) = Server::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]) else {
        return;
    };
    let broker = server.open().await;
    broker.append((0..10).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    let durable = server.append_only_length();
    broker.append((10..20).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    broker.append((0..3).map(|line| chunk(2, line, line + 1)).collect()).await.unwrap();
    // The power fails: what had not reached the disk is gone.
    server.lose_power(durable);
    // Nobody appends any more: the broker sees by itself that its chunks are gone.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while broker.depth().await.is_ok_and(|depth| depth.chunks < 23) {
        assert!(std::time::Instant::now() < deadline, "{:?}", broker.depth().await);
        pause(50).await;
    }
    assert_eq!(broker.append(vec![chunk(1, 20, 21)]).await.unwrap(), 1);
    let taken = take_all(&broker).await;
    assert_eq!(lines_of(1, &taken), (0..21).collect::<Vec<_>>());
    assert_eq!(lines_of(2, &taken), [0, 1, 2]);
}

#[tokio::test]
async fn what_is_lost_and_no_longer_remembered_is_asked_of_the_shipper() {
    let Some(mut server) = Server::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]) else {
        return;
    };
    let config = RedisConfig { resend_limit_bytes: 0, ..server.config() };
    let broker = RedisBroker::connect(config).await.unwrap();
    broker.append((0..10).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    let durable = server.append_only_length();
    broker.append((10..20).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    server.lose_power(durable);
    let error = broker.append(vec![chunk(1, 20, 21)]).await.unwrap_err();
    assert!(matches!(error, BrokerError::OutOfOrder { .. }), "{error}");
    let next = broker.stream_end(StreamId(1)).await.unwrap().unwrap().next_line;
    assert_eq!(next, 10);
    broker.append((next..21).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    assert_eq!(lines_of(1, &take_all(&broker).await), (0..21).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_redis_that_forgot_everything_gets_the_latest_chunks_again_and_goes_on() {
    let Some(mut server) = Server::start_with(&["--appendonly", "no"]) else { return };
    let broker = server.open().await;
    broker.append((0..10).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    let taken = take_all(&broker).await;
    acknowledge_all(&broker, &taken[..5]).await;
    server.kill();
    server.restart();
    assert_eq!(broker.append(vec![chunk(1, 10, 11)]).await.unwrap(), 1);
    // All eleven: that some were acknowledged, Redis has forgotten, too.
    assert_eq!(lines_of(1, &take_all(&broker).await), (0..11).collect::<Vec<_>>());
    // Acknowledging what was taken before the loss does no harm.
    acknowledge_all(&broker, &taken[5..]).await;
    assert_eq!(broker.depth().await.unwrap().chunks, 11);
}

#[tokio::test]
async fn a_dead_consumer_is_succeeded_by_another_which_begins_where_it_stopped() {
    let Some(server) = Server::start() else { return };
    let (first, second) = (server.open().await, server.open().await);
    first
        .append(
            (0..10).flat_map(|line| (0..STREAMS).map(move |stream| chunk(stream, line, line + 1))).collect(),
        )
        .await
        .unwrap();
    let taken = take_all(&first).await;
    assert_eq!(taken.len(), 50);
    acknowledge_all(&first, &taken[..20]).await;
    assert!(
        second.take(usize::MAX, Duration::from_millis(300)).await.unwrap().is_empty(),
        "the first one lives"
    );
    first.append((0..STREAMS).map(|stream| chunk(stream, 10, 11)).collect()).await.unwrap();
    // It dies without a word.
    drop(first);
    let begun = std::time::Instant::now();
    let mut succeeded = Vec::new();
    while succeeded.len() < 35 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        succeeded.extend(second.take(usize::MAX, Duration::from_secs(1)).await.unwrap());
    }
    eprintln!("succeeded within {:?}, with a lease of 600 ms", begun.elapsed());
    for stream in 0..STREAMS {
        let left: Vec<u64> = lines_of(stream, &taken[20..]).into_iter().chain([10]).collect();
        assert_eq!(lines_of(stream, &succeeded), left, "stream {stream}");
    }
    acknowledge_all(&second, &succeeded).await;
    assert_eq!(second.depth().await.unwrap().chunks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_share_the_partitions_and_nothing_is_handled_twice() {
    let Some(server) = Server::start() else { return };
    let brokers: Vec<_> = [server.open().await, server.open().await].into_iter().map(Arc::new).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let reading: Vec<_> =
        brokers.iter().map(|broker| tokio::spawn(collect(Arc::clone(broker), Arc::clone(&stop)))).collect();
    for line in 0..60 {
        let chunks = (0..32).map(|stream| chunk(stream, line, line + 1)).collect();
        brokers[0].append(chunks).await.unwrap();
        pause(30).await;
    }
    while brokers[0].depth().await.unwrap().chunks > 0 {
        pause(20).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut shares = Vec::new();
    for one in reading {
        shares.push(one.await.unwrap());
    }
    assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 32 * 60);
    // A partition changes hands only when nothing of it is in hand: each stream is cut once at most.
    for stream in 0..32 {
        let mut parts: Vec<Vec<u64>> = shares.iter().map(|share| lines_of(stream, share)).collect();
        parts.sort();
        assert_eq!(parts.concat(), (0..60).collect::<Vec<_>>(), "stream {stream}");
    }
    let smaller = shares.iter().map(Vec::len).min().unwrap();
    assert!(smaller > 32 * 60 / 5, "one of them had only {smaller} chunks");
}

async fn collect(broker: Arc<RedisBroker>, stop: Arc<AtomicBool>) -> Vec<Delivery> {
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let taken = broker.take(1000, Duration::from_millis(50)).await.unwrap();
        acknowledge_all(&broker, &taken).await;
        all.extend(taken);
    }
    all
}

#[tokio::test]
async fn a_stream_that_someone_removed_is_made_again() {
    let Some(server) = Server::start() else { return };
    let broker = RedisBroker::connect(RedisConfig { partitions: 1, ..server.config() }).await.unwrap();
    broker.append(vec![chunk(1, 0, 1)]).await.unwrap();
    assert_eq!(take_all(&broker).await.len(), 1);
    server.cli(&["DEL", "{rastro}:0:chunks"]);
    broker.append(vec![chunk(1, 1, 2)]).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..50 {
        seen.extend(broker.take(usize::MAX, Duration::from_millis(200)).await.unwrap());
        if !seen.is_empty() {
            break;
        }
    }
    assert_eq!(lines_of(1, &seen), [1]);
}

#[tokio::test]
async fn an_entry_that_is_no_chunk_is_set_aside_and_stands_in_nobodys_way() {
    let Some(server) = Server::start() else { return };
    let broker = RedisBroker::connect(RedisConfig { partitions: 1, ..server.config() }).await.unwrap();
    server.cli(&["XADD", "{rastro}:0:chunks", "*", "c", "not a chunk"]);
    broker.append(vec![chunk(1, 0, 1)]).await.unwrap();
    let taken = take_all(&broker).await;
    assert_eq!(lines_of(1, &taken), [0]);
    acknowledge_all(&broker, &taken).await;
    let depth = broker.depth().await.unwrap();
    assert_eq!((depth.chunks, depth.bytes), (0, 0));
    assert!(server.cli(&["XRANGE", "{rastro}:damaged", "-", "+"]).contains("not a chunk"));
}

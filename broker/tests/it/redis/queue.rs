//! Order, acknowledgement, bound: what the embedded queue promises, too.

use std::{sync::Arc, time::Duration};

use rastro_broker::{Broker, BrokerError, RedisBroker, RedisConfig};

use super::{acknowledge_all, lines_of, server::Server, take_all};
use crate::{chunk, contract, first_lines};

#[tokio::test]
async fn chunks_of_a_stream_come_in_order_and_streams_are_independent() {
    let Some(server) = Server::start() else { return };
    let broker = server.open().await;
    for from in 0..20 {
        let chunks = (1..=40).map(|stream| chunk(stream, from, from + 1)).collect();
        assert_eq!(broker.append(chunks).await.unwrap(), 40);
    }
    let mut seen = Vec::new();
    loop {
        let some = broker.take(1000, Duration::from_millis(100)).await.unwrap();
        if some.is_empty() {
            break;
        }
        assert!(some.windows(2).all(|pair| pair[0].id < pair[1].id));
        seen.extend(some);
    }
    for stream in 1..=40 {
        assert_eq!(lines_of(stream, &seen), (0..20).collect::<Vec<_>>(), "stream {stream}");
    }
    assert_eq!(seen[0].chunk, chunk(seen[0].chunk.stream.0, 0, 1));
    acknowledge_all(&broker, &seen).await;
    let depth = broker.depth().await.unwrap();
    assert_eq!((depth.chunks, depth.bytes), (0, 0));
}

#[tokio::test]
async fn what_was_not_acknowledged_is_delivered_again_after_reopening() {
    let Some(server) = Server::start() else { return };
    let broker = server.open().await;
    broker.append((0..6).map(|from| chunk(1, from, from + 1)).collect()).await.unwrap();
    let taken = take_all(&broker).await;
    broker.acknowledge(&[taken[1].id, taken[4].id]).await.unwrap();
    broker.acknowledge(&[taken[1].id, 9_999]).await.unwrap();
    assert_eq!(broker.depth().await.unwrap().chunks, 4);
    broker.close().await;
    assert!(matches!(broker.append(vec![chunk(1, 6, 7)]).await, Err(BrokerError::Closed)));
    drop(broker);
    let broker = server.open().await;
    assert_eq!(broker.depth().await.unwrap().chunks, 4);
    assert_eq!(first_lines(&take_all(&broker).await), [(1, 0), (1, 2), (1, 3), (1, 5)]);
    assert!(take_all(&broker).await.is_empty());
}

#[tokio::test]
async fn released_chunks_come_again_before_later_ones() {
    let Some(server) = Server::start() else { return };
    let broker = server.open().await;
    broker.append((0..3).map(|from| chunk(1, from, from + 1)).collect()).await.unwrap();
    let taken = take_all(&broker).await;
    broker.append(vec![chunk(1, 3, 4)]).await.unwrap();
    broker.release(&[taken[2].id, taken[1].id]).await.unwrap();
    broker.release(&[9_999]).await.unwrap();
    let again = take_all(&broker).await;
    assert_eq!(first_lines(&again), [(1, 1), (1, 2), (1, 3)]);
    acknowledge_all(&broker, &again).await;
    broker.acknowledge(&[taken[0].id]).await.unwrap();
    assert_eq!(broker.depth().await.unwrap().chunks, 0);
}

#[tokio::test]
async fn repeats_are_skipped_and_a_chunk_that_does_not_follow_is_refused() {
    let Some(server) = Server::start() else { return };
    contract::appending_is_exact(async || server.open().await, take_all).await;
}

#[tokio::test]
async fn a_new_queue_accepts_a_stream_in_its_middle() {
    let Some(server) = Server::start() else { return };
    contract::a_stream_may_begin_in_its_middle(&server.open().await).await;
}

#[tokio::test]
async fn two_shippers_at_once_bring_a_stream_in_exactly_once() {
    let Some(server) = Server::start() else { return };
    let brokers = [Arc::new(server.open().await), Arc::new(server.open().await)];
    let appending = brokers.iter().map(|broker| {
        let broker = Arc::clone(broker);
        tokio::spawn(async move {
            let mut new = 0;
            for from in (0..300).step_by(3) {
                new += broker
                    .append((from..from + 3).map(|line| chunk(1, line, line + 1)).collect())
                    .await
                    .unwrap();
            }
            new
        })
    });
    let mut new = 0;
    for one in appending.collect::<Vec<_>>() {
        new += one.await.unwrap();
    }
    assert_eq!(new, 300);
    assert_eq!(lines_of(1, &take_all(&brokers[0]).await), (0..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_queue_makes_append_wait_until_chunks_are_acknowledged() {
    let Some(server) = Server::start() else { return };
    let length = chunk(1, 0, 100).encode().unwrap().len() as u64;
    let config = RedisConfig { limit_bytes: 3 * length + 20, ..server.config() };
    let broker = Arc::new(RedisBroker::connect(config).await.unwrap());
    let appending = {
        let broker = Arc::clone(&broker);
        // Of several streams, so that the bound is seen to be over all partitions.
        let chunks =
            (0..24).map(|number| chunk(number % 4, number / 4 * 100, number / 4 * 100 + 100)).collect();
        tokio::spawn(async move { broker.append(chunks).await })
    };
    let mut seen = Vec::new();
    while seen.len() < 24 {
        let taken = broker.take(1, Duration::from_secs(20)).await.unwrap();
        let depth = broker.depth().await.unwrap();
        assert!(depth.bytes <= depth.limit_bytes && depth.chunks <= 3, "{depth:?}");
        if seen.len() < 20 {
            assert!(!appending.is_finished());
        }
        seen.extend(taken.clone());
        acknowledge_all(&broker, &taken).await;
    }
    assert_eq!(appending.await.unwrap().unwrap(), 24);
    for stream in 0..4 {
        assert_eq!(lines_of(stream, &seen), [0, 100, 200, 300, 400, 500]);
    }
    assert_eq!(broker.depth().await.unwrap().bytes, 0);
}

#[tokio::test]
async fn a_chunk_larger_than_the_bound_passes_through_an_empty_queue() {
    let Some(server) = Server::start() else { return };
    let config = RedisConfig { limit_bytes: 10, ..server.config() };
    let broker = RedisBroker::connect(config).await.unwrap();
    assert_eq!(broker.append(vec![chunk(1, 0, 100)]).await.unwrap(), 1);
    let second = broker.append(vec![chunk(1, 100, 200)]);
    assert!(tokio::time::timeout(Duration::from_millis(300), second).await.is_err(), "the queue is full");
    // The append that gave up leaves nothing behind that would be stored later.
    acknowledge_all(&broker, &take_all(&broker).await).await;
    assert!(take_all(&broker).await.is_empty());
    assert_eq!(broker.append(vec![chunk(1, 100, 200)]).await.unwrap(), 1);
}

#[tokio::test]
async fn take_waits_for_an_append_and_is_woken_by_it() {
    let Some(server) = Server::start() else { return };
    let broker = Arc::new(server.open().await);
    assert!(broker.take(1, Duration::from_millis(20)).await.unwrap().is_empty());
    let mut slowest = Duration::ZERO;
    for line in 0..5 {
        let taking = {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move { broker.take(1, Duration::from_secs(30)).await })
        };
        tokio::time::sleep(Duration::from_millis(30)).await;
        let begun = std::time::Instant::now();
        broker.append(vec![chunk(1, line, line + 1)]).await.unwrap();
        assert_eq!(taking.await.unwrap().unwrap().len(), 1);
        slowest = slowest.max(begun.elapsed());
    }
    eprintln!("an append wakes a waiting taker within {slowest:?}");
    assert!(slowest < Duration::from_secs(10));
}

#[tokio::test]
async fn a_take_that_nobody_waits_for_any_more_loses_nothing() {
    let Some(server) = Server::start() else { return };
    let broker = server.open().await;
    broker.append((0..50).map(|line| chunk(1, line, line + 1)).collect()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 50 {
        // Some of these are given up before, some after Redis has answered.
        for micros in [50, 200, 400, 800] {
            if let Ok(taken) =
                tokio::time::timeout(Duration::from_micros(micros), broker.take(1, Duration::from_secs(1)))
                    .await
            {
                seen.extend(lines_of(1, &taken.unwrap()));
            }
        }
        seen.extend(lines_of(1, &broker.take(1, Duration::from_secs(1)).await.unwrap()));
    }
    assert_eq!(seen, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_number_of_partitions_is_what_the_first_one_said() {
    let Some(server) = Server::start() else { return };
    let first = RedisBroker::connect(RedisConfig { partitions: 3, ..server.config() }).await.unwrap();
    first.append((0..9).map(|stream| chunk(stream, 0, 1)).collect()).await.unwrap();
    let second = server.open().await;
    second.append((0..9).map(|stream| chunk(stream, 1, 2)).collect()).await.unwrap();
    let taken = take_all(&second).await;
    assert_eq!(taken.len(), 18);
    assert!((0..9).all(|stream| lines_of(stream, &taken) == [0, 1]));
    assert_eq!(server.cli(&["EXISTS", "{rastro}:3:chunks"]).trim(), "0");
}

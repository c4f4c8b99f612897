//! Order, acknowledgement, bound, damage.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    sync::Arc,
    time::Duration,
};

use rastro_broker::{Broker, EmbeddedBroker, EmbeddedConfig, QueueState};
use rastro_model::StreamId;

use crate::{chunk, contract, first_lines, open, open_with, take_all};

#[tokio::test]
async fn chunks_of_a_stream_come_in_order_and_streams_are_independent() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    for from in 0..20 {
        broker.append(vec![chunk(1, from, from + 1), chunk(2, from, from + 1)]).await.unwrap();
    }
    let mut seen = Vec::new();
    loop {
        let some = broker.take(1000, Duration::ZERO).await.unwrap();
        if some.is_empty() {
            break;
        }
        assert!(some.windows(2).all(|pair| pair[0].id < pair[1].id));
        seen.extend(first_lines(&some));
    }
    assert_eq!(seen, (0..20).flat_map(|line| [(1, line), (2, line)]).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_not_acknowledged_is_delivered_again_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append((0..6).map(|from| chunk(1, from, from + 1)).collect()).await.unwrap();
    let taken = take_all(&broker).await;
    broker.acknowledge(&[taken[1].id, taken[4].id]).await.unwrap();
    assert_eq!(broker.depth().await.unwrap().chunks, 4);
    drop(broker);
    let broker = open(directory.path());
    assert_eq!(broker.depth().await.unwrap().chunks, 4);
    assert_eq!(first_lines(&take_all(&broker).await), [(1, 0), (1, 2), (1, 3), (1, 5)]);
    assert!(take_all(&broker).await.is_empty());
}

#[tokio::test]
async fn released_chunks_come_again_before_later_ones() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append((0..3).map(|from| chunk(1, from, from + 1)).collect()).await.unwrap();
    let taken = take_all(&broker).await;
    broker.append(vec![chunk(1, 3, 4)]).await.unwrap();
    broker.release(&[taken[2].id, taken[1].id]).await.unwrap();
    broker.release(&[9_999]).await.unwrap();
    assert_eq!(first_lines(&take_all(&broker).await), [(1, 1), (1, 2), (1, 3)]);
}

#[tokio::test]
async fn repeats_are_skipped_and_a_chunk_that_does_not_follow_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    contract::appending_is_exact(async || open(directory.path()), take_all).await;
}

#[tokio::test]
async fn a_new_queue_accepts_a_stream_in_its_middle() {
    let directory = tempfile::tempdir().unwrap();
    contract::a_stream_may_begin_in_its_middle(&open(directory.path())).await;
}

#[tokio::test]
async fn a_full_queue_makes_append_wait_until_chunks_are_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let length = chunk(1, 0, 100).encode().unwrap().len() as u64;
    let config = EmbeddedConfig { limit_bytes: 3 * length + 20, ..EmbeddedConfig::default() };
    let broker = Arc::new(open_with(directory.path(), &config));
    let appending = {
        let broker = Arc::clone(&broker);
        let chunks = (0..20).map(|number| chunk(1, number * 100, number * 100 + 100)).collect();
        tokio::spawn(async move { broker.append(chunks).await })
    };
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let taken = broker.take(1, Duration::from_secs(20)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let depth = broker.depth().await.unwrap();
        assert!(depth.bytes <= depth.limit_bytes && depth.chunks <= 3, "{depth:?}");
        if seen.len() < 15 {
            assert!(!appending.is_finished());
        }
        seen.extend(taken.iter().map(|delivery| delivery.chunk.first_line / 100));
        broker.acknowledge(&taken.iter().map(|delivery| delivery.id).collect::<Vec<_>>()).await.unwrap();
    }
    assert_eq!(appending.await.unwrap().unwrap(), 20);
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    assert_eq!(broker.depth().await.unwrap().bytes, 0);
}

#[tokio::test]
async fn a_chunk_larger_than_the_bound_passes_through_an_empty_queue() {
    let directory = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { limit_bytes: 10, ..EmbeddedConfig::default() };
    let broker = open_with(directory.path(), &config);
    assert_eq!(broker.append(vec![chunk(1, 0, 100)]).await.unwrap(), 1);
    let second =
        tokio::time::timeout(Duration::from_millis(50), broker.append(vec![chunk(1, 100, 200)])).await;
    assert!(second.is_err(), "the queue is full");
    // The append that gave up leaves nothing behind that would be stored later.
    let taken = take_all(&broker).await;
    broker.acknowledge(&[taken[0].id]).await.unwrap();
    assert!(take_all(&broker).await.is_empty());
    assert_eq!(broker.append(vec![chunk(1, 100, 200)]).await.unwrap(), 1);
}

#[tokio::test]
async fn take_waits_for_an_append() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Arc::new(open(directory.path()));
    assert!(broker.take(1, Duration::from_millis(20)).await.unwrap().is_empty());
    let taking = {
        let broker = Arc::clone(&broker);
        tokio::spawn(async move { broker.take(1, Duration::from_secs(30)).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    broker.append(vec![chunk(1, 0, 1)]).await.unwrap();
    let started = std::time::Instant::now();
    assert_eq!(taking.await.unwrap().unwrap().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_second_process_is_told_that_the_queue_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let _broker = open(directory.path());
    let error = EmbeddedBroker::open(&directory.path().join("queue.db"), &EmbeddedConfig::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("in use by another process"), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_a_new_queue_begins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    // Where the damage lies: the head of the file, the end of a stream, a page of chunks, chunks' bytes.
    for (round, place) in [0, 2 * 16_384 - 70, 2 * 16_384 + 4, 70_000].into_iter().enumerate() {
        let opened = EmbeddedBroker::open(&path, &EmbeddedConfig::default()).unwrap();
        let chunks = (0..400).map(|number| chunk(1, number * 50, number * 50 + 50)).collect();
        opened.broker.append(chunks).await.unwrap();
        drop(opened);
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(place)).unwrap();
        file.write_all(&[0x5a; 64]).unwrap();
        drop(file);
        let opened = EmbeddedBroker::open(&path, &EmbeddedConfig::default()).unwrap();
        let aside = directory.path().join(format!("queue.db.corrupt-{}", round + 1));
        assert_eq!(opened.state, QueueState::Quarantined(aside.clone()), "damage at byte {place}");
        assert!(aside.exists());
        assert_eq!(opened.broker.depth().await.unwrap().chunks, 0);
        assert_eq!(opened.broker.stream_end(StreamId(1)).await.unwrap(), None);
        drop(opened);
        fs::remove_file(&path).unwrap();
    }
    let opened = EmbeddedBroker::open(&path, &EmbeddedConfig::default()).unwrap();
    assert_eq!(opened.state, QueueState::Created);
}

#[tokio::test]
async fn a_queue_of_another_program_or_a_later_version_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    drop(open(directory.path()));
    for (pragma, expected) in [("user_version = 2", "version 2"), ("application_id = 5", "another program")] {
        rusqlite::Connection::open(&path).unwrap().execute_batch(&format!("PRAGMA {pragma}")).unwrap();
        let error = EmbeddedBroker::open(&path, &EmbeddedConfig::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(path.exists() && !directory.path().join("queue.db.corrupt-1").exists());
    }
}

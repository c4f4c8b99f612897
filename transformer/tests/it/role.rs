//! The loop between a broker and a store that fails.

use std::{path::Path, sync::Arc, time::Duration};

use rastro_broker::{Broker, Chunk, EmbeddedBroker, EmbeddedConfig};
use rastro_format::Format;
use rastro_model::{StreamId, Tally};
use rastro_store::{Store, embedded::EmbeddedStore};
use rastro_transformer::{RoleConfig, TransformerConfig, TransformerError, run};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::chain,
    scripted_store::{Answer, ScriptedStore},
};

const CHUNKS: usize = 40;
const LINES_PER_CHUNK: usize = 25;

fn config() -> RoleConfig {
    let format = Format::parse("%evt.rawtime %evt.type").unwrap();
    RoleConfig {
        // Several chunks a batch and several batches a take.
        take_bytes: 4 * 1024,
        batch_bytes: 2 * 1024,
        wait: Duration::from_millis(20),
        retry: Duration::from_millis(1),
        retry_limit: Duration::from_millis(8),
        end_limit: Duration::from_secs(20),
        ..RoleConfig::new(TransformerConfig::new(format, "test"))
    }
}

fn open(directory: &Path) -> Arc<EmbeddedBroker> {
    let path = directory.join("queue.db");
    Arc::new(EmbeddedBroker::open(&path, &EmbeddedConfig::default()).unwrap().broker)
}

/// Chunks of two streams, in turns.
fn chunks() -> Vec<Chunk> {
    let lines: Vec<Vec<u8>> =
        (0..CHUNKS * LINES_PER_CHUNK / 2).map(|line| format!("{line} read\n").into_bytes()).collect();
    let cuts: Vec<usize> = (1..CHUNKS / 2).map(|chunk| chunk * LINES_PER_CHUNK).collect();
    let first = chain(&lines, &cuts);
    first
        .into_iter()
        .flat_map(|chunk| {
            [Chunk { stream: StreamId(1), ..chunk.clone() }, Chunk { stream: StreamId(2), ..chunk }]
        })
        .collect()
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited 30 s for: {what}");
}

/// Fails unless every chunk is written once and every stream in its order.
fn check_all_written(store: &ScriptedStore) {
    let written = store.written();
    assert_eq!(written.len(), CHUNKS);
    for stream in [StreamId(1), StreamId(2)] {
        let starts: Vec<u64> =
            written.iter().filter(|output| output.stream == stream).map(|output| output.first_line).collect();
        let expected: Vec<u64> = (0..CHUNKS as u64 / 2).map(|chunk| chunk * LINES_PER_CHUNK as u64).collect();
        assert_eq!(starts, expected, "{stream}");
    }
    let tally: Tally = written.iter().map(|output| output.tally).sum();
    assert_eq!(tally.calls_stored as usize, CHUNKS * LINES_PER_CHUNK);
    assert!(tally.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_chunk_is_written_in_order_and_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    let store = Arc::new(ScriptedStore::default());
    let shutdown = CancellationToken::new();
    let role = tokio::spawn(run(broker.clone(), store.clone(), config(), shutdown.clone()));
    for chunk in chunks() {
        broker.append(vec![chunk]).await.unwrap();
    }
    until("an empty broker", async || broker.depth().await.unwrap().chunks == 0).await;
    shutdown.cancel();
    role.await.unwrap().unwrap();
    check_all_written(&store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_room_is_tried_again_and_nothing_is_lost_or_reordered() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append(chunks()).await.unwrap();
    let full = [Answer::DiskFull; 6];
    let slow = [Answer::Slow(Duration::from_millis(10)); 2];
    let store = Arc::new(ScriptedStore::answering(full.into_iter().chain(slow).chain(full)));
    let shutdown = CancellationToken::new();
    let role = tokio::spawn(run(broker.clone(), store.clone(), config(), shutdown.clone()));
    until("an empty broker", async || broker.depth().await.unwrap().chunks == 0).await;
    shutdown.cancel();
    role.await.unwrap().unwrap();
    check_all_written(&store);
    assert!(store.tries() > 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_while_the_store_has_no_room_leaves_the_chunks_in_the_broker() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append(chunks()).await.unwrap();
    let full = Arc::new(ScriptedStore::always(Answer::DiskFull));
    let shutdown = CancellationToken::new();
    let role = tokio::spawn(run(broker.clone(), full.clone(), config(), shutdown.clone()));
    until("some tries", async || full.tries() > 3).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), role).await.unwrap().unwrap().unwrap();
    assert!(full.written().is_empty());
    assert_eq!(broker.depth().await.unwrap().chunks as usize, CHUNKS);

    // What was taken went back: the same broker delivers it to the next role, in order.
    let store = Arc::new(ScriptedStore::default());
    let shutdown = CancellationToken::new();
    let role = tokio::spawn(run(broker.clone(), store.clone(), config(), shutdown.clone()));
    until("an empty broker", async || broker.depth().await.unwrap().chunks == 0).await;
    shutdown.cancel();
    role.await.unwrap().unwrap();
    check_all_written(&store);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_is_finished_when_the_role_is_told_to_end() {
    for delay_ms in [0, 1, 3, 10, 30] {
        let directory = tempfile::tempdir().unwrap();
        let broker = open(directory.path());
        broker.append(chunks()).await.unwrap();
        let store = Arc::new(ScriptedStore::always(Answer::Slow(Duration::from_millis(2))));
        let shutdown = CancellationToken::new();
        let role = tokio::spawn(run(broker.clone(), store.clone(), config(), shutdown.clone()));
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        shutdown.cancel();
        role.await.unwrap().unwrap();
        let waiting = broker.depth().await.unwrap().chunks as usize;
        assert_eq!(
            store.written().len() + waiting,
            CHUNKS,
            "what is written is acknowledged, and nothing else"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_the_store_refuses_for_good_ends_the_role_and_keeps_the_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append(chunks()).await.unwrap();
    let store = Arc::new(ScriptedStore::answering([Answer::Slow(Duration::ZERO), Answer::Damaged]));
    let ended = run(broker.clone(), store.clone(), config(), CancellationToken::new()).await;
    let Err(TransformerError::Store(error)) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains("overlap"), "{error}");
    let waiting = broker.depth().await.unwrap().chunks as usize;
    assert!(waiting > 0 && !store.written().is_empty());
    assert_eq!(store.written().len() + waiting, CHUNKS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_the_role_with_its_sentence_and_keeps_the_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append(chunks()).await.unwrap();
    let store = Arc::new(ScriptedStore::always(Answer::Refused));
    let ended = run(broker.clone(), store.clone(), config(), CancellationToken::new()).await;
    let Err(TransformerError::Store(error)) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains("the password is wrong"), "{error}");
    assert!(store.written().is_empty());
    assert_eq!(broker.depth().await.unwrap().chunks as usize, CHUNKS);
    assert_eq!(broker.take(usize::MAX, Duration::ZERO).await.unwrap().len(), CHUNKS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_refused_does_not_hold_up_the_others_from_one_start_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append(chunks()).await.unwrap();
    let store = Arc::new(ScriptedStore::refusing(StreamId(1)));
    // Every start ends with the sentence, and brings the other stream further.
    for _ in 0..CHUNKS {
        let before = store.written().len();
        let ended = run(broker.clone(), store.clone(), config(), CancellationToken::new()).await;
        assert!(matches!(ended, Err(TransformerError::Store(_))), "{ended:?}");
        assert!(store.written().iter().all(|output| output.stream == StreamId(2)));
        if store.written().len() == before {
            break;
        }
    }
    let waiting = broker.depth().await.unwrap().chunks as usize;
    assert_eq!(store.written().len() + waiting, CHUNKS, "nothing is lost and nothing doubled");
    let waiting = broker.take(usize::MAX, Duration::ZERO).await.unwrap();
    assert!(waiting.iter().filter(|delivery| delivery.chunk.stream == StreamId(1)).count() == CHUNKS / 2);
    assert!(!store.written().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_with_new_borders_are_cut_to_what_the_store_does_not_know() {
    let all = chunks();
    let of_first: Vec<&Chunk> = all.iter().filter(|chunk| chunk.stream == StreamId(1)).collect();
    let mut texts = Vec::new();
    of_first[3].payload.decompress(&mut texts).unwrap();
    // All of three chunks and seven lines of the fourth are known.
    let seven: usize = texts.split_inclusive(|&byte| byte == b'\n').take(7).map(<[u8]>::len).sum();
    let mut known = of_first[3].start;
    known.offset += seven as u64;
    let next_line = of_first[3].first_line + 7;

    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append(all.clone()).await.unwrap();
    let store = Arc::new(ScriptedStore::knowing(StreamId(1), known, next_line));
    let shutdown = CancellationToken::new();
    let role = tokio::spawn(run(broker.clone(), store.clone(), config(), shutdown.clone()));
    until("an empty broker", async || broker.depth().await.unwrap().chunks == 0).await;
    shutdown.cancel();
    role.await.unwrap().unwrap();

    let written = store.written();
    let first: Vec<_> = written.iter().filter(|output| output.stream == StreamId(1)).collect();
    assert_eq!(first[0].start, known);
    assert_eq!((first[0].previous, first[0].first_line), (known, next_line));
    assert!(first.is_sorted_by(|before, after| before.end == after.start));
    let lines: u64 = first.iter().map(|output| output.tally.lines_read).sum();
    assert_eq!(lines + next_line, (CHUNKS / 2 * LINES_PER_CHUNK) as u64, "nothing twice, nothing lost");
    assert_eq!(written.iter().filter(|output| output.stream == StreamId(2)).count(), CHUNKS / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_does_not_hold_the_role_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let broker = open(directory.path());
    broker.append(chunks()).await.unwrap();
    let stuck = Arc::new(ScriptedStore::always(Answer::Stuck));
    let shutdown = CancellationToken::new();
    let config = RoleConfig { end_limit: Duration::from_millis(50), ..config() };
    let role = tokio::spawn(run(broker.clone(), stuck.clone(), config, shutdown.clone()));
    until("a try", async || stuck.tries() > 0).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), role).await.unwrap().unwrap().unwrap();
    assert_eq!(broker.depth().await.unwrap().chunks as usize, CHUNKS);
    let again = broker.take(usize::MAX, Duration::ZERO).await.unwrap();
    assert_eq!(again.len(), CHUNKS, "everything that was taken went back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_delivered_twice_is_in_the_store_once() {
    // Two threads whose calls overlap, so that chunk borders part enters from exits.
    let lines: Vec<Vec<u8>> = (0..500)
        .flat_map(|call| [(call, 1, '>'), (call, 2, '>'), (call, 1, '<'), (call, 2, '<')])
        .zip(1_600_000_000_000_000_000_u64..)
        .map(|((call, thread, direction), time)| {
            format!("{time} {thread} {direction} read{}\n", call % 7).into_bytes()
        })
        .collect();
    let cuts: Vec<usize> = (1..lines.len()).step_by(33).collect();
    let chunks = chain(&lines, &cuts);
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(&directory.path().join("store.db")).unwrap());
    let format = Format::parse("%evt.rawtime %thread.tid %evt.dir %evt.type").unwrap();
    let config = RoleConfig { transformer: TransformerConfig::new(format, "test"), ..config() };
    for delivery in ["first", "second"] {
        let queue = directory.path().join(delivery);
        std::fs::create_dir(&queue).unwrap();
        let broker = open(&queue);
        broker.append(chunks.clone()).await.unwrap();
        let shutdown = CancellationToken::new();
        let role = tokio::spawn(run(broker.clone(), store.clone(), config.clone(), shutdown.clone()));
        until("an empty broker", async || broker.depth().await.unwrap().chunks == 0).await;
        shutdown.cancel();
        role.await.unwrap().unwrap();
        let tally = store.stream_tally(chunks[0].stream).await.unwrap();
        let expected = Tally {
            lines_read: 2000,
            events_parsed: 2000,
            calls_stored: 1000,
            events_folded: 1000,
            ..Tally::default()
        };
        assert_eq!(tally, expected, "{delivery}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_whose_chunks_are_drawn_anew_is_in_the_store_once() {
    // Two threads whose calls overlap, so that chunk borders part enters from exits.
    let lines: Vec<Vec<u8>> = (0..300)
        .flat_map(|call| [(call, 1, '>'), (call, 2, '>'), (call, 1, '<'), (call, 2, '<')])
        .zip(1_600_000_000_000_000_000_u64..)
        .map(|((call, thread, direction), time)| {
            format!("{time} {thread} {direction} read{}\n", call % 7).into_bytes()
        })
        .collect();
    let cut_every = |length: usize| -> Vec<Chunk> {
        let cuts: Vec<usize> = (1..lines.len()).filter(|line| line % length == 0).collect();
        chain(&lines, &cuts)
    };
    let format = Format::parse("%evt.rawtime %thread.tid %evt.dir %evt.type").unwrap();
    let config = RoleConfig { transformer: TransformerConfig::new(format, "test"), ..config() };
    for known_chunks in [1, 7, 18] {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(&directory.path().join("store.db")).unwrap());
        // The queue is lost when so many chunks are stored, and the next one has other borders.
        let before = cut_every(33)[..known_chunks].to_vec();
        for (queue, chunks) in [("before", before), ("after", cut_every(50))] {
            let queue = directory.path().join(queue);
            std::fs::create_dir(&queue).unwrap();
            let broker = open(&queue);
            broker.append(chunks).await.unwrap();
            let shutdown = CancellationToken::new();
            let role = tokio::spawn(run(broker.clone(), store.clone(), config.clone(), shutdown.clone()));
            until("an empty broker", async || broker.depth().await.unwrap().chunks == 0).await;
            shutdown.cancel();
            role.await.unwrap().unwrap();
        }
        let tally = store.stream_tally(cut_every(50)[0].stream).await.unwrap();
        let expected = Tally {
            lines_read: 1200,
            events_parsed: 1200,
            calls_stored: 600,
            events_folded: 600,
            ..Tally::default()
        };
        assert_eq!(tally, expected, "{known_chunks} chunks were known");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_work_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let config = RoleConfig { wait: Duration::from_mins(10), ..config() };
    let store = Arc::new(ScriptedStore::default());
    let role = tokio::spawn(run(open(directory.path()), store, config, shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), role).await.unwrap().unwrap().unwrap();
}

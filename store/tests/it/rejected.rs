//! A server that has no room for single documents, or for whole requests, for a while.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rastro_model::StreamId;
use rastro_store::{
    ChunkOutput, Columns, Store,
    elastic::{ElasticConfig, ElasticStore},
};

use crate::{between::Between, home::Home, tally};

/// Everything of both streams is there once, in order.
async fn assert_whole(store: &dyn Store, home: &Home, calls: u64) {
    for stream in [1, 2] {
        assert_eq!(store.stream_tally(StreamId(stream)).await.unwrap(), tally(calls));
    }
    let mut next = [1_u64, 1];
    for stored in store.segments(&home.index(), 0, usize::MAX, Columns::All).await.unwrap() {
        let next = &mut next[stored.segment.id.stream.0 as usize - 1];
        assert_eq!(stored.segment.gap, None);
        for number in stored.segment.calls.number {
            assert_eq!(number, *next, "in the order of the index");
            *next += 1;
        }
    }
    assert_eq!(next, [calls + 1, calls + 1]);
    assert_eq!(store.rollups(&home.index()).await.unwrap()[0].count, 2 * calls);
}

fn chunks(home: &Home, first: u64, count: u64) -> Vec<ChunkOutput> {
    (first..first + count)
        .flat_map(|number| [1, 2].map(|stream| home.chunk(stream, number * 10, number * 10 + 10)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_that_are_rejected_are_sent_again_alone_and_keep_the_order_of_their_stream() {
    let Some(home) = Home::elastic() else { return };
    let between = Between::start(home.server()).await;
    // One lane, so that both streams are in the same requests.
    let config = ElasticConfig { urls: vec![between.url.clone()], bulk_concurrency: 1, ..home.config() };
    let store = ElasticStore::connect(config).await.unwrap();
    store.write_chunks(&chunks(&home, 0, 1)).await.unwrap();
    // Some documents never, some up to three times in a row, whatever becomes of their neighbours.
    let mut asked: HashMap<String, u32> = HashMap::new();
    let rejections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&rejections);
    between.reject(move |index, id| {
        let times = asked.entry(format!("{index} {id}")).or_default();
        *times += 1;
        let chance = id.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 5;
        let is_rejected = *times <= chance.saturating_sub(1);
        counter.fetch_add(usize::from(is_rejected), Ordering::Relaxed);
        is_rejected
    });
    let report = store.write_chunks(&chunks(&home, 1, 20)).await.unwrap();
    assert_eq!(report.written, 40, "one call is enough: nothing is given up");
    between.reject(|_, _| false);
    assert!(rejections.load(Ordering::Relaxed) > 40, "{rejections:?} rejections prove little");
    assert_whole(&store, &home, 210).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_rejected_as_a_whole_are_sent_again() {
    let Some(home) = Home::elastic() else { return };
    let between = Between::start(home.server()).await;
    let config = ElasticConfig { urls: vec![between.url.clone()], ..home.config() };
    let store = ElasticStore::connect(config).await.unwrap();
    between.refuse_next(&[429, 429, 429]);
    assert_eq!(store.write_chunks(&chunks(&home, 0, 3)).await.unwrap().written, 6);
    assert_whole(&store, &home, 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_has_room_is_given_up_after_a_bounded_time_and_nothing_is_lost() {
    let Some(home) = Home::elastic() else { return };
    let between = Between::start(home.server()).await;
    let config = ElasticConfig { urls: vec![between.url.clone()], ..home.config() };
    let store = ElasticStore::connect(config).await.unwrap();
    store.write_chunks(&chunks(&home, 0, 1)).await.unwrap();
    // Only the segments of one stream: everything else is taken.
    let index = home.index();
    between.reject(move |rejected_index, id| {
        rejected_index == index && id.starts_with(&StreamId(2).to_string())
    });
    let begun = Instant::now();
    let error = store.write_chunks(&chunks(&home, 1, 3)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("no room"), "{error}");
    assert!((Duration::from_secs(5)..Duration::from_mins(1)).contains(&begun.elapsed()));
    between.reject(|_, _| false);
    assert_eq!(store.write_chunks(&chunks(&home, 1, 3)).await.unwrap().written, 6);
    assert_whole(&store, &home, 40).await;
}

//! Indices that are numbered, and indices that go.

use std::time::Duration;

use rastro_store::{
    Columns, Retention, RetentionReport, Roll, Store, StoreError,
    embedded::{EmbeddedConfig, EmbeddedStore},
};

use crate::{DAY, chunk, open, store_path};

/// A chunk as a transformer makes it that leaves the index to the store.
fn unnamed(stream: u64, from: u64, to: u64) -> rastro_store::ChunkOutput {
    let mut chunk = chunk(stream, from, to);
    chunk.segments[0].index = "shop".into();
    chunk.rollups[0].index = "shop".into();
    chunk
}

#[tokio::test]
async fn a_dataset_goes_on_in_its_next_index_once_one_holds_enough_calls() {
    let directory = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { roll: Roll::Documents(25), ..EmbeddedConfig::default() };
    let rolling = || EmbeddedStore::open_with(&store_path(directory.path()), &config).unwrap();
    let store = rolling();
    let chunks: Vec<_> = (0..4).map(|number| unnamed(1, number * 10, number * 10 + 10)).collect();
    store.write_chunks(&chunks).await.unwrap();
    drop(store);
    let store = rolling();
    // A repeat changes nothing, wherever the dataset has arrived.
    assert_eq!(store.write_chunks(&chunks).await.unwrap().duplicates, 4);
    store.write_chunks(&[unnamed(1, 40, 60), unnamed(1, 60, 61)]).await.unwrap();
    let calls: Vec<_> = store.datasets().await.unwrap()[0]
        .indices
        .iter()
        .map(|index| (index.name.clone(), index.calls))
        .collect();
    let expected = [("shop-000001", 30), ("shop-000002", 30), ("shop-000003", 1)];
    assert_eq!(calls, expected.map(|(name, calls)| (name.to_owned(), calls)));
    for (name, calls) in expected {
        assert_eq!(store.rollups(name).await.unwrap().iter().map(|rollup| rollup.count).sum::<u64>(), calls);
        let segments = store.segments(name, 0, usize::MAX, Columns::All).await.unwrap();
        assert!(segments.iter().all(|stored| stored.segment.index == name));
    }
    // What is named by time stays where it was put.
    store.write_chunks(&[chunk(2, 0, 10)]).await.unwrap();
    assert_eq!(store.segments(crate::INDEX, 0, 1, Columns::All).await.unwrap().len(), 1);
}

#[tokio::test]
async fn old_indices_go_as_wholes_and_what_is_known_of_their_streams_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let day = |number: u64| {
        let mut chunk = chunk(1, number * 20_000, (number + 1) * 20_000);
        let index = format!("shop-2022.03.{:02}", 1 + number);
        chunk.segments[0].index.clone_from(&index);
        for time in &mut chunk.segments[0].calls.time_ns {
            *time += number as i64 * 86_400_000_000_000;
        }
        chunk.rollups[0].index = index;
        chunk
    };
    for number in 0..4 {
        store.write_chunks(&[day(number)]).await.unwrap();
    }
    let before = (store.size().await.unwrap(), store.datasets().await.unwrap());
    let nothing = Retention { max_age: None, max_bytes: Some(u64::MAX) };
    assert_eq!(store.retain(&nothing).await.unwrap(), RetentionReport::default());
    assert_eq!(store.retain(&Retention::default()).await.unwrap(), RetentionReport::default());

    let sizes: Vec<u64> = before.1[0].indices.iter().map(|index| index.bytes).collect();
    // No more than the two newest take, with a rollup each.
    let policy = Retention { max_age: None, max_bytes: Some(sizes[2] + sizes[3] + 200) };
    let report = store.retain(&policy).await.unwrap();
    assert_eq!(report.removed, ["shop-2022.03.01", "shop-2022.03.02"]);
    assert!(report.bytes >= sizes[0] + sizes[1] && store.size().await.unwrap() < before.0);
    let error = store.segments("shop-2022.03.01", 0, 1, Columns::All).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { kind: "index", .. }), "{error}");
    let summary = &store.datasets().await.unwrap()[0];
    assert_eq!((summary.indices.len(), summary.tally), (2, before.1[0].tally));
    assert_eq!(store.write_chunks(&[day(0)]).await.unwrap().duplicates, 1, "it does not come again");

    // Everything is older than a day; the newest index stays all the same.
    assert!(DAY < 1_700_000_000_000_000_000);
    let policy = Retention { max_age: Some(Duration::from_hours(24)), max_bytes: None };
    assert_eq!(store.retain(&policy).await.unwrap().removed, ["shop-2022.03.03"]);
    assert!(store.retain(&policy).await.unwrap().removed.is_empty());
    assert_eq!(store.datasets().await.unwrap()[0].indices[0].name, "shop-2022.03.04");
}

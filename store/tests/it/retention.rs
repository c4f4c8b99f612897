//! Indices that are numbered, and indices that go.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rastro_store::{ChunkOutput, Columns, Retention, RetentionReport, Roll, Store as _, StoreError};

use crate::{
    DAY, dead_letter,
    home::{Home, in_both_homes},
    open, store_path,
};

in_both_homes!(
    a_dataset_goes_on_in_its_next_index_once_one_holds_enough_calls,
    old_indices_go_as_wholes_and_what_is_known_of_their_streams_stays,
    dead_letters_go_by_the_same_rule_and_do_not_come_again,
);

/// A chunk as a transformer makes it that leaves the index to the store.
fn unnamed(home: &Home, stream: u64, from: u64, to: u64) -> ChunkOutput {
    let mut chunk = home.chunk(stream, from, to);
    chunk.segments[0].index = home.dataset();
    chunk.rollups[0].index = home.dataset();
    chunk
}

async fn a_dataset_goes_on_in_its_next_index_once_one_holds_enough_calls(home: &Home) {
    let rolling = || home.open_rolling(Roll::Documents(25));
    let store = rolling().await;
    let chunks: Vec<_> = (0..4).map(|number| unnamed(home, 1, number * 10, number * 10 + 10)).collect();
    store.write_chunks(&chunks).await.unwrap();
    drop(store);
    let store = rolling().await;
    // A repeat changes nothing, wherever the dataset has arrived.
    assert_eq!(store.write_chunks(&chunks).await.unwrap().duplicates, 4);
    store.write_chunks(&[unnamed(home, 1, 40, 60), unnamed(home, 1, 60, 61)]).await.unwrap();
    let calls: Vec<_> = store.datasets().await.unwrap()[0]
        .indices
        .iter()
        .map(|index| (index.name.clone(), index.calls))
        .collect();
    let expected = [("shop-000001", 30), ("shop-000002", 30), ("shop-000003", 1)]
        .map(|(name, calls)| (home.named(name), calls));
    assert_eq!(calls, expected);
    for (name, calls) in expected {
        assert_eq!(store.rollups(&name).await.unwrap().iter().map(|rollup| rollup.count).sum::<u64>(), calls);
        let segments = store.segments(&name, 0, usize::MAX, Columns::All).await.unwrap();
        assert!(segments.iter().all(|stored| stored.segment.index == name));
    }
    // What is named by time stays where it was put.
    store.write_chunks(&[home.chunk(2, 0, 10)]).await.unwrap();
    assert_eq!(store.segments(&home.index(), 0, 1, Columns::All).await.unwrap().len(), 1);
}

async fn old_indices_go_as_wholes_and_what_is_known_of_their_streams_stays(home: &Home) {
    let store = home.open().await;
    let day = |number: u64| {
        let mut chunk = home.chunk(1, number * 20_000, (number + 1) * 20_000);
        let index = home.named(&format!("shop-2022.03.{:02}", 1 + number));
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

    // What ended before the middle of the second day.
    let cut = DAY + 3 * 43_200_000_000_000;
    let cut = UNIX_EPOCH + Duration::from_nanos(cut as u64);
    let age = SystemTime::now().duration_since(cut).unwrap();
    let policy = Retention { max_age: Some(age), max_bytes: None };
    let report = store.retain(&policy).await.unwrap();
    assert_eq!(report.removed, [home.named("shop-2022.03.01"), home.named("shop-2022.03.02")]);
    assert!(report.bytes > 0, "{report:?}");
    let left = store.size().await.unwrap();
    assert!(left < before.0, "{left} {}", before.0);
    let error = store.segments(&home.named("shop-2022.03.01"), 0, 1, Columns::All).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { kind: "index", .. }), "{error}");
    let summary = &store.datasets().await.unwrap()[0];
    assert_eq!((summary.indices.len(), summary.tally), (2, before.1[0].tally));
    assert_eq!(store.write_chunks(&[day(0)]).await.unwrap().duplicates, 1, "it does not come again");

    // However little may stay, the newest index does.
    let policy = Retention { max_age: None, max_bytes: Some(1) };
    assert_eq!(store.retain(&policy).await.unwrap().removed, [home.named("shop-2022.03.03")]);
    assert!(store.retain(&policy).await.unwrap().removed.is_empty());
    assert_eq!(store.datasets().await.unwrap()[0].indices[0].name, home.named("shop-2022.03.04"));
}

async fn dead_letters_go_by_the_same_rule_and_do_not_come_again(home: &Home) {
    let store = home.open().await;
    let with_letters = |from: u64, letters: u64| {
        let mut chunk = home.chunk(1, from, from + 10);
        chunk.dead_letters = (from..from + letters).map(dead_letter).collect();
        chunk
    };
    store.write_chunks(&[with_letters(0, 3)]).await.unwrap();
    let an_hour = Retention { max_age: Some(Duration::from_hours(1)), max_bytes: None };
    assert_eq!(store.retain(&an_hour).await.unwrap(), RetentionReport::default());
    assert_eq!(store.dead_letters(&home.dataset(), 10).await.unwrap().len(), 3);

    tokio::time::sleep(Duration::from_millis(50)).await;
    let a_moment = Retention { max_age: Some(Duration::from_millis(20)), max_bytes: None };
    let report = store.retain(&a_moment).await.unwrap();
    // The index is far older, and stays because it is the newest.
    assert_eq!((report.dead_letters, report.removed.len()), (3, 0), "{report:?}");
    assert!(report.bytes > 0, "{report:?}");
    assert_eq!(store.write_chunks(&[with_letters(0, 3)]).await.unwrap().duplicates, 1);
    assert_eq!(store.dead_letters(&home.dataset(), 10).await.unwrap(), []);
    assert_eq!(store.datasets().await.unwrap()[0].indices.len(), 1);

    // More than are removed at a time.
    store.write_chunks(&[with_letters(10, 12_000)]).await.unwrap();
    let nearly_nothing = Retention { max_age: None, max_bytes: Some(1) };
    let report = store.retain(&nearly_nothing).await.unwrap();
    assert_eq!((report.dead_letters, report.removed.len()), (12_000, 0), "{report:?}");
    assert_eq!(store.dead_letters(&home.dataset(), 10).await.unwrap(), []);
    assert_eq!(store.retain(&nearly_nothing).await.unwrap(), RetentionReport::default());
}

#[tokio::test]
async fn of_many_dead_letters_those_of_old_days_go_and_the_others_stay() {
    const DAY_NS: i64 = 86_400_000_000_000;
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut chunk = crate::chunk(1, 0, 10);
    chunk.dead_letters = (0..25_000).map(dead_letter).collect();
    store.write_chunks(&[chunk]).await.unwrap();
    // As if every ten thousand of them had been stored on a day of their own, the last ones today.
    rusqlite::Connection::open(store_path(directory.path()))
        .unwrap()
        .execute("UPDATE dead_letters SET ingested_ns = ingested_ns - (2 - line / 10000) * ?", [DAY_NS])
        .unwrap();
    let policy = Retention { max_age: Some(Duration::from_hours(12)), max_bytes: None };
    let report = store.retain(&policy).await.unwrap();
    assert_eq!(report.dead_letters, 20_000);
    let left = store.dead_letters("shop", usize::MAX).await.unwrap();
    assert_eq!((left.len(), left[0].line), (5_000, 20_000));
}

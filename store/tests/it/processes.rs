//! Several processes at one store. A second set of connections stands for the second process: SQLite's locks do not tell them
//! apart.

use std::{sync::Arc, time::Duration};

use rastro_model::{ProfileRef, StreamId};
use rastro_store::{
    Columns, Profile, ProfileSummary, Store, StoreError,
    embedded::{EmbeddedConfig, EmbeddedStore},
};

use crate::{INDEX, chunk, open, store_path};

fn profile() -> Profile {
    let summary = ProfileSummary {
        profile: ProfileRef { name: "nginx".into(), version: 0 },
        created_ns: 0,
        models: Vec::new(),
        calls: 0,
        bytes: 0,
    };
    Profile { summary, bytes: vec![1, 2, 3] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_reads_and_writes_profiles_while_the_owner_writes_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let owner = Arc::new(open(directory.path()));
    owner.write_chunks(&[chunk(1, 0, 10)]).await.unwrap();
    let writing = {
        let owner = Arc::clone(&owner);
        tokio::spawn(async move {
            for number in 0..60 {
                let from = 10 + number * 1000;
                owner.write_chunks(&[chunk(1, from, from + 1000)]).await.unwrap();
            }
        })
    };
    let client = open(directory.path());
    let reader = EmbeddedStore::open_read_only(&store_path(directory.path())).unwrap();
    for version in 1..=30 {
        assert_eq!(client.put_profile(&profile()).await.unwrap(), version);
        assert_eq!(reader.profile("nginx", None).await.unwrap().summary.profile.version, version);
        let calls = reader.datasets().await.unwrap()[0].indices[0].calls;
        assert_eq!((calls - 10) % 1000, 0);
    }
    writing.await.unwrap();
    assert_eq!(reader.stream_end(StreamId(1)).await.unwrap().unwrap().1, 60_010);
    assert_eq!(owner.profiles().await.unwrap().len(), 30);
}

#[tokio::test]
async fn who_waits_for_segments_notices_those_of_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let owner = open(directory.path());
    let reader = EmbeddedStore::open_read_only(&store_path(directory.path())).unwrap();
    let waiting = tokio::spawn(async move {
        reader.wait_for_segments(Duration::from_mins(1)).await;
        reader.segments(INDEX, 0, 1, Columns::Sequence).await.unwrap().len()
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    owner.write_chunks(&[chunk(1, 0, 10)]).await.unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_dataset_that_another_process_deletes_can_be_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let owner = open(directory.path());
    owner.write_chunks(&[chunk(1, 0, 10)]).await.unwrap();
    open(directory.path()).delete_dataset("shop").await.unwrap();
    owner.write_chunks(&[chunk(1, 10, 20)]).await.unwrap();
    let summary = &owner.datasets().await.unwrap()[0];
    assert_eq!(
        (summary.name.as_str(), summary.indices[0].calls, summary.tally.calls_stored),
        ("shop", 10, 10)
    );
    assert_eq!(owner.segments(INDEX, 0, usize::MAX, Columns::All).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_write_that_another_process_holds_up_too_long_says_so_and_can_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = store_path(directory.path());
    let config = EmbeddedConfig { busy_timeout: Duration::from_millis(50), ..EmbeddedConfig::default() };
    let store = EmbeddedStore::open_with(&path, &config).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.write_chunks(&[chunk(1, 0, 10)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }) && error.is_transient(), "{error}");
    assert!(store.datasets().await.unwrap().is_empty(), "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.write_chunks(&[chunk(1, 0, 10)]).await.unwrap().written, 1);
}

#[tokio::test]
async fn a_store_opened_for_reading_refuses_every_write() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let reader = EmbeddedStore::open_read_only(&store_path(directory.path())).unwrap();
    let error = reader.write_chunks(&[chunk(1, 0, 10)]).await.unwrap_err().to_string();
    assert!(error.contains("opened for reading only") && error.contains("rastro.db"), "{error}");
    assert!(reader.put_profile(&profile()).await.is_err());
    assert!(reader.datasets().await.unwrap().is_empty());
}

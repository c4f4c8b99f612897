//! Full disks and damaged, foreign and missing files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rastro_store::{
    Columns, Retention, RetentionReport, Store, StoreError,
    embedded::{EmbeddedConfig, EmbeddedStore},
};
use rusqlite::Connection;

use crate::{INDEX, chunk, dead_letter, open, segment, store_path};

/// A small file system of its own, or, where this user may not mount one, a folder.
struct SmallDisk {
    folder: tempfile::TempDir,
    is_mounted: bool,
}

impl SmallDisk {
    fn new(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(folder.path()).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        if !is_mounted {
            eprintln!("no right to mount a file system: the test bounds the file instead");
        }
        Self { folder, is_mounted }
    }

    fn config(&self, pages: u32) -> EmbeddedConfig {
        EmbeddedConfig { max_pages: (!self.is_mounted).then_some(pages), ..EmbeddedConfig::default() }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
        }
    }
}

/// Writes until the disk is full, and goes on once there is room.
async fn fill_and_go_on(path: &Path, config: &EmbeddedConfig, make_room: impl Fn() -> Option<EmbeddedStore>) {
    let mut store = EmbeddedStore::open_with(path, config).unwrap();
    let mut next = 0;
    let error = loop {
        match store.write_chunks(&[chunk(1, next, next + 2_000), chunk(2, next, next + 2_000)]).await {
            Ok(_) => next += 2_000,
            Err(error) => break error,
        }
        assert!(next < 10_000_000, "the disk never fills");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }) && error.is_transient(), "{error}");
    assert!(next > 0);
    for _ in 0..2 {
        assert!(store.write_chunks(&[chunk(1, next, next + 200_000)]).await.is_err());
    }
    let summary = &store.datasets().await.unwrap()[0];
    assert_eq!(summary.indices[0].calls, 2 * next, "what could not be written left nothing");
    assert_eq!(summary.tally.calls_stored, 2 * next);

    if let Some(reopened) = make_room() {
        store = reopened;
    }
    store.write_chunks(&[chunk(1, next, next + 2_000), chunk(2, next, next + 2_000)]).await.unwrap();
    next += 2_000;
    let mut found = [0, 0];
    for stored in store.segments(INDEX, 0, usize::MAX, Columns::All).await.unwrap() {
        let stream = stored.segment.id.stream.0;
        let from = &mut found[stream as usize - 1];
        assert_eq!(stored.segment, segment(stream, *from, *from + 2_000));
        *from += 2_000;
    }
    assert_eq!(found, [next, next]);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_writing_goes_on_once_there_is_room() {
    let disk = SmallDisk::new("3m");
    let path = store_path(disk.folder.path());
    let ballast = disk.folder.path().join("ballast");
    fs::write(&ballast, vec![1; 1024 * 1024]).unwrap();
    let config = disk.config(300);
    fill_and_go_on(&path, &config, || {
        fs::remove_file(&ballast).unwrap();
        // A bound on the file is a matter of the connection.
        (!disk.is_mounted).then(|| open(disk.folder.path()))
    })
    .await;
}

#[tokio::test]
async fn a_store_at_its_bound_of_pages_loses_nothing_either() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_path(folder.path());
    let config = EmbeddedConfig { max_pages: Some(91), ..EmbeddedConfig::default() };
    fill_and_go_on(&path, &config, || Some(open(folder.path()))).await;
}

async fn filled(directory: &Path) -> PathBuf {
    let store = open(directory);
    for number in 0..8 {
        store.write_chunks(&[chunk(1, number * 5_000, (number + 1) * 5_000)]).await.unwrap();
    }
    store_path(directory)
}

#[tokio::test]
async fn a_damaged_segment_is_named_and_the_others_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path()).await;
    let connection = Connection::open(&path).unwrap();
    let place: i64 =
        connection.query_row("SELECT place FROM segments LIMIT 1 OFFSET 1", [], |row| row.get(0)).unwrap();
    connection
        .execute("UPDATE segments SET sequence = CAST(sequence || x'00' AS BLOB) WHERE place = ?", [place])
        .unwrap();
    drop(connection);

    let store = open(directory.path());
    let error = store.segments(INDEX, 0, usize::MAX, Columns::Sequence).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { what: "segment", .. }), "{error}");
    assert!(error.to_string().contains(&segment(1, 5_000, 5_001).id.to_string()), "{error}");
    assert_eq!(store.segment(segment(1, 0, 1).id).await.unwrap(), segment(1, 0, 5_000));
    let behind = store.segments(INDEX, place.cast_unsigned(), usize::MAX, Columns::All).await.unwrap();
    assert_eq!(behind.len(), 6);
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_read_rightly_and_never_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path()).await;
    let sound = fs::read(&path).unwrap();
    let pages = sound.len() / 4096;
    let mut noticed = 0;
    for page in 0..pages {
        let mut damaged = sound.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0x5a);
        fs::write(&path, &damaged).unwrap();
        let outcome = async {
            let store = EmbeddedStore::open(&path)?;
            store.datasets().await?;
            store.segments(INDEX, 0, usize::MAX, Columns::All).await
        }
        .await;
        match outcome {
            Ok(segments) => {
                for (number, stored) in segments.iter().enumerate() {
                    let from = number as u64 * 5_000;
                    assert_eq!(stored.segment, segment(1, from, from + 5_000), "page {page}");
                }
                assert_eq!(segments.len(), 8, "page {page}");
            }
            Err(error) => {
                let text = error.to_string();
                noticed += 1;
                assert!(text.contains("rastro.db") || text.contains("segment"), "page {page}: {text}");
            }
        }
        let after = fs::read(&path).unwrap();
        assert_eq!(after[page * 4096..][..4096], damaged[page * 4096..][..4096], "page {page} was changed");
    }
    // Half of the file are tables that are empty here.
    assert!(noticed > pages / 3, "{noticed} of {pages} damaged pages were noticed");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = store_path(directory.path());
    fs::write(&path, "this is a text, and it is longer than the header of an SQLite file. ".repeat(20))
        .unwrap();
    let before = fs::read(&path).unwrap();
    let error = EmbeddedStore::open(&path).unwrap_err().to_string();
    assert!(error.contains("rastro.db") && error.contains("not a Rastro store"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    let before = fs::read(&path).unwrap();
    for error in [EmbeddedStore::open(&path).unwrap_err(), EmbeddedStore::open_read_only(&path).unwrap_err()]
    {
        assert!(error.to_string().contains("another program"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_store_of_a_later_version_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let path = store_path(directory.path());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for error in [
        EmbeddedStore::open(&path).unwrap_err(),
        EmbeddedStore::open_read_only(&path).unwrap_err(),
        EmbeddedStore::migrate(&path, false).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("version 99") && text.contains("use the Rastro that wrote it"), "{text}");
    }
}

/// A store as the first version of the tables had it, with a dead letter.
async fn of_the_first_version(directory: &Path) -> PathBuf {
    let store = open(directory);
    let mut chunk = chunk(1, 0, 10);
    chunk.dead_letters = vec![dead_letter(3)];
    store.write_chunks(&[chunk]).await.unwrap();
    drop(store);
    let path = store_path(directory);
    Connection::open(&path)
        .unwrap()
        .execute_batch(
            "DROP INDEX dead_letters_by_time; ALTER TABLE dead_letters DROP COLUMN ingested_ns; PRAGMA user_version = 1;",
        )
        .unwrap();
    path
}

async fn assert_is_up_to_date(path: &Path) {
    assert_eq!(EmbeddedStore::migrate(path, false).unwrap(), []);
    let store = EmbeddedStore::open_read_only(path).unwrap();
    assert_eq!(store.dead_letters("shop", 10).await.unwrap(), [dead_letter(3)]);
    assert_eq!(store.segment(segment(1, 0, 10).id).await.unwrap(), segment(1, 0, 10));
}

#[tokio::test]
async fn a_store_of_an_earlier_version_is_migrated_with_all_that_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = of_the_first_version(directory.path()).await;
    let error = EmbeddedStore::open_read_only(&path).unwrap_err().to_string();
    assert!(error.contains("version 1") && error.contains("`rastro migrate`"), "{error}");
    let planned = EmbeddedStore::migrate(&path, true).unwrap();
    assert!(EmbeddedStore::open_read_only(&path).is_err(), "a trial changes nothing");
    assert_eq!(EmbeddedStore::migrate(&path, false).unwrap(), planned);
    assert_eq!((planned.len(), planned[0].from), (1, Some(1)));
    assert_is_up_to_date(&path).await;
    // What is there begins to age with the migration.
    let store = open(directory.path());
    let an_hour = Retention { max_age: Some(Duration::from_hours(1)), max_bytes: None };
    assert_eq!(store.retain(&an_hour).await.unwrap(), RetentionReport::default());
}

#[tokio::test]
async fn who_writes_to_a_store_of_an_earlier_version_migrates_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = of_the_first_version(directory.path()).await;
    let store = open(directory.path());
    assert_eq!(store.write_chunks(&[chunk(1, 10, 20)]).await.unwrap().written, 1);
    assert_is_up_to_date(&path).await;
}

#[tokio::test]
async fn a_segment_in_a_later_form_is_named_and_says_to_upgrade() {
    let directory = tempfile::tempdir().unwrap();
    let path = filled(directory.path()).await;
    let connection = Connection::open(&path).unwrap();
    let read = "SELECT place, sequence FROM segments LIMIT 1 OFFSET 1";
    let (place, mut blob): (i64, Vec<u8>) =
        connection.query_row(read, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    blob[0] += 1;
    let body = blob.len() - 4;
    let checksum = (xxhash_rust::xxh3::xxh3_64(&blob[..body]) as u32).to_le_bytes();
    blob.truncate(body);
    blob.extend_from_slice(&checksum);
    connection.execute("UPDATE segments SET sequence = ? WHERE place = ?", (blob, place)).unwrap();
    let store = open(directory.path());
    let error = store.segments(INDEX, 0, usize::MAX, Columns::Sequence).await.unwrap_err().to_string();
    assert!(error.contains(&segment(1, 5_000, 5_001).id.to_string()), "{error}");
    assert!(error.contains("has form 2") && error.contains("upgrade"), "{error}");
}

#[test]
fn a_store_that_cannot_be_opened_says_which_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("rastro.db");
    let error = EmbeddedStore::open(&path).unwrap_err().to_string();
    assert!(error.contains("missing/rastro.db") && error.contains("directory exists"), "{error}");
    let path = store_path(directory.path());
    let error = EmbeddedStore::open_read_only(&path).unwrap_err().to_string();
    assert!(error.contains("rastro.db") && error.contains("cannot be opened"), "{error}");
    assert!(!path.exists(), "opening for reading makes no file");
}

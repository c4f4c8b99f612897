//! The file: how it is opened, which version of the tables it has, and the tables.

use std::{cmp::Ordering, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::failure::Failure;
use crate::StoreError;

/// Version of the tables, kept in SQLite's `user_version`. Older ones are brought up to date when a store is opened for writing, see
/// [`upgrade`].
pub(super) const VERSION: i64 = 2;

/// Says which file is ours: "rsto", kept in SQLite's `application_id`.
const APPLICATION_ID: i64 = 0x7273_746f;

/// Statements kept prepared a connection.
const PREPARED_STATEMENTS: usize = 64;

/// Small numbers stand for streams, indices and origins, so that a segment's row costs little beside its blobs. The blobs stand
/// last: SQLite reads a long row only as far as it is asked for.
const TABLES: &str = "
    CREATE TABLE datasets (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
    CREATE TABLE indices (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset INTEGER NOT NULL,
        name TEXT NOT NULL UNIQUE,
        segments INTEGER NOT NULL DEFAULT 0,
        calls INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        start_ns INTEGER,
        end_ns INTEGER
    );
    CREATE TABLE containers (id INTEGER PRIMARY KEY, identity TEXT NOT NULL, name TEXT, image TEXT);
    CREATE INDEX containers_by_identity ON containers (identity);
    CREATE TABLE origins (
        id INTEGER PRIMARY KEY, container INTEGER NOT NULL, node TEXT NOT NULL, architecture TEXT NOT NULL
    );
    CREATE INDEX origins_by_container ON origins (container);
    CREATE TABLE index_origins (
        dataset_index INTEGER NOT NULL, origin INTEGER NOT NULL, PRIMARY KEY (dataset_index, origin)
    ) WITHOUT ROWID;

    CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        stream INTEGER NOT NULL UNIQUE,
        path TEXT NOT NULL,
        generation INTEGER NOT NULL,
        byte_offset INTEGER NOT NULL,
        next_line INTEGER NOT NULL,
        open_enters BLOB,
        pending_gap BLOB
    );
    CREATE TABLE tallies (
        stream INTEGER NOT NULL,
        dataset INTEGER NOT NULL,
        lines_read INTEGER NOT NULL,
        events_parsed INTEGER NOT NULL,
        dead_letters INTEGER NOT NULL,
        calls_stored INTEGER NOT NULL,
        events_folded INTEGER NOT NULL,
        events_not_calls INTEGER NOT NULL,
        calls_lost INTEGER NOT NULL,
        lost_bytes INTEGER NOT NULL,
        lost_lines INTEGER NOT NULL,
        PRIMARY KEY (stream, dataset)
    ) WITHOUT ROWID;

    CREATE TABLE segments (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_index INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        byte_offset INTEGER NOT NULL,
        part INTEGER NOT NULL,
        origin INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        gap BLOB,
        sequence BLOB NOT NULL,
        rest BLOB NOT NULL
    );
    CREATE UNIQUE INDEX segments_by_id ON segments (stream, generation, byte_offset, part);
    CREATE INDEX segments_by_index ON segments (dataset_index);

    CREATE TABLE rollups (
        dataset_index INTEGER NOT NULL,
        interval_ns INTEGER NOT NULL,
        container INTEGER NOT NULL,
        name TEXT NOT NULL,
        category INTEGER NOT NULL,
        count INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        latency_sum_ns INTEGER NOT NULL,
        latency_max_ns INTEGER NOT NULL,
        argc_sum INTEGER NOT NULL,
        PRIMARY KEY (dataset_index, interval_ns, container, name, category)
    ) WITHOUT ROWID;
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY,
        dataset INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        line INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        byte_offset INTEGER NOT NULL,
        reason TEXT NOT NULL,
        text BLOB NOT NULL,
        ingested_ns INTEGER NOT NULL
    );
    CREATE INDEX dead_letters_by_dataset ON dead_letters (dataset);
    CREATE INDEX dead_letters_by_time ON dead_letters (ingested_ns);
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY,
        dataset INTEGER NOT NULL,
        container TEXT NOT NULL,
        thread INTEGER,
        start_ns INTEGER,
        end_ns INTEGER,
        label TEXT NOT NULL
    );
    CREATE INDEX labels_by_dataset ON labels (dataset, container, thread);

    CREATE TABLE analyses (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        dataset_index INTEGER NOT NULL,
        job TEXT NOT NULL,
        anomaly_index TEXT NOT NULL,
        place INTEGER,
        state BLOB,
        UNIQUE (dataset_index, job)
    );
    CREATE TABLE scores (
        id INTEGER PRIMARY KEY,
        analysis INTEGER NOT NULL,
        place INTEGER NOT NULL,
        detector TEXT NOT NULL,
        window INTEGER NOT NULL,
        highest REAL NOT NULL,
        frames BLOB NOT NULL
    );
    CREATE UNIQUE INDEX scores_by_segment ON scores (analysis, place, detector, window);
    CREATE INDEX scores_by_highest ON scores (analysis, highest DESC, place, detector, window);
    CREATE TABLE alarms (
        analysis INTEGER NOT NULL,
        id TEXT NOT NULL,
        start_ns INTEGER NOT NULL,
        container TEXT NOT NULL,
        container_name TEXT,
        alarm BLOB NOT NULL,
        PRIMARY KEY (id, analysis)
    );
    CREATE INDEX alarms_by_time ON alarms (analysis, start_ns);

    CREATE TABLE profile_names (name TEXT PRIMARY KEY, highest_version INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE profiles (
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        created_ns INTEGER NOT NULL,
        models TEXT NOT NULL,
        calls INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (name, version)
    );
";

/// Opens the file for writing and makes its tables if it is new.
pub(super) fn open_writer(path: &Path, busy_timeout: Duration) -> Result<Connection, Failure> {
    let mut connection = Connection::open(path)?;
    prepare(&connection, busy_timeout)?;
    // Refused before the first byte is changed.
    check_version(&connection, path, true)?;
    // FULL: what the broker is told to forget must survive a power loss here. Deleted datasets give their room back, which needs
    // `auto_vacuum` from the first page on. A journal that a long write has grown is cut again.
    connection.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         PRAGMA journal_size_limit = 16777216; PRAGMA foreign_keys = OFF;",
    )?;
    if version(&connection)? < VERSION {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been first.
        match version(&transaction)? {
            0 => {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            older => {
                upgrade(&transaction, older)?;
                tracing::info!(from = older, to = VERSION, store = %path.display(), "brought the tables up to date");
            }
        }
        transaction.commit()?;
    }
    Ok(connection)
}

/// Brings older tables up to date, step by step.
fn upgrade(transaction: &Transaction<'_>, from: i64) -> rusqlite::Result<()> {
    if from < 2 {
        // 2: when a dead letter was stored, by which it goes one day. Of those that are there nobody knows it: they begin to age now.
        transaction.execute_batch(
            "ALTER TABLE dead_letters ADD COLUMN ingested_ns INTEGER NOT NULL DEFAULT 0;
             CREATE INDEX dead_letters_by_time ON dead_letters (ingested_ns);",
        )?;
        transaction.execute("UPDATE dead_letters SET ingested_ns = ?", [super::now_ns()])?;
    }
    transaction.pragma_update(None, "user_version", VERSION)
}

/// The version of the tables in the file; 0 if there are none yet.
pub(super) fn version_of(path: &Path, busy_timeout: Duration) -> Result<i64, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection, busy_timeout)?;
    check_version(&connection, path, true)?;
    Ok(version(&connection)?)
}

/// Opens the file for reading.
pub(super) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection, busy_timeout)?;
    check_version(&connection, path, false)?;
    Ok(connection)
}

fn prepare(connection: &Connection, busy_timeout: Duration) -> Result<(), Failure> {
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS);
    connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;")?;
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The file must be ours and of this version; with `may_change` also older, or empty and about to become ours.
fn check_version(connection: &Connection, path: &Path, may_change: bool) -> Result<(), Failure> {
    let refuse =
        |message: String| Failure::from(StoreError::File { path: path.display().to_string(), message });
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version = version(connection)?;
    if application == 0 && version == 0 {
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 && may_change {
            return Ok(());
        }
        if tables == 0 {
            return Err(refuse(
                "nothing was ever stored in it; `rastro replay FILE` or `rastro run` fills it".into(),
            ));
        }
    }
    if application != APPLICATION_ID {
        return Err(refuse(
            "it is an SQLite file of another program, not a Rastro store; give another path".into(),
        ));
    }
    match version.cmp(&VERSION) {
        Ordering::Greater => Err(refuse(format!(
            "its tables have version {version}, this Rastro knows version {VERSION}; use the Rastro that wrote it, or a later one"
        ))),
        Ordering::Less if version < 1 => Err(refuse(
            "its tables bear no version, so its beginning is damaged; restore it from a copy, or move it away to begin with an empty store"
                .into(),
        )),
        Ordering::Less if !may_change => Err(refuse(format!(
            "its tables have version {version}, this Rastro needs version {VERSION}; `rastro migrate` brings them up to date"
        ))),
        _ => Ok(()),
    }
}

//! The SQLite file: its tables, its check, and what happens to a damaged one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rastro_model::{Position, StreamId};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};
use xxhash_rust::xxh3::xxh3_64;

use super::QueueState;
use crate::{BrokerError, StreamEnd, encoded::EncodedChunk};

/// Version of the tables, kept in SQLite's `user_version`. A file of a later version is refused, never set aside.
const VERSION: i64 = 1;

/// Says which file is ours: "rque", kept in SQLite's `application_id`.
const APPLICATION_ID: i64 = 0x7271_7565;

const SCHEMA: &str = "
    CREATE TABLE streams (
        stream INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL,
        byte_offset INTEGER NOT NULL,
        next_line INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY,
        checksum INTEGER NOT NULL,
        blob BLOB NOT NULL
    );
";

/// The open queue file.
#[derive(Debug)]
pub(super) struct QueueFile {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
}

/// What is in a file that was just opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Contents {
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    pub(super) highest_id: u64,
}

/// A stored chunk as it was read.
#[derive(Debug)]
pub(super) struct StoredChunk {
    pub(super) id: u64,
    pub(super) bytes: Vec<u8>,
}

/// What an access to the file met.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("the check found: {0}")]
    Check(String),
    #[error("chunk {0} does not match its checksum")]
    Checksum(u64),
    #[error("it is marked as damaged by the run before")]
    Marked,
}

impl FileError {
    /// Whether the file itself is broken, as opposed to the disk being full or the file in use.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            Self::Check(_) | Self::Checksum(_) | Self::Marked => true,
        }
    }

    /// Whether a later try of the same write may succeed: no room, or the disk failed to write.
    pub(super) fn is_transient_write_failure(&self) -> bool {
        matches!(self, Self::Sqlite(error) if matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
        ))
    }

    pub(super) fn into_broker_error(self, path: &Path) -> BrokerError {
        let message = match &self {
            Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                "it is in use by another process; stop that process or use another data directory".to_owned()
            }
            _ if self.is_damage() => format!(
                "it is damaged ({self}); start again: it is then set aside and the shipper sends again what the store lacks"
            ),
            _ => self.to_string(),
        };
        BrokerError::Queue { path: path.display().to_string(), message }
    }
}

impl QueueFile {
    /// Opens or makes the file; sets a damaged one aside.
    pub(super) fn open(path: &Path) -> Result<(Self, QueueState), BrokerError> {
        let existed = path.try_exists().map_err(|error| io_error(path, &error))?;
        let marker = beside(path, ".damaged");
        let error = if marker.try_exists().unwrap_or(false) {
            FileError::Marked
        } else {
            match Self::open_checked(path) {
                Ok(file) => {
                    return Ok((file, if existed { QueueState::Sound } else { QueueState::Created }));
                }
                Err(OpenError::File(error)) => error,
                Err(OpenError::Version(message)) => {
                    return Err(BrokerError::Queue { path: path.display().to_string(), message });
                }
            }
        };
        if !error.is_damage() {
            return Err(error.into_broker_error(path));
        }
        let aside = set_aside(path).map_err(|error| io_error(path, &error))?;
        match fs::remove_file(&marker) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&marker, &error)),
            _ => {}
        }
        tracing::error!(
            queue = %path.display(), set_aside = %aside.display(), cause = %error,
            "the queue was damaged and is set aside; an empty one begins and what the store lacks is sent again"
        );
        metrics::counter!("rastro_broker_quarantined_total").increment(1);
        match Self::open_checked(path) {
            Ok(file) => Ok((file, QueueState::Quarantined(aside))),
            Err(OpenError::File(error)) => Err(error.into_broker_error(path)),
            Err(OpenError::Version(message)) => {
                Err(BrokerError::Queue { path: path.display().to_string(), message })
            }
        }
    }

    fn open_checked(path: &Path) -> Result<Self, OpenError> {
        let connection = Connection::open(path).map_err(FileError::Sqlite)?;
        connection.busy_timeout(Duration::from_millis(200)).map_err(FileError::Sqlite)?;
        // Exclusive: a second process fails at once, and the index of the WAL lives on the heap instead of in a third file.
        // A page of 16 KiB holds a third of a usual chunk; the cache is small because nothing is read twice.
        connection
            .execute_batch(
                "PRAGMA page_size = 16384; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = NORMAL; PRAGMA cache_size = -2048; PRAGMA wal_autocheckpoint = 2048;
                 PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY;",
            )
            .map_err(FileError::Sqlite)?;
        let file = Self { connection, path: path.to_owned() };
        file.prepare_tables()?;
        file.check()?;
        Ok(file)
    }

    fn prepare_tables(&self) -> Result<(), OpenError> {
        let version: i64 = self.pragma("user_version")?;
        let application: i64 = self.pragma("application_id")?;
        match (application, version) {
            (0, 0) => {
                let schema = format!(
                    "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
                );
                self.connection.execute_batch(&schema).map_err(FileError::Sqlite)?;
                Ok(())
            }
            (APPLICATION_ID, VERSION) => Ok(()),
            (APPLICATION_ID, later) => Err(OpenError::Version(format!(
                "it has version {later}, this Rastro reads version {VERSION}; use the Rastro that wrote it"
            ))),
            _ => Err(OpenError::Version(
                "it is an SQLite file of another program; move it away or use another data directory"
                    .to_owned(),
            )),
        }
    }

    fn pragma(&self, name: &str) -> Result<i64, FileError> {
        Ok(self.connection.pragma_query_value(None, name, |row| row.get(0))?)
    }

    /// Reads everything once: SQLite checks the structure, the checksums check the chunks.
    fn check(&self) -> Result<(), FileError> {
        let found: String = self.connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if found != "ok" {
            return Err(FileError::Check(found));
        }
        let mut statement = self.connection.prepare("SELECT stream FROM streams")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.stream_end(StreamId(row.get::<_, i64>(0)?.cast_unsigned()))?;
        }
        let mut statement = self.connection.prepare("SELECT id, checksum, blob FROM chunks")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let checksum: i64 = row.get(1)?;
            let blob = row.get_ref(2)?;
            if blob.as_blob().map(|bytes| xxh3_64(bytes).cast_signed()) != Ok(checksum) {
                return Err(FileError::Checksum(row.get::<_, i64>(0)?.cast_unsigned()));
            }
        }
        Ok(())
    }

    pub(super) fn contents(&self) -> Result<Contents, FileError> {
        let query = "SELECT count(*), coalesce(sum(length(blob)), 0), coalesce(max(id), 0) FROM chunks";
        Ok(self.connection.query_row(query, [], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            Ok(Contents { chunks: number(0)?, bytes: number(1)?, highest_id: number(2)? })
        })?)
    }

    pub(super) fn stream_end(&self, stream: StreamId) -> Result<Option<StreamEnd>, FileError> {
        stream_end(&self.connection, stream)
    }

    /// The chunk `id`, if it is there.
    pub(super) fn chunk(&self, id: u64) -> Result<Option<StoredChunk>, FileError> {
        self.read_chunk("SELECT id, checksum, blob FROM chunks WHERE id = ?", id)
    }

    /// The first chunk whose id is at least `id`.
    pub(super) fn chunk_from(&self, id: u64) -> Result<Option<StoredChunk>, FileError> {
        self.read_chunk("SELECT id, checksum, blob FROM chunks WHERE id >= ? ORDER BY id LIMIT 1", id)
    }

    fn read_chunk(&self, query: &str, id: u64) -> Result<Option<StoredChunk>, FileError> {
        let mut statement = self.connection.prepare_cached(query)?;
        let row = statement
            .query_row([id.cast_signed()], |row| {
                let chunk = StoredChunk { id: row.get::<_, i64>(0)?.cast_unsigned(), bytes: row.get(2)? };
                Ok((chunk, row.get::<_, i64>(1)?))
            })
            .optional()?;
        match row {
            Some((chunk, checksum)) if xxh3_64(&chunk.bytes).cast_signed() != checksum => {
                Err(FileError::Checksum(chunk.id))
            }
            row => Ok(row.map(|(chunk, _)| chunk)),
        }
    }

    /// Removes chunks, all or nothing; returns how many there were and their bytes.
    pub(super) fn remove(&mut self, ids: &[u64]) -> Result<(u64, u64), FileError> {
        let transaction = self.connection.transaction()?;
        let (mut chunks, mut bytes) = (0, 0);
        {
            let mut statement =
                transaction.prepare_cached("DELETE FROM chunks WHERE id = ? RETURNING length(blob)")?;
            for id in ids {
                let removed: Option<i64> =
                    statement.query_row([id.cast_signed()], |row| row.get(0)).optional()?;
                if let Some(length) = removed {
                    chunks += 1;
                    bytes += length.cast_unsigned();
                }
            }
        }
        transaction.commit()?;
        Ok((chunks, bytes))
    }

    /// Leaves word for the next start that the file is damaged.
    pub(super) fn mark_damaged(&self) {
        let marker = beside(&self.path, ".damaged");
        if let Err(error) = fs::write(&marker, b"") {
            tracing::warn!(marker = %marker.display(), %error, "the damaged queue could not be marked as such");
        }
    }
}

pub(super) fn stream_end(connection: &Connection, stream: StreamId) -> Result<Option<StreamEnd>, FileError> {
    let query = "SELECT generation, byte_offset, next_line, checksum FROM streams WHERE stream = ?";
    let row = connection
        .prepare_cached(query)?
        .query_row([stream.0.cast_signed()], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            let position = Position::new(number(0)?, number(1)?);
            Ok((StreamEnd { position, next_line: number(2)? }, row.get::<_, i64>(3)?))
        })
        .optional()?;
    match row {
        Some((end, checksum)) if end_checksum(stream, end) != checksum => {
            Err(FileError::Check(format!("the end of stream {stream} does not match its checksum")))
        }
        row => Ok(row.map(|(end, _)| end)),
    }
}

/// What is stored beside the end of a stream: SQLite itself would not notice a changed number.
fn end_checksum(stream: StreamId, end: StreamEnd) -> i64 {
    let numbers = [stream.0, end.position.generation, end.position.offset, end.next_line];
    xxh3_64(numbers.map(u64::to_le_bytes).as_flattened()).cast_signed()
}

/// Adds a chunk and moves its stream's end.
pub(super) fn insert(transaction: &Transaction<'_>, id: u64, chunk: &EncodedChunk) -> Result<(), FileError> {
    transaction
        .prepare_cached("INSERT INTO chunks (id, checksum, blob) VALUES (?, ?, ?)")?
        .execute(params![id.cast_signed(), xxh3_64(&chunk.bytes).cast_signed(), &chunk.bytes])?;
    let end = StreamEnd { position: chunk.end, next_line: chunk.next_line };
    transaction
        .prepare_cached(
            "INSERT INTO streams (stream, generation, byte_offset, next_line, checksum) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (stream) DO UPDATE SET generation = ?2, byte_offset = ?3, next_line = ?4, checksum = ?5",
        )?
        .execute(params![
            chunk.stream.0.cast_signed(),
            end.position.generation.cast_signed(),
            end.position.offset.cast_signed(),
            end.next_line.cast_signed(),
            end_checksum(chunk.stream, end),
        ])?;
    Ok(())
}

enum OpenError {
    File(FileError),
    Version(String),
}

impl From<FileError> for OpenError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// `path` with `suffix` behind its file name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Renames the file and its WAL to the first free `.corrupt-<n>`; returns the new path.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1_u32;
    let aside = loop {
        let candidate = beside(path, &format!(".corrupt-{number}"));
        if !candidate.try_exists()? {
            break candidate;
        }
        number += 1;
    };
    fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        match fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

fn io_error(path: &Path, error: &io::Error) -> BrokerError {
    BrokerError::Queue { path: path.display().to_string(), message: error.to_string() }
}

//! What is stored as a whole, and its removal.

use rastro_model::{Container, Position, StreamId, Tally};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    failure::Failure,
    names::{dataset_id, read_container},
};
use crate::{DatasetSummary, IndexSummary};

/// The seven columns of a tally from `first` on.
fn read_tally(row: &Row<'_>, first: usize) -> rusqlite::Result<Tally> {
    Ok(Tally {
        lines_read: row.get(first)?,
        events_parsed: row.get(first + 1)?,
        dead_letters: row.get(first + 2)?,
        calls_stored: row.get(first + 3)?,
        events_folded: row.get(first + 4)?,
        events_not_calls: row.get(first + 5)?,
        calls_lost: row.get(first + 6)?,
    })
}

const TALLY_COLUMNS: &str =
    "lines_read, events_parsed, dead_letters, calls_stored, events_folded, events_not_calls, calls_lost";

/// Every dataset, by name.
pub(super) fn summaries(connection: &Connection) -> Result<Vec<DatasetSummary>, Failure> {
    let mut statement = connection.prepare_cached("SELECT id, name FROM datasets ORDER BY name")?;
    let datasets: Vec<(i64, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    datasets.into_iter().map(|(id, name)| summary(connection, id, name)).collect()
}

fn summary(connection: &Connection, dataset: i64, name: String) -> Result<DatasetSummary, Failure> {
    let mut summary = DatasetSummary {
        name,
        indices: indices(connection, dataset)?,
        tally: Tally::default(),
        lost_bytes: 0,
        lost_lines: 0,
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {TALLY_COLUMNS}, lost_bytes, lost_lines FROM tallies WHERE dataset = ?"
    ))?;
    let mut rows = statement.query([dataset])?;
    while let Some(row) = rows.next()? {
        summary.tally += read_tally(row, 0)?;
        summary.lost_bytes = summary.lost_bytes.saturating_add(row.get(7)?);
        summary.lost_lines = summary.lost_lines.saturating_add(row.get(8)?);
    }
    Ok(summary)
}

fn indices(connection: &Connection, dataset: i64) -> Result<Vec<IndexSummary>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT indices.id, name, segments, calls, bytes, coalesce(start_ns, 0), coalesce(end_ns, 0),
             (SELECT count(*) FROM alarms JOIN analyses ON analyses.id = alarms.analysis
              WHERE analyses.dataset_index = indices.id AND job = 'live')
         FROM indices WHERE dataset = ? ORDER BY name",
    )?;
    let mut rows = statement.query([dataset])?;
    let mut indices = Vec::new();
    while let Some(row) = rows.next()? {
        indices.push(IndexSummary {
            name: row.get(1)?,
            segments: row.get(2)?,
            calls: row.get(3)?,
            containers: containers(connection, row.get(0)?)?,
            start_ns: row.get(5)?,
            end_ns: row.get(6)?,
            bytes: row.get(4)?,
            alarms: row.get(7)?,
        });
    }
    Ok(indices)
}

fn containers(connection: &Connection, index: i64) -> Result<Vec<Container>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT identity, containers.name, image
         FROM index_origins JOIN origins ON origins.id = origin JOIN containers ON containers.id = container
         WHERE dataset_index = ? ORDER BY identity, containers.name, image",
    )?;
    let containers = statement.query_map([index], |row| read_container(row, 0))?;
    Ok(containers.collect::<Result<_, _>>()?)
}

/// What became of the lines of a stream, over all its datasets.
pub(super) fn stream_tally(connection: &Connection, stream: StreamId) -> Result<Tally, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {TALLY_COLUMNS} FROM tallies JOIN streams ON streams.id = tallies.stream WHERE streams.stream = ?"
    ))?;
    let tallies = statement.query_map([stream.0.cast_signed()], |row| read_tally(row, 0))?;
    Ok(tallies.sum::<Result<Tally, rusqlite::Error>>()?)
}

/// Where a stream ends, with the number of the next line.
pub(super) fn stream_end(
    connection: &Connection,
    stream: StreamId,
) -> Result<Option<(Position, u64)>, Failure> {
    Ok(connection
        .prepare_cached("SELECT generation, byte_offset, next_line FROM streams WHERE stream = ?")?
        .query_row([stream.0.cast_signed()], |row| Ok((Position::new(row.get(0)?, row.get(1)?), row.get(2)?)))
        .optional()?)
}

/// Removes everything that belongs to a dataset. Where its streams stand is kept: their chunks are not to be stored once more.
pub(super) fn delete(transaction: &Transaction<'_>, dataset: &str) -> Result<(), Failure> {
    let dataset = dataset_id(transaction, dataset)?;
    let indices = "SELECT id FROM indices WHERE dataset = ?1";
    let analyses = format!("SELECT id FROM analyses WHERE dataset_index IN ({indices})");
    for (table, condition) in [
        ("alarms", format!("analysis IN ({analyses})")),
        ("scores", format!("analysis IN ({analyses})")),
        ("analyses", format!("dataset_index IN ({indices})")),
        ("rollups", format!("dataset_index IN ({indices})")),
        ("index_origins", format!("dataset_index IN ({indices})")),
        ("segments", format!("dataset_index IN ({indices})")),
        ("indices", "dataset = ?1".to_owned()),
        ("labels", "dataset = ?1".to_owned()),
        ("dead_letters", "dataset = ?1".to_owned()),
        ("tallies", "dataset = ?1".to_owned()),
        ("datasets", "id = ?1".to_owned()),
    ] {
        transaction.execute(&format!("DELETE FROM {table} WHERE {condition}"), params![dataset])?;
    }
    Ok(())
}

/// Pages that are given back in one step. Pages from the end of the file move into the holes by way of the journal, which thus
/// stays small; between two steps other writers get their turn.
const VACUUM_STEP: u32 = 4096;

/// Gives free pages back to the file system. What readers still look at is given back later.
pub(super) fn give_room_back(connection: &Connection) -> rusqlite::Result<()> {
    let free_pages = || connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    let mut free = free_pages()?;
    while free > 0 {
        // Each row of the answer is a page freed, so the statement has to be run to its end.
        let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_STEP})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        let left = free_pages()?;
        if left >= free {
            break;
        }
        free = left;
    }
    // Answers with a row that says whether readers were in the way; that is no error.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

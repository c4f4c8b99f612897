//! What each index and each day's dead letters take, and their removal.

use rusqlite::{Connection, Transaction, params};

use super::{failure::Failure, names::index_id};
use crate::retention::{Held, HeldWhat};

/// Dead letters that were stored within this time go together.
const DAY_NS: i64 = 86_400_000_000_000;

/// Dead letters that are removed in one transaction: in between, other writers get their turn.
pub(super) const LETTERS_AT_ONCE: usize = 10_000;

/// What a dead letter takes beside its texts, about.
const LETTER_BYTES: i64 = 64;

/// What a rollup takes in the file, about.
const ROLLUP_BYTES: u64 = 64;

/// Every index with what it takes. Rows share pages, so a share of the file is an estimate: that of its blobs.
pub(super) fn held(connection: &Connection) -> Result<Vec<Held>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT datasets.name, indices.name, coalesce(end_ns, 0), bytes
             + (SELECT coalesce(sum(length(frames)), 0) FROM scores JOIN analyses ON analyses.id = scores.analysis
                WHERE analyses.dataset_index = indices.id)
             + (SELECT coalesce(sum(length(state)), 0) FROM analyses WHERE analyses.dataset_index = indices.id),
             (SELECT count(*) FROM rollups WHERE rollups.dataset_index = indices.id)
         FROM indices JOIN datasets ON datasets.id = indices.dataset",
    )?;
    let held = statement.query_map([], |row| {
        let rollups: u64 = row.get(4)?;
        Ok(Held {
            what: HeldWhat::Index { dataset: row.get(0)?, name: row.get(1)? },
            end_ns: row.get(2)?,
            bytes: row.get::<_, u64>(3)?.saturating_add(rollups.saturating_mul(ROLLUP_BYTES)),
        })
    })?;
    let mut held: Vec<Held> = held.collect::<Result<_, _>>()?;
    let mut statement = connection.prepare_cached(
        "SELECT ingested_ns / ?1 AS day, max(ingested_ns), sum(length(text) + length(reason) + ?2)
         FROM dead_letters GROUP BY day",
    )?;
    let letters = statement.query_map(params![DAY_NS, LETTER_BYTES], |row| {
        let start_ns = row.get::<_, i64>(0)?.saturating_mul(DAY_NS);
        Ok(Held { what: HeldWhat::DeadLetters { start_ns }, end_ns: row.get(1)?, bytes: row.get(2)? })
    })?;
    for letters in letters {
        held.push(letters?);
    }
    Ok(held)
}

/// Removes some of the dead letters that were stored in a time; returns how many, fewer than [`LETTERS_AT_ONCE`] if those were the last.
pub(super) fn remove_dead_letters(
    transaction: &Transaction<'_>,
    start_ns: i64,
    end_ns: i64,
) -> Result<usize, Failure> {
    let removed = transaction
        .prepare_cached(
            "DELETE FROM dead_letters WHERE id IN
                 (SELECT id FROM dead_letters WHERE ingested_ns BETWEEN ?1 AND ?2 LIMIT ?3)",
        )?
        .execute(params![start_ns, end_ns, LETTERS_AT_ONCE as i64])?;
    Ok(removed)
}

/// Removes an index with everything that hangs on it. What is known of its streams stays, and so do the tallies: its calls were
/// stored, and are not to be stored once more.
pub(super) fn remove(transaction: &Transaction<'_>, index: &str) -> Result<(), Failure> {
    let (index, _) = index_id(transaction, index)?;
    let analyses = "SELECT id FROM analyses WHERE dataset_index = ?1";
    for (table, condition) in [
        ("alarms", format!("analysis IN ({analyses})")),
        ("scores", format!("analysis IN ({analyses})")),
        ("analyses", "dataset_index = ?1".to_owned()),
        ("rollups", "dataset_index = ?1".to_owned()),
        ("index_origins", "dataset_index = ?1".to_owned()),
        ("segments", "dataset_index = ?1".to_owned()),
        ("indices", "id = ?1".to_owned()),
    ] {
        transaction.execute(&format!("DELETE FROM {table} WHERE {condition}"), params![index])?;
    }
    Ok(())
}

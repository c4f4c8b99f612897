//! What each index takes, and the removal of one.

use rusqlite::{Connection, Transaction, params};

use super::{failure::Failure, names::index_id};
use crate::retention::HeldIndex;

/// What a rollup takes in the file, about.
const ROLLUP_BYTES: u64 = 64;

/// Every index with what it takes. Rows share pages, so a share of the file is an estimate: that of its blobs.
pub(super) fn held(connection: &Connection) -> Result<Vec<HeldIndex>, Failure> {
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
        Ok(HeldIndex {
            dataset: row.get(0)?,
            name: row.get(1)?,
            end_ns: row.get(2)?,
            bytes: row.get::<_, u64>(3)?.saturating_add(rollups.saturating_mul(ROLLUP_BYTES)),
        })
    })?;
    Ok(held.collect::<Result<_, _>>()?)
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

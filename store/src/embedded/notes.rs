//! What lies beside the segments: labels, dead letters and rollups.

use rastro_model::{Category, Position, StreamId};
use rusqlite::{Connection, Transaction, params};

use super::{
    failure::Failure,
    names::{Names, dataset_id, index_id, read_container},
};
use crate::{DeadLetter, Label, Rollup};

/// Keeps labels of a dataset, which may be one whose first chunk is still to come.
pub(super) fn put_labels(
    transaction: &Transaction<'_>,
    dataset: &str,
    labels: &[Label],
) -> Result<(), Failure> {
    let dataset = Names::default().dataset(transaction, dataset)?;
    for label in labels {
        transaction
            .prepare_cached("DELETE FROM labels WHERE dataset = ? AND container = ? AND thread IS ?")?
            .execute(params![dataset, label.container, label.thread])?;
        transaction
            .prepare_cached(
                "INSERT INTO labels (dataset, container, thread, start_ns, end_ns, label) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                dataset,
                label.container,
                label.thread,
                label.start_ns,
                label.end_ns,
                label.label
            ])?;
    }
    Ok(())
}

/// Labels of a dataset; none, if it has none or does not exist.
pub(super) fn labels(connection: &Connection, dataset: &str) -> Result<Vec<Label>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT container, thread, start_ns, end_ns, label FROM labels JOIN datasets ON datasets.id = dataset
         WHERE datasets.name = ? ORDER BY labels.id",
    )?;
    let labels = statement.query_map([dataset], |row| {
        Ok(Label {
            container: row.get(0)?,
            thread: row.get(1)?,
            start_ns: row.get(2)?,
            end_ns: row.get(3)?,
            label: row.get(4)?,
        })
    })?;
    Ok(labels.collect::<Result<_, _>>()?)
}

/// The oldest dead letters of a dataset.
pub(super) fn dead_letters(
    connection: &Connection,
    dataset: &str,
    count: usize,
) -> Result<Vec<DeadLetter>, Failure> {
    let dataset = dataset_id(connection, dataset)?;
    let mut statement = connection.prepare_cached(
        "SELECT stream, line, generation, byte_offset, reason, text FROM dead_letters
         WHERE dataset = ? ORDER BY id LIMIT ?",
    )?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let letters = statement.query_map([dataset, count], |row| {
        Ok(DeadLetter {
            stream: StreamId(row.get::<_, i64>(0)?.cast_unsigned()),
            line: row.get(1)?,
            position: Position::new(row.get(2)?, row.get(3)?),
            reason: row.get(4)?,
            text: row.get(5)?,
        })
    })?;
    Ok(letters.collect::<Result<_, _>>()?)
}

/// Rollups of an index, by interval.
pub(super) fn rollups(connection: &Connection, index: &str) -> Result<Vec<Rollup>, Failure> {
    let (id, _) = index_id(connection, index)?;
    let mut statement = connection.prepare_cached(
        "SELECT identity, containers.name, image, rollups.name, category, interval_ns, count, errors, latency_sum_ns,
             latency_max_ns, argc_sum
         FROM rollups JOIN containers ON containers.id = container
         WHERE dataset_index = ? ORDER BY interval_ns, identity, rollups.name, category",
    )?;
    let rollups = statement.query_map([id], |row| {
        Ok(Rollup {
            index: index.to_owned(),
            container: read_container(row, 0)?,
            name: row.get(3)?,
            category: Category::from_number(row.get(4)?).unwrap_or_default(),
            interval_ns: row.get(5)?,
            count: row.get(6)?,
            errors: row.get(7)?,
            latency_sum_ns: row.get(8)?,
            latency_max_ns: row.get(9)?,
            argc_sum: row.get(10)?,
        })
    })?;
    Ok(rollups.collect::<Result<_, _>>()?)
}

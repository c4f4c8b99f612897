//! Small numbers for names: datasets, indices, containers and origins.

use std::collections::HashMap;

use rastro_model::Container;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::failure::Failure;
use crate::StoreError;

/// Numbers looked up or given in one transaction. It must not outlive the transaction: what is rolled back, or deleted by another
/// process, has no number any more.
#[derive(Debug, Default)]
pub(super) struct Names {
    datasets: HashMap<String, i64>,
    indices: HashMap<String, i64>,
    containers: HashMap<Container, i64>,
    origins: HashMap<(i64, String, String), i64>,
}

impl Names {
    pub(super) fn dataset(&mut self, transaction: &Transaction<'_>, name: &str) -> Result<i64, Failure> {
        if let Some(&id) = self.datasets.get(name) {
            return Ok(id);
        }
        transaction.prepare_cached("INSERT OR IGNORE INTO datasets (name) VALUES (?)")?.execute([name])?;
        let id = transaction
            .prepare_cached("SELECT id FROM datasets WHERE name = ?")?
            .query_row([name], |row| row.get(0))?;
        self.datasets.insert(name.to_owned(), id);
        Ok(id)
    }

    pub(super) fn index(
        &mut self,
        transaction: &Transaction<'_>,
        dataset: &str,
        name: &str,
    ) -> Result<i64, Failure> {
        if let Some(&id) = self.indices.get(name) {
            return Ok(id);
        }
        let dataset = self.dataset(transaction, dataset)?;
        transaction
            .prepare_cached("INSERT OR IGNORE INTO indices (dataset, name) VALUES (?, ?)")?
            .execute(params![dataset, name])?;
        let id = transaction
            .prepare_cached("SELECT id FROM indices WHERE name = ?")?
            .query_row([name], |row| row.get(0))?;
        self.indices.insert(name.to_owned(), id);
        Ok(id)
    }

    pub(super) fn container(
        &mut self,
        transaction: &Transaction<'_>,
        container: &Container,
    ) -> Result<i64, Failure> {
        if let Some(&id) = self.containers.get(container) {
            return Ok(id);
        }
        let known = transaction
            .prepare_cached("SELECT id FROM containers WHERE identity = ? AND name IS ? AND image IS ?")?
            .query_row(params![container.id, container.name, container.image], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => transaction
                .prepare_cached("INSERT INTO containers (identity, name, image) VALUES (?, ?, ?)")?
                .insert(params![container.id, container.name, container.image])?,
        };
        self.containers.insert(container.clone(), id);
        Ok(id)
    }

    pub(super) fn origin(
        &mut self,
        transaction: &Transaction<'_>,
        container: &Container,
        node: &str,
        architecture: &str,
    ) -> Result<i64, Failure> {
        let container = self.container(transaction, container)?;
        let key = (container, node.to_owned(), architecture.to_owned());
        if let Some(&id) = self.origins.get(&key) {
            return Ok(id);
        }
        let known = transaction
            .prepare_cached("SELECT id FROM origins WHERE container = ? AND node = ? AND architecture = ?")?
            .query_row(params![container, node, architecture], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => transaction
                .prepare_cached("INSERT INTO origins (container, node, architecture) VALUES (?, ?, ?)")?
                .insert(params![container, node, architecture])?,
        };
        self.origins.insert(key, id);
        Ok(id)
    }
}

/// Number of a dataset that must exist.
pub(super) fn dataset_id(connection: &Connection, name: &str) -> Result<i64, Failure> {
    connection
        .prepare_cached("SELECT id FROM datasets WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?
        .ok_or_else(|| not_found("dataset", name, "`rastro datasets` lists what there is"))
}

/// Number of an index that must exist, and the name of its dataset.
pub(super) fn index_id(connection: &Connection, name: &str) -> Result<(i64, String), Failure> {
    connection
        .prepare_cached(
            "SELECT indices.id, datasets.name FROM indices JOIN datasets ON datasets.id = indices.dataset
             WHERE indices.name = ?",
        )?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| not_found("index", name, "`rastro datasets` lists what there is"))
}

/// The container with this number.
pub(super) fn read_container(row: &rusqlite::Row<'_>, first_column: usize) -> rusqlite::Result<Container> {
    Ok(Container {
        id: row.get(first_column)?,
        name: row.get(first_column + 1)?,
        image: row.get(first_column + 2)?,
    })
}

pub(super) fn not_found(kind: &'static str, name: &str, hint: &'static str) -> Failure {
    StoreError::NotFound { kind, name: name.to_owned(), hint }.into()
}

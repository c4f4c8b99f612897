//! A few reading connections. Each read sees one state of the file, whatever is written meanwhile.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, Transaction};

use super::{failure::Failure, schema};
use crate::StoreError;

/// Connections kept for the next read; more may be open at once for a while.
const KEPT: usize = 4;

/// The connections that nobody uses at the moment.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    busy_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path, busy_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), busy_timeout, idle: Mutex::default() })
    }

    /// Opens the first connection, so that a file that cannot be read is an error now.
    pub(super) fn open_first(&self) -> Result<(), StoreError> {
        let connection = self.connection().map_err(|failure| failure.into_store_error(&self.path))?;
        self.put_back(connection);
        Ok(())
    }

    /// Runs `read` on a thread for blocking work.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            readers.read_here(read).map_err(|failure| failure.into_store_error(&readers.path))
        });
        done.await.map_err(|error| StoreError::File {
            path: self.path.display().to_string(),
            message: format!("a read was broken off: {error}"),
        })?
    }

    fn read_here<T>(&self, read: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let connection = self.connection()?;
        let value = {
            let transaction = connection.unchecked_transaction()?;
            read(&transaction)?
        };
        self.put_back(connection);
        Ok(value)
    }

    fn connection(&self) -> Result<Connection, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => schema::open_reader(&self.path, self.busy_timeout),
        }
    }

    fn put_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
    }

    /// Closes the connections that nobody uses.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

//! The one thread that owns the writing connection. Whatever writes is a job of one transaction.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::failure::Failure;
use crate::StoreError;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let (jobs, received) = mpsc::channel::<Job>();
        let mut connection = connection;
        let thread = std::thread::Builder::new()
            .name("rastro-store".to_owned())
            .spawn(move || {
                for job in received {
                    job(&mut connection);
                }
            })
            .map_err(|error| StoreError::File {
                path: path.display().to_string(),
                message: format!("no thread can be started for it: {error}"),
            })?;
        Ok(Self { path: path.to_owned(), jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `job` in a transaction of its own: all of it is kept, or nothing.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |connection| {
            // Immediate: two processes that both want to write wait for one another at the beginning, where nothing is lost.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = job(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }

    /// Runs `job` with the connection.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::File {
            path: self.path.display().to_string(),
            message: "its thread has ended after an earlier failure; start again".to_owned(),
        };
        let (reply, answer) = oneshot::channel();
        let boxed: Job = Box::new(move |connection| {
            // Nobody waits any more: the work is done all the same.
            let _ = reply.send(job(connection));
        });
        self.jobs.as_ref().and_then(|jobs| jobs.send(boxed).ok()).ok_or_else(gone)?;
        answer.await.map_err(|_| gone())?.map_err(|failure| failure.into_store_error(&self.path))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Waits for the thread, so that the file is closed and free when the drop returns.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

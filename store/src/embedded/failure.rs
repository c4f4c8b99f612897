//! What can go wrong inside, and how it is told outside.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use crate::StoreError;

/// A failure on its way out: SQLite's, or one that already is a sentence.
#[derive(Debug)]
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    /// The sentence for the caller.
    pub(super) fn into_store_error(self, path: &Path) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sqlite(error) => error,
        };
        let name = path.display().to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull { path: name },
            // The index of the WAL is made with its full length; on a full disk that is where it shows.
            Some(ErrorCode::SystemIoFailure) if is_about_room(&error) => StoreError::DiskFull { path: name },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path: name },
            code => StoreError::File { path: name, message: advice(code, &error) },
        }
    }
}

fn is_about_room(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        matches!(
            error.extended_code,
            ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMMAP
                | ffi::SQLITE_IOERR_FSYNC
        )
    })
}

fn advice(code: Option<ErrorCode>, error: &rusqlite::Error) -> String {
    match code {
        Some(ErrorCode::DatabaseCorrupt) => format!(
            "the file is damaged ({error}) and was left as it is; stop Rastro, restore the file from a copy, or move it away to \
             begin with an empty store"
        ),
        Some(ErrorCode::NotADatabase) => {
            "this is not a Rastro store, or its beginning is damaged; it was left as it is; restore \
             it from a copy, or move it away to begin with an empty store"
                .to_owned()
        }
        Some(ErrorCode::CannotOpen) => {
            format!(
                "it cannot be opened ({error}); check that its directory exists and that this user may write there"
            )
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            format!("it cannot be written ({error}); check the permissions of the file and of its directory")
        }
        _ => error.to_string(),
    }
}

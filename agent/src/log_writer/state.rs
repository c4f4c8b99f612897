//! What is remembered of a log over its rotations: how many files it has had and how much they held.
//!
//! Rotation is two-phase: the intent (`rotating`) is on disk before the rename, so that a process killed in between neither loses
//! nor doubles the length of the file.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{AgentError, error::IoContext};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogState {
    /// The number that the next rotated file gets, minus 1.
    pub(super) rotated: u64,
    /// Bytes of lines (headers do not count) in all rotated files, also those that are deleted.
    pub(super) rotated_bytes: u64,
    /// A rotation was begun: bytes of lines in the file being rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rotating: Option<u64>,
}

impl LogState {
    /// Reads the state; without one (a folder from elsewhere), goes by the rotated files that are there.
    pub(super) fn load(path: &Path, log: &Path) -> Result<Self, AgentError> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| AgentError::State { path: path.to_owned(), message: error.to_string() }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Self { rotated: highest_number(log)?, ..Self::default() })
            }
            Err(error) => Err(error).context("read", path),
        }
    }

    pub(super) fn store(&self, path: &Path) -> Result<(), AgentError> {
        let new = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            // A rename may reach the disk before the bytes do; a file that is empty after a power loss would stop the agent.
            file.sync_all()?;
            fs::rename(&new, path)
        };
        write().context("write", path)
    }
}

/// Path of the rotated file number `number` of `log`.
pub(super) fn rotated_path(log: &Path, number: u64) -> PathBuf {
    let mut path = log.as_os_str().to_owned();
    path.push(format!(".{number}"));
    path.into()
}

fn highest_number(log: &Path) -> Result<u64, AgentError> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else { return Ok(0) };
    let mut highest = 0;
    for entry in fs::read_dir(folder).context("read", folder)? {
        let entry = entry.context("read", folder)?.file_name();
        let number = entry
            .to_str()
            .and_then(|entry| entry.strip_prefix(name.to_str()?)?.strip_prefix('.')?.parse().ok());
        highest = highest.max(number.unwrap_or(0));
    }
    Ok(highest)
}

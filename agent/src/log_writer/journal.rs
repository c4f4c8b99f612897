//! Which replay is under way, and how long each log was before it.
//!
//! Text: `replay <identity>`, then `<container> <bytes>` for each log, appended before the first byte is written to it. A torn last
//! line belongs to a log that holds nothing of the replay yet, and is cut off.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use super::STATE_FOLDER;
use crate::{AgentError, error::IoContext};

#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    bases: HashMap<String, u64>,
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join(STATE_FOLDER).join("replay")
}

impl Journal {
    /// The journal of the replay `identity`, and whether it was there.
    pub(super) fn open(directory: &Path, identity: u128) -> Result<(Self, bool), AgentError> {
        let path = path_in(directory);
        let first = format!("replay {identity:032x}\n");
        let found = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).context("read", &path),
        };
        if let Some(rest) = found.strip_prefix(&first) {
            let whole = &rest[..rest.rfind('\n').map_or(0, |at| at + 1)];
            let mut bases = HashMap::new();
            for line in whole.lines() {
                let entry = line.split_once(' ').and_then(|(id, base)| Some((id, base.parse().ok()?)));
                let Some((id, base)) = entry else {
                    return Err(AgentError::State { path, message: format!("`{line}` is no entry") });
                };
                bases.insert(id.to_owned(), base);
            }
            let file = OpenOptions::new().write(true).open(&path).context("open", &path)?;
            file.set_len((first.len() + whole.len()) as u64).context("repair", &path)?;
            return Ok((Self { path, bases }, true));
        }
        if !found.is_empty() {
            tracing::warn!("another replay was interrupted here; what it had written stays in the logs");
        }
        let new = path.with_extension("new");
        fs::write(&new, first).context("write", &new)?;
        fs::rename(&new, &path).context("write", &path)?;
        Ok((Self { path, bases: HashMap::new() }, false))
    }

    /// How long the log of `container` was when the replay first wrote to it.
    pub(super) fn base(&self, container: &str) -> Option<u64> {
        self.bases.get(container).copied()
    }

    pub(super) fn begin(&mut self, container: &str, base: u64) -> Result<(), AgentError> {
        let mut file = OpenOptions::new().append(true).open(&self.path).context("open", &self.path)?;
        file.write_all(format!("{container} {base}\n").as_bytes()).context("write", &self.path)?;
        self.bases.insert(container.to_owned(), base);
        Ok(())
    }

    pub(super) fn remove(directory: &Path) -> Result<(), AgentError> {
        let path = path_in(directory);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("remove", &path),
            _ => Ok(()),
        }
    }
}

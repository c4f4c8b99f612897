//! The data directory: where everything lies, and who may write to it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// Places inside a data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

/// Ownership of parts of a data directory, given up when this is dropped (or the process dies).
#[derive(Debug)]
pub(crate) struct Ownership {
    _files: Vec<File>,
}

/// What one process alone may work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The embedded queue or store, or a replay.
    Embedded,
    /// The shipper's checkpoint.
    Checkpoint,
    /// The folder of log files, as its keeper.
    Logs,
}

impl Part {
    const ALL: [Self; 3] = [Self::Embedded, Self::Checkpoint, Self::Logs];

    const fn lock(self) -> &'static str {
        match self {
            Self::Embedded => "lock",
            Self::Checkpoint => "lock-shipper",
            Self::Logs => "lock-agent",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded parts",
            Self::Checkpoint => "shipper's checkpoint",
            Self::Logs => "log files",
        }
    }
}

impl DataDir {
    /// The data directory `root`; nothing is created yet.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Creates the folders, readable by this user alone: what they hold tells of every process of every container.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        for folder in [self.root.clone(), self.shipper(), self.root.join("broker"), self.root.join("store")] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
        }
        Ok(())
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of the shipper's checkpoint.
    pub(crate) fn shipper(&self) -> PathBuf {
        self.root.join("shipper")
    }

    /// File of the embedded queue.
    pub(crate) fn queue(&self) -> PathBuf {
        self.root.join("broker/queue.db")
    }

    /// File of the embedded store.
    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("store/rastro.db")
    }

    /// Folder of replays under way.
    pub(crate) fn replays(&self) -> PathBuf {
        self.root.join("replay")
    }

    /// Takes parts of the directory for this process: exactly one process works with each of them.
    pub(crate) fn own(&self, role: &str, parts: &[Part]) -> anyhow::Result<Ownership> {
        if !parts.is_empty() {
            self.create()?;
        }
        let files: anyhow::Result<Vec<File>> = parts.iter().map(|part| self.own_part(role, *part)).collect();
        Ok(Ownership { _files: files? })
    }

    fn own_part(&self, role: &str, part: Part) -> anyhow::Result<File> {
        let path = self.root.join(part.lock());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open `{}`", path.display()))?;
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            let owner = if owner.trim().is_empty() { "another process" } else { owner.trim() };
            bail!(
                "the data directory `{}` is in use by {owner}: one process owns its {}; \
                 stop that one, or give this one its own with --data-dir",
                self.root.display(),
                part.name()
            );
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "`rastro {role}` (pid {})", std::process::id())?;
        Ok(file)
    }

    /// Who owns a part of the directory now, if someone does.
    pub(crate) fn owner(&self) -> Option<String> {
        Part::ALL.iter().find_map(|part| {
            let mut file = File::open(self.root.join(part.lock())).ok()?;
            // A shared lock, for an instant: it is refused while a role holds the part.
            if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok() {
                return None;
            }
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            Some(if owner.trim().is_empty() { "another process".to_owned() } else { owner.trim().to_owned() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(&folder.path().join("data"));
        let first = data_dir.own("run", &[Part::Embedded, Part::Checkpoint]).unwrap();
        for part in [Part::Embedded, Part::Checkpoint] {
            let message = data_dir.own("replay", &[part]).unwrap_err().to_string();
            assert!(message.contains("`rastro run` (pid "), "{message}");
        }
        let other = data_dir.own("agent", &[Part::Logs]).unwrap();
        assert!(data_dir.owner().unwrap().contains("`rastro run` (pid "));
        drop(first);
        assert!(data_dir.owner().unwrap().contains("`rastro agent` (pid "));
        data_dir.own("replay", &[Part::Embedded]).unwrap();
        drop(other);
        assert_eq!(data_dir.owner(), None);
    }
}

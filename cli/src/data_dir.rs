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

/// Ownership of a data directory, given up when this is dropped (or the process dies).
#[derive(Debug)]
pub(crate) struct Ownership {
    _file: File,
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

    /// Takes the directory for this process. With embedded parts, exactly one process runs roles on it.
    pub(crate) fn own(&self, role: &str) -> anyhow::Result<Ownership> {
        self.create()?;
        let path = self.root.join("lock");
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
                "the data directory `{}` is in use by {owner}: with embedded parts one process owns it; \
                 stop that one, or give this one its own with --data-dir",
                self.root.display()
            );
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "`rastro {role}` (pid {})", std::process::id())?;
        Ok(Ownership { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(&folder.path().join("data"));
        let first = data_dir.own("run").unwrap();
        let message = data_dir.own("replay").unwrap_err().to_string();
        assert!(message.contains("`rastro run` (pid "), "{message}");
        drop(first);
        data_dir.own("replay").unwrap();
    }
}

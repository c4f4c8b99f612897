//! The folder of a replay under way: `<data dir>/replay/<number>/`.
//!
//! Numbers only rise, so that the paths (and with them the streams) of a replay are never those of another one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::data_dir::DataDir;

/// Ends the name of a folder that is being removed.
const FINISHED: &str = "finished";

/// Where one replay writes its logs.
pub(super) struct Workspace {
    folder: PathBuf,
    /// It was begun before and is carried on.
    pub(super) resumed: bool,
}

impl Workspace {
    /// The folder of the interrupted replay of that identity, or a new one.
    pub(super) fn open(data_dir: &DataDir, identity: u128) -> anyhow::Result<Self> {
        let root = data_dir.replays();
        fs::create_dir_all(&root)
            .with_context(|| format!("cannot create the folder `{}`", root.display()))?;
        let identity = format!("{identity:032x}");
        let mut last = read_number(&root.join("last"));
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == FINISHED) {
                // Its removal was interrupted; it does no harm if this is too.
                let _ = fs::remove_dir_all(entry.path());
                continue;
            }
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else {
                continue;
            };
            last = last.max(number);
            if fs::read_to_string(entry.path().join("identity")).is_ok_and(|text| text.trim() == identity) {
                return Ok(Self { folder: entry.path(), resumed: true });
            }
        }
        let number = last + 1;
        // The number is used up before the folder exists: a death in between wastes a number, and reuses none.
        write_whole(&root.join("last"), &number.to_string())?;
        let folder = root.join(number.to_string());
        fs::create_dir_all(folder.join("logs"))?;
        write_whole(&folder.join("identity"), &identity)?;
        Ok(Self { folder, resumed: false })
    }

    /// Folder of the log files.
    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The log file of every container of the replay.
    pub(super) fn log_files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.logs())? {
            let path = std::path::absolute(entry?.path())?;
            if path.extension().is_some_and(|extension| extension == "log") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Everything is stored and scored: the logs are not needed any more.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        // First another name, by which it is never found again: half of it removed would be a replay without its logs.
        let finished = self.folder.with_extension(FINISHED);
        fs::rename(&self.folder, &finished)
            .and_then(|()| fs::remove_dir_all(&finished))
            .with_context(|| format!("cannot remove `{}`", self.folder.display()))
    }
}

fn read_number(path: &Path) -> u64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Writes a small file all or nothing.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_replay_is_found_again_and_a_finished_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        let first = Workspace::open(&data_dir, 7).unwrap();
        let logs = first.logs();
        assert!(!first.resumed);
        let other = Workspace::open(&data_dir, 8).unwrap();
        assert_ne!(other.logs(), logs);
        let again = Workspace::open(&data_dir, 7).unwrap();
        assert!(again.resumed);
        assert_eq!(again.logs(), logs);
        again.finish().unwrap();
        let anew = Workspace::open(&data_dir, 7).unwrap();
        assert!(!anew.resumed);
        assert_ne!(anew.logs(), logs);
    }
}

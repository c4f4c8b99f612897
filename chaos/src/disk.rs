//! A small disk that can be filled: a file system in memory, where this may be mounted.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;

/// A folder on a disk of its own, or, where none may be mounted, an ordinary folder.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    is_mounted: bool,
}

impl Disk {
    /// Mounts a disk of `mebibytes` at `folder`.
    pub fn mount(folder: &Path, mebibytes: u32) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0755"), "rastro-chaos"])
            .arg(folder);
        let is_mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        Ok(Self { folder: folder.to_owned(), is_mounted })
    }

    /// Whether it is a disk of its own, so that it may be filled.
    pub const fn is_mounted(&self) -> bool {
        self.is_mounted
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes all room that is left.
    pub fn fill(&self) -> anyhow::Result<()> {
        if !self.is_mounted {
            return Ok(());
        }
        let mut file = File::create(self.filler())?;
        let zeros = vec![0; 1 << 20];
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&zeros[..size]).is_ok() {}
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn free(&self) {
        // It may not be there.
        let _ = fs::remove_file(self.filler());
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            // What still has a file open there has just been killed; a lazy unmount lets it end.
            let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_and_a_freed_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::mount(&folder.path().join("disk"), 2).unwrap();
        if !disk.is_mounted() {
            eprintln!("skipped: this user may not mount a disk");
            return;
        }
        let file = disk.folder().join("file");
        disk.fill().unwrap();
        assert!(fs::write(&file, vec![0; 8192]).is_err());
        disk.free();
        fs::write(&file, vec![0; 8192]).unwrap();
    }
}

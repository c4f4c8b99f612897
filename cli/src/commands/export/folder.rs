//! The folder of an export: files appear under their names when they are whole, and an export that fails leaves none behind.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::output::text;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 256 * 1024;

/// A folder that is being filled. Dropped without [`Folder::keep`], it takes away what it made.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    made: Vec<PathBuf>,
    /// Folders below it that were made, outer ones first.
    made_folders: Vec<PathBuf>,
    finished: Vec<FileFacts>,
    made_itself: bool,
}

/// A file in the making, under a temporary name.
#[derive(Debug)]
pub(super) struct ExportFile {
    output: BufWriter<Hashing>,
    temporary: PathBuf,
    target: PathBuf,
    /// Name in the folder.
    name: String,
}

/// What is said of a finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FileFacts {
    /// Name in the folder.
    pub(super) file: String,
    /// Size.
    pub(super) bytes: u64,
    /// Checksum, hexadecimal.
    pub(super) sha256: String,
}

#[derive(Debug)]
struct Hashing {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Folder {
    /// The folder `path`, made if it is not there. One that holds anything is refused.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let made_itself = match fs::read_dir(path) {
            Ok(mut entries) => {
                if let Some(entry) = entries.next() {
                    // Named, because what a killed export left is hidden from `ls`.
                    let name = entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
                    bail!(
                        "the folder `{}` is not empty (`{}` is in it) and nothing in it is overwritten: name another one with --output, or \
                         empty it",
                        path.display(),
                        text::printable(&name.unwrap_or_default())
                    );
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path)
                    .with_context(|| format!("cannot create the folder `{}`", path.display()))?;
                true
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot use `{}` as a folder", path.display()));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            made: Vec::new(),
            made_folders: Vec::new(),
            finished: Vec::new(),
            made_itself,
        })
    }

    /// Begins a file that will be called `name`; it may lie in folders below (`a/b.txt`), which are made.
    pub(super) fn begin(&mut self, name: &str) -> anyhow::Result<ExportFile> {
        let (below, base) = name.rsplit_once('/').unwrap_or(("", name));
        let mut parent = self.path.clone();
        for folder in below.split('/').filter(|folder| !folder.is_empty()) {
            parent.push(folder);
            match fs::create_dir(&parent) {
                Ok(()) => self.made_folders.push(parent.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot create `{}`", parent.display()));
                }
            }
        }
        let temporary = parent.join(format!(".{base}.partial"));
        let target = parent.join(base);
        let file = File::create_new(&temporary)
            .with_context(|| format!("cannot create `{}`", temporary.display()))?;
        self.made.extend([temporary.clone(), target.clone()]);
        let hashing = Hashing { file, hash: Sha256::new(), bytes: 0 };
        let output = BufWriter::with_capacity(BUFFER, hashing);
        Ok(ExportFile { output, temporary, target, name: name.to_owned() })
    }

    /// Writes a small file whole.
    pub(super) fn write(&mut self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let mut file = self.begin(name)?;
        file.write_all(content).with_context(|| format!("cannot write `{}`", file.target.display()))?;
        self.finish(file)?;
        Ok(())
    }

    /// Finishes a file and remembers it.
    pub(super) fn finish(&mut self, file: ExportFile) -> anyhow::Result<FileFacts> {
        let facts = file.finish()?;
        self.finished.push(facts.clone());
        Ok(facts)
    }

    /// The files that were finished through the folder, in that order.
    pub(super) fn finished(&self) -> &[FileFacts] {
        &self.finished
    }

    /// The export is complete: its files stay.
    pub(super) fn keep(mut self) {
        self.made.clear();
        self.made_folders.clear();
        self.made_itself = false;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for file in &self.made {
            // Of the two names of a file one is not there.
            let _ = fs::remove_file(file);
        }
        for folder in self.made_folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
        if self.made_itself {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl Write for ExportFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl ExportFile {
    /// Brings the file to the disk and gives it its name.
    pub(super) fn finish(self) -> anyhow::Result<FileFacts> {
        let complete = || -> io::Result<Hashing> {
            let hashing = self.output.into_inner().map_err(io::IntoInnerError::into_error)?;
            hashing.file.sync_all()?;
            fs::rename(&self.temporary, &self.target)?;
            Ok(hashing)
        };
        let hashing = complete().with_context(|| format!("cannot write `{}`", self.target.display()))?;
        let digest = hashing.hash.finalize();
        Ok(FileFacts { file: self.name, bytes: hashing.bytes, sha256: hexadecimal(&digest) })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        let mut folder = Folder::create(&path).unwrap();
        let mut file = folder.begin("calls.csv").unwrap();
        file.write_all(b"abc").unwrap();
        assert_eq!(names(&path), [".calls.csv.partial"]);
        let facts = file.finish().unwrap();
        assert_eq!(names(&path), ["calls.csv"]);
        assert_eq!(facts.bytes, 3);
        assert_eq!(facts.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        folder.keep();
        assert_eq!(fs::read(path.join("calls.csv")).unwrap(), b"abc");
    }

    #[test]
    fn files_lie_in_folders_below_which_vanish_with_them() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("out");
        let mut folder = Folder::create(&path).unwrap();
        folder.write("a/b/one", b"1").unwrap();
        folder.write("a/two", b"2").unwrap();
        assert_eq!(fs::read(path.join("a/b/one")).unwrap(), b"1");
        let names: Vec<&str> = folder.finished().iter().map(|file| file.file.as_str()).collect();
        assert_eq!(names, ["a/b/one", "a/two"]);
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn an_export_that_fails_leaves_nothing() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("out");
        let mut folder = Folder::create(&path).unwrap();
        folder.write("one", b"1").unwrap();
        let file = folder.begin("two").unwrap();
        drop(file);
        drop(folder);
        assert!(!path.exists());
        fs::create_dir(&path).unwrap();
        let mut folder = Folder::create(&path).unwrap();
        folder.write("one", b"1").unwrap();
        drop(folder);
        assert!(path.exists() && names(&path).is_empty(), "a folder that was there stays");
    }

    #[test]
    fn a_folder_with_something_in_it_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("thesis.tex"), "").unwrap();
        let message = Folder::create(outer.path()).unwrap_err().to_string();
        assert!(
            message.contains("is not empty (`thesis.tex` is in it)") && message.contains("--output"),
            "{message}"
        );
        assert_eq!(names(outer.path()), ["thesis.tex"]);
    }
}

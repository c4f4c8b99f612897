//! Real recordings beside the repository. They are never committed; where they are absent the tests that read them say so.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// The folder of recordings, or `None` and a message.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent, and with it the real recordings that this test reads", path.display());
    None
}

/// The whole file, decompressed if its name says so.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    } else {
        let mut file = file;
        file.read_to_end(&mut bytes).unwrap();
    }
    bytes
}

/// The member of a zip archive whose name ends so.
pub(crate) fn read_zipped(path: &Path, ending: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(File::open(path).unwrap()).unwrap();
    let name = archive.file_names().find(|name| name.ends_with(ending)).unwrap().to_owned();
    let mut bytes = Vec::new();
    archive.by_name(&name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// The lines without their line breaks; what follows the last line break is a line if it is not empty.
pub(crate) fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}

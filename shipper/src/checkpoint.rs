//! The shipper's memory across runs: which files it knows, how far each is shipped.
//!
//! `checkpoint.json` is replaced as a whole: written beside, synced, renamed. The one before stays as `checkpoint.previous.json`, so
//! that one of the two is always whole. The numbers follow what the broker has acknowledged for good and may lag behind that; where a stream stands,
//! the broker says. What only the checkpoint knows is which file a generation is, and that is on disk before the first chunk
//! of the generation leaves.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rastro_model::{Gap, Position};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    ShipperError,
    fingerprint::{Anchor, Fingerprint},
};

/// Name of the file in the state directory.
const NAME: &str = "checkpoint.json";
const PREVIOUS_NAME: &str = "checkpoint.previous.json";
const TEMPORARY_NAME: &str = "checkpoint.json.new";
const VERSION: u32 = 1;

/// What is known of every stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the node that the streams were shipped under.
    pub node: String,
    /// The streams, by path.
    pub streams: Vec<StreamRecord>,
}

/// What is known of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRecord {
    /// Path of the stream; one that is not UTF-8 is written as `hex:…`.
    #[serde(serialize_with = "write_path", deserialize_with = "read_path")]
    pub path: PathBuf,
    /// End of the last chunk that the broker has acknowledged and cannot lose any more.
    pub position: Position,
    /// Lines of the stream before it.
    pub next_line: u64,
    /// The bytes before it.
    pub anchor: Anchor,
    /// What was lost behind the last file that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Rotated files last changed before this (nanoseconds since the epoch) were not read when the stream began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_ns: Option<i64>,
    /// The stream's files that matter still, oldest first.
    pub generations: Vec<GenerationRecord>,
}

/// What is known of one file of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationRecord {
    /// Its number in the stream.
    pub generation: u64,
    /// Which file it is.
    pub fingerprint: Fingerprint,
    /// Its size when it was last looked at.
    pub size: u64,
    /// When it was last changed, nanoseconds since the epoch.
    pub modified_ns: i64,
    /// Where it ended, if it is done with.
    pub end: Option<GenerationEnd>,
    /// What was lost before the first chunk of it that is not acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
}

/// Where a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationEnd {
    /// Its length as far as it was shipped, bytes.
    pub offset: u64,
    /// Lines of the stream up to there.
    pub next_line: u64,
    /// Its last bytes.
    pub anchor: Anchor,
    /// It held more than a header.
    pub has_lines: bool,
}

/// What was found on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The checkpoint, or none in a directory that never had one.
    Sound,
    /// The last one is damaged or gone; the one before it was taken, or there is none left. Files may exist that it does not know.
    Incomplete,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    checksum: String,
    node: String,
    streams: Vec<StreamRecord>,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

enum LoadError {
    Absent,
    Damaged(String),
    Refused(ShipperError),
}

impl Checkpoint {
    /// Reads the newest checkpoint that is whole from a state directory; an empty one if there is none.
    ///
    /// Changes nothing, so that others (retention, doctor) may read while a shipper runs.
    pub fn load(state_dir: &Path) -> Result<Self, ShipperError> {
        for name in [NAME, PREVIOUS_NAME] {
            match read(&state_dir.join(name)) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(LoadError::Refused(error)) => return Err(error),
                Err(LoadError::Absent | LoadError::Damaged(_)) => {}
            }
        }
        Ok(Self::default())
    }

    /// How many bytes of the file that is now at `path` are shipped and acknowledged; 0 for a file that is not known.
    ///
    /// The file is recognised wherever it was renamed to.
    pub fn shipped_bytes(&self, path: &Path) -> io::Result<u64> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut shipped = 0;
        for stream in &self.streams {
            for generation in &stream.generations {
                if !generation.fingerprint.is_at(&metadata) || !generation.fingerprint.head_matches(&file)? {
                    continue;
                }
                let known = match stream.position.generation.cmp(&generation.generation) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => stream.position.offset,
                    std::cmp::Ordering::Greater => generation.end.map_or(metadata.len(), |end| end.offset),
                };
                if known <= metadata.size() {
                    shipped = shipped.max(known);
                }
            }
        }
        Ok(shipped)
    }

    /// As [`Checkpoint::load`], for the shipper itself: says what is damaged and keeps it aside.
    pub(crate) fn recover(state_dir: &Path) -> Result<(Self, Found), ShipperError> {
        let path = state_dir.join(NAME);
        let previous = state_dir.join(PREVIOUS_NAME);
        let damage = match read(&path) {
            Ok(checkpoint) => return Ok((checkpoint, Found::Sound)),
            Err(LoadError::Refused(error)) => return Err(error),
            Err(LoadError::Absent) => None,
            Err(LoadError::Damaged(message)) => Some(message),
        };
        let fallback = match read(&previous) {
            Ok(checkpoint) => Some(checkpoint),
            Err(LoadError::Refused(error)) => return Err(error),
            Err(LoadError::Absent) if damage.is_none() => return Ok((Self::default(), Found::Sound)),
            Err(LoadError::Absent) => None,
            Err(LoadError::Damaged(_)) => {
                keep_aside(&previous)?;
                None
            }
        };
        if let Some(cause) = damage {
            let aside = keep_aside(&path)?;
            tracing::error!(
                checkpoint = %path.display(), kept_as = %aside.display(), %cause,
                resumes_from = if fallback.is_some() { "the checkpoint before and the broker" } else { "the broker" },
                "the checkpoint is damaged; shipping resumes where the broker stands"
            );
            metrics::counter!("rastro_shipper_checkpoints_damaged_total").increment(1);
            return Ok((fallback.unwrap_or_default(), Found::Incomplete));
        }
        // Killed between the two renames: the one before is whole, and the newest never took its place.
        Ok((fallback.unwrap_or_default(), Found::Incomplete))
    }

    /// Writes the checkpoint durably.
    pub(crate) fn save(&self, state_dir: &Path) -> Result<(), ShipperError> {
        let path = state_dir.join(NAME);
        let temporary = state_dir.join(TEMPORARY_NAME);
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| ShipperError::State { path, source }
        };
        let text = self.to_json().map_err(|error| fail(&path)(io::Error::other(error)))?;
        let mut file = File::create(&temporary).map_err(fail(&temporary))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(fail(&temporary))?;
        match fs::rename(&path, state_dir.join(PREVIOUS_NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(&path)(error)),
            _ => {}
        }
        fs::rename(&temporary, &path).map_err(fail(&path))?;
        File::open(state_dir).and_then(|directory| directory.sync_all()).map_err(fail(state_dir))
    }

    fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let document = Document {
            version: VERSION,
            checksum: checksum(&self.node, &self.streams)?,
            node: self.node.clone(),
            streams: self.streams.clone(),
        };
        serde_json::to_vec(&document)
    }
}

/// The checksum covers the content as this program would write it, so that the text itself may be laid out in any way.
fn checksum(node: &str, streams: &[StreamRecord]) -> Result<String, serde_json::Error> {
    Ok(format!("{:016x}", xxh3_64(&serde_json::to_vec(&(node, streams))?)))
}

fn read(path: &Path) -> Result<Checkpoint, LoadError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LoadError::Absent),
        Err(source) => return Err(LoadError::Refused(ShipperError::State { path: path.to_owned(), source })),
    };
    let damaged = |error: serde_json::Error| LoadError::Damaged(error.to_string());
    let Versioned { version } = serde_json::from_slice(&text).map_err(damaged)?;
    if version > VERSION {
        return Err(LoadError::Refused(ShipperError::Version { path: path.to_owned(), version }));
    }
    let document: Document = serde_json::from_slice(&text).map_err(damaged)?;
    if checksum(&document.node, &document.streams).map_err(damaged)? != document.checksum {
        return Err(LoadError::Damaged("its checksum does not match".to_owned()));
    }
    Ok(Checkpoint { node: document.node, streams: document.streams })
}

/// Renames a damaged file to the first free `<file>.corrupt-<n>`.
fn keep_aside(path: &Path) -> Result<PathBuf, ShipperError> {
    let fail = |source| ShipperError::State { path: path.to_owned(), source };
    let mut number = 1_u32;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".corrupt-{number}"));
        let aside = PathBuf::from(name);
        if !aside.try_exists().map_err(fail)? {
            fs::rename(path, &aside).map_err(fail)?;
            return Ok(aside);
        }
        number += 1;
    }
}

fn write_path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    use std::fmt::Write as _;

    if let Some(text) = path.to_str() {
        return serializer.serialize_str(text);
    }
    let mut text = String::from("hex:");
    for byte in path.as_os_str().as_bytes() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    serializer.serialize_str(&text)
}

fn read_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Paths are absolute, so none begins with `hex:`.
    let Some(digits) = text.strip_prefix("hex:") else { return Ok(PathBuf::from(text)) };
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes
        .map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
        .ok_or_else(|| de::Error::custom("a path in hexadecimal digits has other letters in it"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn checkpoint(offset: u64) -> Checkpoint {
        Checkpoint {
            node: "node".to_owned(),
            streams: vec![StreamRecord {
                path: PathBuf::from(OsStr::from_bytes(b"/var/log/\xff\xfe.log")),
                position: Position::new(1, offset),
                next_line: 7,
                anchor: Anchor::at_end_of(b"abc"),
                gap: None,
                floor_ns: None,
                generations: vec![GenerationRecord {
                    generation: 1,
                    fingerprint: Fingerprint {
                        device: 1,
                        inode: u64::MAX,
                        head_length: 3,
                        head_hash: u64::MAX - 1,
                    },
                    size: 3,
                    modified_ns: -5,
                    end: None,
                    gap: None,
                }],
            }],
        }
    }

    #[test]
    fn a_checkpoint_survives_writing() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Checkpoint::recover(directory.path()).unwrap(), (Checkpoint::default(), Found::Sound));
        checkpoint(1).save(directory.path()).unwrap();
        checkpoint(2).save(directory.path()).unwrap();
        assert_eq!(Checkpoint::load(directory.path()).unwrap(), checkpoint(2));
        assert_eq!(Checkpoint::recover(directory.path()).unwrap(), (checkpoint(2), Found::Sound));
    }

    #[test]
    fn a_damaged_checkpoint_is_kept_aside_and_the_one_before_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        checkpoint(1).save(directory.path()).unwrap();
        let whole = fs::read(&path).unwrap();
        for damage in (0..whole.len()).step_by(7) {
            checkpoint(1).save(directory.path()).unwrap();
            checkpoint(2).save(directory.path()).unwrap();
            let mut text = fs::read(&path).unwrap();
            // Any one digit, letter or sign; and any shorter file.
            if damage % 2 == 0 {
                text[damage] = if text[damage] == b'3' { b'4' } else { b'3' };
            } else {
                text.truncate(damage);
            }
            fs::write(&path, &text).unwrap();
            match Checkpoint::recover(directory.path()) {
                Ok((recovered, Found::Incomplete)) => {
                    assert_eq!(recovered, checkpoint(1));
                    assert!(directory.path().join("checkpoint.json.corrupt-1").exists());
                    fs::remove_file(directory.path().join("checkpoint.json.corrupt-1")).unwrap();
                }
                Err(ShipperError::Version { version: 3, .. }) => {}
                other => panic!("{other:?} with byte {damage} damaged"),
            }
        }
    }

    #[test]
    fn both_copies_damaged_is_an_empty_checkpoint_that_says_so() {
        let directory = tempfile::tempdir().unwrap();
        checkpoint(1).save(directory.path()).unwrap();
        checkpoint(2).save(directory.path()).unwrap();
        fs::write(directory.path().join(NAME), b"{").unwrap();
        fs::write(directory.path().join(PREVIOUS_NAME), b"").unwrap();
        assert_eq!(
            Checkpoint::recover(directory.path()).unwrap(),
            (Checkpoint::default(), Found::Incomplete)
        );
    }

    #[test]
    fn shipped_bytes_follow_a_file_through_its_renames() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        fs::write(&path, b"0123456789").unwrap();
        let file = File::open(&path).unwrap();
        let mut known = checkpoint(4);
        known.streams[0].generations[0].fingerprint =
            Fingerprint::of(&file, &file.metadata().unwrap()).unwrap();
        assert_eq!(known.shipped_bytes(&path).unwrap(), 4);
        let renamed = directory.path().join("x.log.1");
        fs::rename(&path, &renamed).unwrap();
        assert_eq!(known.shipped_bytes(&renamed).unwrap(), 4);
        known.streams[0].position = Position::new(2, 99);
        assert_eq!(known.shipped_bytes(&renamed).unwrap(), 10);
        fs::write(&path, b"0123456789").unwrap();
        assert_eq!(known.shipped_bytes(&path).unwrap(), 0, "a copy is another file");
        assert!(known.shipped_bytes(&directory.path().join("gone")).is_err());
    }
}

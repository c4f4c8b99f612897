//! What is to be replayed: checked before anything is written, and named so that it can be resumed.

use std::{
    fs::File,
    io::{Seek, SeekFrom},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use crate::{
    AgentError, RecordingKind, RecordingOptions, Speed,
    error::IoContext,
    input::{open_file, read_up_to},
    recording::{self, detect},
};

/// Bytes at either end of a recording by which it is known again.
const FINGERPRINT: u64 = 64 * 1024;

/// One recording of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRecording {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub kind: RecordingKind,
    /// Its size, bytes.
    pub bytes: u64,
}

/// Recordings in the order in which they are replayed.
#[derive(Debug, Clone)]
pub struct ReplayPlan {
    pub(crate) recordings: Vec<PlannedRecording>,
    pub(crate) options: RecordingOptions,
    pub(crate) speed: Speed,
    identity: u128,
}

impl ReplayPlan {
    /// Looks at every recording and says what it is. Fails before anything is written if one cannot be read.
    pub fn new(paths: &[PathBuf], options: RecordingOptions, speed: Speed) -> Result<Self, AgentError> {
        options.check()?;
        let mut hash = Xxh3::new();
        let mut recordings = Vec::with_capacity(paths.len());
        for path in paths {
            let kind = match &options.kind {
                Some(kind) => kind.clone(),
                None => detect(path)?,
            };
            let (file, metadata) = open_file(path)?;
            let bytes = metadata.len();
            add_fingerprint(path, file, bytes, &mut hash).context("read", path)?;
            recordings.push(PlannedRecording { path: path.clone(), kind, bytes });
        }
        // Speed does not change what is written; everything else does.
        for recording in &recordings {
            hash.update(format!("{:?}", recording.kind).as_bytes());
        }
        hash.update(format!("{options:?}").as_bytes());
        Ok(Self { recordings, options, speed, identity: hash.digest128() })
    }

    /// The recordings.
    pub fn recordings(&self) -> &[PlannedRecording] {
        &self.recordings
    }

    /// Size of all recordings, bytes.
    pub fn total_bytes(&self) -> u64 {
        self.recordings.iter().map(|recording| recording.bytes).sum()
    }

    /// Names the plan: the same recordings (by name and content) with the same options have the same identity.
    pub const fn identity(&self) -> u128 {
        self.identity
    }

    pub(crate) fn open(&self, recording: &PlannedRecording) -> Result<Box<dyn crate::Source>, AgentError> {
        recording::open(&recording.path, &recording.kind, &self.options)
    }
}

fn add_fingerprint(path: &Path, mut file: File, length: u64, hash: &mut Xxh3) -> std::io::Result<()> {
    hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    hash.update(&length.to_le_bytes());
    let mut end = vec![0; FINGERPRINT as usize];
    for start in [0, length.saturating_sub(FINGERPRINT)] {
        file.seek(SeekFrom::Start(start))?;
        let read = read_up_to(&mut file, &mut end)?;
        hash.update(&end[..read]);
    }
    Ok(())
}

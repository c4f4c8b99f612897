//! The profile file.
//!
//! ```text
//! magic     8 bytes   RASTROPF
//! version   u32       1
//! sections  u32       how many follow
//! section   4 bytes   tag: HEAD, CALL, or MODL
//!           u32       length of its content, bytes
//!           u32       length of what follows, bytes
//!           …         the content, compressed with zstd
//! …
//! checksum  u64       XXH3 of everything before
//! ```
//!
//! Numbers are little-endian. There is one `HEAD`, then one `CALL`, then one `MODL` a model. Contents are in postcard's format
//! (<https://postcard.jamesmunns.com>), of the structures `Head`, `Calls` and `ModelContent` in this file; a model's windows are written by
//! its detector. The same profile gives the same bytes.
//!
//! A file is data: nothing in it is ever executed, and everything in it is checked before it is used. A section's content is
//! at most [`MAX_SECTION`] bytes and is decompressed no further than the length it declares, so a small file cannot take much memory.

use std::io::Read;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    alphabet::Alphabet,
    calibration::HeldOut,
    profile::{MAX_GROWTH_POINTS, MAX_SOURCES, Model, Profile, Source, Training},
    registry::ModelSpec,
};

const MAGIC: &[u8; 8] = b"RASTROPF";
const VERSION: u32 = 1;

/// Longest content of a section, bytes.
pub(crate) const MAX_SECTION: usize = 128 << 20;

/// Most models of a profile.
const MAX_MODELS: usize = 64;

/// Longest name of a profile, bytes.
const MAX_NAME: usize = 1024;

/// How hard a section is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Written rarely: small.
    File,
    /// Written again and again while learning: fast.
    State,
}

/// Bytes that are no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Something else altogether.
    #[error("this is no profile file: it does not begin with RASTROPF; `rastro profile export` writes one")]
    NotAProfile,
    /// Written by another version of Rastro.
    #[error(
        "profile file of version {found}, but this Rastro reads version {VERSION}; train the profile again or use the matching Rastro"
    )]
    Version {
        /// The version that the file declares.
        found: u32,
    },
    /// Cut, or changed since it was written.
    #[error("profile file is damaged: {0}; export it again from where it came")]
    Damaged(&'static str),
    /// Written with contents that make no profile.
    #[error("profile file is refused, {section}: {message}")]
    Refused {
        /// The section at fault.
        section: String,
        /// What is wrong with it.
        message: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    name: String,
    created_ns: i64,
    training: Training,
    sources: Vec<Source>,
}

#[derive(Serialize, Deserialize)]
struct Calls {
    names: Vec<String>,
    counts: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
struct ModelContent {
    spec: String,
    held_out: HeldOut,
    growth: Vec<(u64, u64)>,
    windows: Vec<u8>,
}

impl Profile {
    /// The profile as a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_with(Effort::File)
    }

    pub(crate) fn to_bytes_with(&self, effort: Effort) -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&VERSION.to_le_bytes());
        file.extend_from_slice(&(2 + self.models.len() as u32).to_le_bytes());
        let head = Head {
            name: self.name.clone(),
            created_ns: self.created_ns,
            training: self.training.clone(),
            sources: self.sources.clone(),
        };
        write_section(&mut file, *b"HEAD", &head, effort);
        let calls = Calls { names: self.alphabet.names().to_vec(), counts: self.call_counts.clone() };
        write_section(&mut file, *b"CALL", &calls, effort);
        for model in &self.models {
            let content = ModelContent {
                spec: model.detector.spec().to_string(),
                held_out: model.held_out.clone(),
                growth: model.growth.clone(),
                windows: model.detector.encode(),
            };
            write_section(&mut file, *b"MODL", &content, effort);
        }
        let checksum = xxhash_rust::xxh3::xxh3_64(&file);
        file.extend_from_slice(&checksum.to_le_bytes());
        file
    }

    /// Reads a profile file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProfileError> {
        let mut file = Reader { rest: bytes };
        if file.take(MAGIC.len()).ok() != Some(MAGIC.as_slice()) {
            return Err(ProfileError::NotAProfile);
        }
        let version = file.number()?;
        if version != VERSION {
            return Err(ProfileError::Version { found: version });
        }
        let (content, checksum) =
            bytes.split_last_chunk::<8>().ok_or(ProfileError::Damaged("it is too short"))?;
        if xxhash_rust::xxh3::xxh3_64(content) != u64::from_le_bytes(*checksum) {
            return Err(ProfileError::Damaged("its checksum does not match"));
        }
        let sections = file.number()? as usize;
        if !(2..=2 + MAX_MODELS).contains(&sections) {
            return Err(refused(
                "beginning",
                format!("{sections} sections, expected 2 to {}", 2 + MAX_MODELS),
            ));
        }
        let head: Head = file.section(*b"HEAD")?;
        check_head(&head).map_err(|message| refused("section HEAD", message))?;
        let calls: Calls = file.section(*b"CALL")?;
        let count = calls.names.len();
        if calls.counts.len() != count {
            return Err(refused("section CALL", "names and counts do not match"));
        }
        let alphabet = Alphabet::from_names(calls.names)
            .ok_or_else(|| refused("section CALL", "names occur twice, are too long or too many"))?;
        let mut models: Vec<Model> = Vec::new();
        for _ in 2..sections {
            let model = read_model(file.section(*b"MODL")?, count)?;
            if models.iter().any(|other| other.detector.spec() == model.detector.spec()) {
                return Err(refused(&format!("model `{}`", model.detector.spec()), "it occurs twice"));
            }
            models.push(model);
        }
        if file.rest.len() != checksum.len() {
            return Err(ProfileError::Damaged("something follows its last section"));
        }
        Ok(Self {
            name: head.name,
            created_ns: head.created_ns,
            alphabet,
            call_counts: calls.counts,
            models,
            training: head.training,
            sources: head.sources,
        })
    }
}

fn check_head(head: &Head) -> Result<(), &'static str> {
    if head.name.len() > MAX_NAME {
        return Err("its name is too long");
    }
    if head.sources.len() > MAX_SOURCES {
        return Err("it names too many sources");
    }
    Ok(())
}

fn read_model(content: ModelContent, alphabet: usize) -> Result<Model, ProfileError> {
    let refuse = |message: &dyn std::fmt::Display| {
        let shown: String = content.spec.chars().take(64).filter(|c| !c.is_control()).collect();
        refused(&format!("model `{shown}`"), message.to_string())
    };
    let spec = ModelSpec::parse(&content.spec).map_err(|error| refuse(&error))?;
    if !content.held_out.is_consistent() {
        return Err(refuse(&"its held-out scores contradict one another"));
    }
    if content.growth.len() > MAX_GROWTH_POINTS {
        return Err(refuse(&"its growth curve has too many points"));
    }
    let detector = spec.decode(&content.windows, alphabet).map_err(|message| refuse(&message))?;
    Ok(Model { detector, held_out: content.held_out, growth: content.growth })
}

fn refused(section: &str, message: impl Into<String>) -> ProfileError {
    ProfileError::Refused { section: section.to_owned(), message: message.into() }
}

fn write_section(file: &mut Vec<u8>, tag: [u8; 4], content: &impl Serialize, effort: Effort) {
    let level = if effort == Effort::File { 9 } else { 1 };
    // Neither can fail: the one writes to memory, the other compresses it.
    let content = postcard::to_stdvec(content).unwrap_or_default();
    let compressed = zstd::bulk::compress(&content, level).unwrap_or_default();
    file.extend_from_slice(&tag);
    file.extend_from_slice(&(content.len() as u32).to_le_bytes());
    file.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
    file.extend_from_slice(&compressed);
}

struct Reader<'bytes> {
    rest: &'bytes [u8],
}

impl<'bytes> Reader<'bytes> {
    fn take(&mut self, length: usize) -> Result<&'bytes [u8], ProfileError> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or(ProfileError::Damaged("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, ProfileError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn section<T: DeserializeOwned>(&mut self, tag: [u8; 4]) -> Result<T, ProfileError> {
        let name = format!("section {}", String::from_utf8_lossy(&tag));
        if self.take(4)? != tag {
            return Err(refused(&name, "it is not where it must be"));
        }
        let length = self.number()? as usize;
        if length > MAX_SECTION {
            return Err(refused(
                &name,
                format!("it declares {length} bytes, at most {MAX_SECTION} are read"),
            ));
        }
        let compressed_length = self.number()? as usize;
        let compressed = self.take(compressed_length)?;
        let unreadable = || refused(&name, "it cannot be decompressed to the length that it declares");
        let decoder = zstd::stream::read::Decoder::with_buffer(compressed).map_err(|_| unreadable())?;
        let mut content = Vec::new();
        decoder.take(length as u64 + 1).read_to_end(&mut content).map_err(|_| unreadable())?;
        if content.len() != length {
            return Err(unreadable());
        }
        let (value, rest) = postcard::take_from_bytes(&content)
            .map_err(|error| refused(&name, format!("its content cannot be read: {error}")))?;
        if !rest.is_empty() {
            return Err(refused(&name, "its content is longer than what it holds"));
        }
        Ok(value)
    }
}

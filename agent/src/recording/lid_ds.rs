//! LID-DS 2021: an archive with the lines (`<name>.sc`) and what is known of them (`<name>.json`). The JSON also lies beside the
//! traces of the LTTng era.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use flate2::read::DeflateDecoder;
use rastro_format::Format;
use serde::Deserialize;
use zip::{CompressionMethod, ZipArchive};

use super::{RecordingOptions, stem, text::TextSource};
use crate::{AgentError, Label, Lines, Progress, Source, error::IoContext, input::Input};

/// More than this is no description of a recording, bytes.
const MAX_DESCRIPTION: u64 = 1024 * 1024;

/// What the authors of LID-DS write of a recording, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Description {
    #[serde(default)]
    exploit: bool,
    #[serde(default)]
    exploit_name: Option<String>,
    #[serde(default)]
    pub(super) image: Option<String>,
    #[serde(default)]
    time: Times,
}

#[derive(Debug, Default, Deserialize)]
struct Times {
    #[serde(default)]
    exploit: Vec<ExploitTime>,
}

#[derive(Debug, Deserialize)]
struct ExploitTime {
    /// Seconds since the epoch.
    absolute: f64,
    #[serde(default)]
    name: Option<String>,
}

impl Description {
    fn read(path: &Path, reader: impl Read) -> Result<Self, AgentError> {
        let reader = reader.take(MAX_DESCRIPTION);
        serde_json::from_reader(reader).map_err(|error| AgentError::Recording {
            path: path.to_owned(),
            message: format!("its description (JSON) cannot be read: {error}"),
        })
    }

    /// The description beside a recording, if there is one.
    pub(super) fn beside(path: &Path) -> Result<Option<Self>, AgentError> {
        let mut name = stem(path).to_vec();
        name.extend_from_slice(b".json");
        let beside = path.with_file_name(String::from_utf8_lossy(&name).into_owned());
        match File::open(&beside) {
            Ok(file) => Self::read(&beside, file).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("open", &beside),
        }
    }

    pub(super) fn labels(&self, container: &str, recording: &Path) -> Vec<Label> {
        let label = |time_ns: Option<i64>, name: Option<&String>| Label {
            container: container.to_owned(),
            thread: None,
            from_ns: time_ns,
            kind: name.or(self.exploit_name.as_ref()).cloned().unwrap_or_else(|| "exploit".to_owned()),
            recording: Some(String::from_utf8_lossy(stem(recording)).into_owned()),
        };
        if !self.exploit {
            return Vec::new();
        }
        if self.time.exploit.is_empty() {
            return vec![label(None, None)];
        }
        let at = |time: &ExploitTime| label(Some((time.absolute * 1e9) as i64), time.name.as_ref());
        self.time.exploit.iter().map(at).collect()
    }
}

pub(super) struct LidDsSource {
    text: TextSource,
    labels: Vec<Label>,
}

impl LidDsSource {
    pub(super) fn open(path: &Path, format: Format, options: &RecordingOptions) -> Result<Self, AgentError> {
        let fault = |message: String| AgentError::Recording { path: path.to_owned(), message };
        let damaged = |error: zip::result::ZipError| fault(format!("the archive is damaged: {error}"));
        let file = File::open(path).context("open", path)?;
        let mut archive = ZipArchive::new(file).map_err(damaged)?;
        let with_ending = |archive: &ZipArchive<File>, ending: &[u8]| -> Vec<String> {
            archive.file_names().filter(|name| name.as_bytes().ends_with(ending)).map(str::to_owned).collect()
        };
        let [lines] = with_ending(&archive, b".sc").try_into().map_err(|all: Vec<String>| {
            fault(format!("the archive holds {} members `<name>.sc`, expected one", all.len()))
        })?;
        let description = match with_ending(&archive, b".json").as_slice() {
            [name] => Some(Description::read(path, archive.by_name(name).map_err(damaged)?)?),
            _ => None,
        };
        let (start, length, compression) = {
            let member = archive.by_name(&lines).map_err(damaged)?;
            let start = member.data_start().ok_or_else(|| fault("the archive is damaged".to_owned()))?;
            (start, member.compressed_size(), member.compression())
        };
        // The archive lends its members; the source needs one of its own.
        let mut file = archive.into_inner();
        file.seek(SeekFrom::Start(start)).context("read", path)?;
        let bytes = file.take(length);
        let input = match compression {
            CompressionMethod::Stored => Input::from_reader(bytes, length),
            CompressionMethod::Deflated => {
                Input::decoded(bytes, length, |bytes| Box::new(DeflateDecoder::new(bytes)))
            }
            other => return Err(fault(format!("`{lines}` is compressed by {other}; pack it with deflate"))),
        };
        let mut options = options.clone();
        if let Some(description) = &description {
            options.image = options.image.or_else(|| description.image.clone());
        }
        let text = TextSource::new(path, input, format, &options)?;
        let container = &text.base_header().container.id;
        let labels = description.map(|description| description.labels(container, path)).unwrap_or_default();
        Ok(Self { text, labels })
    }
}

impl Source for LidDsSource {
    fn next_lines(&mut self) -> Result<Option<Lines<'_>>, AgentError> {
        self.text.next_lines()
    }

    fn progress(&self) -> Progress {
        self.text.progress()
    }

    fn labels(&self) -> &[Label] {
        &self.labels
    }

    fn cut_lines(&self) -> u64 {
        self.text.cut_lines()
    }
}

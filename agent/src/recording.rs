//! Recordings as sources: what a file is, and how its lines are read.
//!
//! Text that sysdig printed is passed through line by line, unchanged; whatever is in another form is rewritten in the default line
//! format, and what cannot be is passed through all the same. So there is one parser of lines, downstream, and every line of a
//! recording is counted once.

mod converted;
mod detect;
mod lid_ds;
mod lttng;
mod pid_calls;
mod scap;
mod strace;
mod text;
mod threads;
mod traces;

use std::path::{Path, PathBuf};

use rastro_format::{DayBase, Format};
use rastro_model::{Container, LogHeader, dataset, syscall::Architecture};

use crate::{
    AgentError, Source,
    container::{container_id, container_of_stem},
    input::Input,
};
use converted::ConvertedSource;
use lid_ds::Description;
use lttng::LttngConverter;
use pid_calls::PidCallsConverter;

pub use detect::detect;
pub use strace::StraceConverter;

/// What a recording is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordingKind {
    /// Text that sysdig printed with this format string.
    Text {
        /// The format string.
        format: String,
    },
    /// The same, with the threads of the lines in a file beside it (`<stem>.threads.tsv.gz`).
    TextWithThreads {
        /// The format string.
        format: String,
    },
    /// A capture that an installed sysdig reads.
    Scap,
    /// One trace a line, numbers of system calls.
    Traces,
    /// Lines of a process id and the number of a system call, as the data sets of the University of New Mexico have them.
    PidCalls,
    /// What `strace -f -ttt -T -y` writes.
    Strace,
    /// An LTTng kernel trace as babeltrace2 prints it.
    Lttng,
    /// An archive of LID-DS 2021.
    LidDsArchive {
        /// The format string of its lines.
        format: String,
    },
}

impl RecordingKind {
    /// The kind that `--format` names: a format by name, a format string, or one of the other kinds.
    pub fn named(name: &str) -> Result<Self, AgentError> {
        match name {
            "scap" => return Ok(Self::Scap),
            "traces" => return Ok(Self::Traces),
            "unm" => return Ok(Self::PidCalls),
            "strace" => return Ok(Self::Strace),
            "lttng" => return Ok(Self::Lttng),
            _ => {}
        }
        let format = match Format::named(name) {
            Some(format) => format,
            None => Format::parse(name)
                .map_err(|source| AgentError::Format { path: PathBuf::from("--format"), source })?,
        };
        Ok(Self::Text { format: format.text().to_owned() })
    }
}

/// What a user may say of recordings that they do not say themselves.
#[derive(Debug, Clone, Default)]
pub struct RecordingOptions {
    /// What they are; else it is detected.
    pub kind: Option<RecordingKind>,
    /// Dataset of the lines; overrides that of a recording's own header.
    pub dataset: Option<String>,
    /// Image of the container, where the recording names none.
    pub image: Option<String>,
    /// Whose numbers the numbers of traces are; opaque symbols if absent.
    pub table: Option<Architecture>,
    /// The sysdig program that reads captures; the one on the search path if absent.
    pub sysdig: Option<PathBuf>,
    /// Day of formats that give a time of day only, `yyyy-mm-dd`; 1970-01-01 if absent.
    pub date: Option<String>,
}

impl RecordingOptions {
    /// Checks what does not depend on a recording.
    pub fn check(&self) -> Result<(), AgentError> {
        if let Some(name) = &self.dataset {
            dataset::check_name(name).map_err(|error| AgentError::Option {
                option: "--dataset",
                value: name.clone(),
                expected: error.expected,
            })?;
        }
        self.day().map(drop)
    }

    fn day(&self) -> Result<Option<DayBase>, AgentError> {
        let parse = |text: &String| {
            DayBase::from_date(text).ok_or_else(|| AgentError::Option {
                option: "--date",
                value: text.clone(),
                expected: "a day as in 2026-11-21",
            })
        };
        self.date.as_ref().map(parse).transpose()
    }

    /// The header of a recording that has none of its own.
    fn header(&self, path: &Path, format: &Format) -> LogHeader {
        let mut container = container_of_stem(stem(path));
        container.image.clone_from(&self.image);
        LogHeader {
            version: 1,
            format: format.text().to_owned(),
            dataset: self.dataset.clone(),
            container,
            architecture: None,
            date: None,
        }
    }

    /// The header of a recording that begins with `own`, as far as nothing here overrides it. What it says is checked like anything
    /// from outside.
    fn header_from(&self, path: &Path, own: LogHeader) -> Result<LogHeader, AgentError> {
        if let Some(name) = own.dataset.as_deref().filter(|_| self.dataset.is_none()) {
            dataset::check_name(name).map_err(|error| AgentError::Recording {
                path: path.to_owned(),
                message: format!(
                    "its header names the dataset `{name}`, which is not {}; give --dataset",
                    error.expected
                ),
            })?;
        }
        let id = container_id(own.container.id.as_bytes());
        let image = own.container.image.or_else(|| self.image.clone());
        Ok(LogHeader {
            version: 1,
            dataset: self.dataset.clone().or(own.dataset),
            container: Container { id, image, ..own.container },
            ..own
        })
    }
}

/// Opens a recording as a source.
pub fn open(
    path: &Path,
    kind: &RecordingKind,
    options: &RecordingOptions,
) -> Result<Box<dyn Source>, AgentError> {
    options.check()?;
    match kind {
        RecordingKind::Text { format } => {
            let format = parse_format(path, format)?;
            // A format that was given says nothing of the file: an archive is one whatever its lines are.
            if detect::is_archive(path)? {
                return Ok(Box::new(lid_ds::LidDsSource::open(path, format, options)?));
            }
            Ok(Box::new(text::TextSource::open(path, format, options)?))
        }
        RecordingKind::TextWithThreads { format } => {
            let from = parse_format(path, format)?;
            let (converter, header) = threads::ThreadsConverter::open(path, from, options)?;
            Ok(Box::new(ConvertedSource::new(path, Input::open(path)?, header, converter)))
        }
        RecordingKind::Scap => Ok(Box::new(scap::ScapSource::open(path, options)?)),
        RecordingKind::Traces => Ok(Box::new(traces::TracesSource::open(path, options)?)),
        RecordingKind::PidCalls => {
            let mut header = options.header(path, &default_format(path)?);
            header.architecture = options.table.map(|table| table.to_string());
            let converter = PidCallsConverter::new(path, options)?;
            Ok(Box::new(ConvertedSource::new(path, Input::open(path)?, header, converter)))
        }
        RecordingKind::Strace => {
            let format = default_format(path)?;
            let header = options.header(path, &format);
            Ok(Box::new(ConvertedSource::new(path, Input::open(path)?, header, StraceConverter::new(format))))
        }
        RecordingKind::Lttng => {
            let description = Description::beside(path)?.unwrap_or_default();
            let format = default_format(path)?;
            let mut header = options.header(path, &format);
            header.container.image = header.container.image.or_else(|| description.image.clone());
            let labels = description.labels(&header.container.id, path);
            let converter = LttngConverter::new(format);
            Ok(Box::new(
                ConvertedSource::new(path, Input::open(path)?, header, converter).with_labels(labels),
            ))
        }
        RecordingKind::LidDsArchive { format } => {
            Ok(Box::new(lid_ds::LidDsSource::open(path, parse_format(path, format)?, options)?))
        }
    }
}

/// The format of lines that are rewritten here.
fn default_format(path: &Path) -> Result<Format, AgentError> {
    parse_format(path, rastro_format::DEFAULT)
}

fn parse_format(path: &Path, text: &str) -> Result<Format, AgentError> {
    Format::parse(text).map_err(|source| AgentError::Format { path: path.to_owned(), source })
}

/// The name of a file without the endings that only say what it is.
fn stem(path: &Path) -> &[u8] {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let name = name.strip_suffix(b".gz").unwrap_or(name);
    let endings: [&[u8]; 8] =
        [b".lttng.txt", b".log", b".txt", b".scap", b".strace", b".zip", b".sc", b".int"];
    endings
        .iter()
        .find_map(|ending| name.strip_suffix(*ending))
        .filter(|stem| !stem.is_empty())
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_by_its_name_a_preset_or_a_format_string() {
        assert_eq!(RecordingKind::named("strace").unwrap(), RecordingKind::Strace);
        let rocha = Format::named("rocha").unwrap().text().to_owned();
        assert_eq!(RecordingKind::named("rocha").unwrap(), RecordingKind::Text { format: rocha.clone() });
        assert_eq!(RecordingKind::named(&rocha).unwrap(), RecordingKind::Text { format: rocha });
        let error = RecordingKind::named("%evt.typ").unwrap_err().to_string();
        assert!(error.contains("--format") && error.contains("evt.type"), "{error}");
    }

    #[test]
    fn a_stem_is_the_name_without_endings_that_say_what_a_file_is() {
        for (name, expected) in [
            ("/a/web-01.log.gz", "web-01"),
            ("0123456789ab.log", "0123456789ab"),
            ("x.lttng.txt.gz", "x"),
            ("attack.txt.gz", "attack"),
            ("a.basic.log.gz", "a.basic"),
            (".log", ".log"),
            ("plain", "plain"),
        ] {
            assert_eq!(stem(Path::new(name)), expected.as_bytes(), "{name}");
        }
    }
}

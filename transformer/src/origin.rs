//! What is known of a chunk before its first line is read.

use std::{collections::HashMap, sync::Arc};

use rastro_broker::Chunk;
use rastro_format::{DayBase, Field, Format};
use rastro_model::{Container, LogHeader, dataset, syscall::Architecture};

use crate::{TransformerConfig, containers::short_id};

/// Files whose origin is remembered. There is one per container and header, so this is never reached in earnest.
const REMEMBERED: usize = 4096;

/// Where a file's lines come from and how they are read.
#[derive(Debug)]
pub(crate) struct Origin {
    /// How to read a line, or why that cannot be known.
    pub(crate) format: Result<LineFormat, String>,
    /// Dataset of the lines.
    pub(crate) dataset: String,
    /// The container whose calls these are, where lines do not say.
    pub(crate) container: Container,
    /// Whose numbers the calls have.
    pub(crate) architecture: String,
    /// The day of times of day, where the header gives it.
    pub(crate) day: Option<DayBase>,
}

/// A format with the questions that every line asks of it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four questions that have nothing to do with one another")]
pub(crate) struct LineFormat {
    pub(crate) format: Format,
    pub(crate) has_container: bool,
    pub(crate) has_category: bool,
    pub(crate) has_result: bool,
    pub(crate) is_time_of_day: bool,
}

impl From<Format> for LineFormat {
    fn from(format: Format) -> Self {
        Self {
            has_container: format.has_container(),
            has_category: format.has(Field::Category),
            has_result: format.has(Field::Result),
            is_time_of_day: format.is_time_of_day(),
            format,
        }
    }
}

/// Origins by header and path: reading a header and a format string takes longer than a small chunk.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    known: HashMap<File, Arc<Origin>>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct File {
    header: Option<Vec<u8>>,
    path: Vec<u8>,
}

impl Origins {
    pub(crate) fn of(&mut self, chunk: &Chunk, config: &TransformerConfig) -> Arc<Origin> {
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let file = File { header: chunk.header.clone(), path: chunk.path.clone() };
        Arc::clone(self.known.entry(file).or_insert_with(|| {
            Arc::new(match &chunk.header {
                Some(header) => with_header(header, &chunk.path, config),
                None => without_header(Ok(config.default_format.clone()), &chunk.path, config),
            })
        }))
    }
}

fn with_header(header: &[u8], path: &[u8], config: &TransformerConfig) -> Origin {
    let header = match LogHeader::parse(header.trim_ascii_end()) {
        Ok(header) => header,
        Err(error) => return without_header(Err(error.to_string()), path, config),
    };
    let mut format = Format::parse(&header.format).map_err(|error| format!("header, `format`: {error}"));
    let mut dataset_name = config.default_dataset.clone();
    if let Some(name) = header.dataset {
        match dataset::check_name(&name) {
            Ok(()) => dataset_name = name,
            Err(error) => format = Err(format!("header, `dataset`: {error}")),
        }
    }
    let day = header.date.as_deref().and_then(DayBase::from_date);
    if let (Some(date), None) = (&header.date, day) {
        format = Err(format!("header, `date`: `{}` is not a day (yyyy-mm-dd)", date.escape_debug()));
    }
    let architecture = header
        .architecture
        .map_or(Ok(Architecture::default()), |architecture| architecture.parse::<Architecture>());
    let architecture = architecture.unwrap_or_else(|error| {
        format = Err(format!("header, `architecture`: {error}"));
        Architecture::default()
    });
    let mut container = header.container;
    container.id = if container.id.is_empty() { id_of_path(path) } else { short_id(container.id.as_bytes()) };
    Origin {
        format: format.map(LineFormat::from),
        dataset: dataset_name,
        container,
        architecture: architecture.to_string(),
        day,
    }
}

fn without_header(format: Result<Format, String>, path: &[u8], config: &TransformerConfig) -> Origin {
    Origin {
        format: format.map(LineFormat::from),
        dataset: config.default_dataset.clone(),
        container: Container { id: id_of_path(path), name: None, image: None },
        architecture: Architecture::default().to_string(),
        day: None,
    }
}

/// The container that a file is named after: its name up to the first dot.
fn id_of_path(path: &[u8]) -> String {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let stem = name.split(|&byte| byte == b'.').next().unwrap_or_default();
    short_id(if stem.is_empty() { name } else { stem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TransformerConfig {
        TransformerConfig::new(Format::named("rocha").unwrap(), "fallback")
    }

    fn of_header(members: &str) -> Origin {
        let header = format!(r#"#rastro {{"version":1,"format":"%evt.type",{members}}}"#);
        with_header(header.as_bytes(), b"/logs/aaaabbbbcccc.log", &config())
    }

    #[test]
    fn a_file_without_a_header_is_named_after_its_container() {
        for (path, id) in [
            (b"/var/log/rastro/0123456789ab.log".as_slice(), "0123456789ab"),
            (b"host.log", "host"),
            (b"/x/web-01.log.gz", "web-01"),
            (b"/x/.hidden", ".hidden"),
            (b"/x/\xff.log", "\u{fffd}"),
            (b"/x/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.log", "0123456789ab"),
        ] {
            assert_eq!(without_header(Err(String::new()), path, &config()).container.id, id);
        }
    }

    #[test]
    fn a_header_says_what_its_file_is() {
        let origin = of_header(
            r#""dataset":"shop","container":{"id":"0123456789ab","image":"web:1"},"architecture":"arm64","date":"1970-01-02""#,
        );
        assert!(origin.format.is_ok());
        assert_eq!((origin.dataset.as_str(), origin.architecture.as_str()), ("shop", "aarch64"));
        assert_eq!(origin.container.image.as_deref(), Some("web:1"));
        assert_eq!(origin.day, Some(DayBase(86_400_000_000_000)));
    }

    #[test]
    fn an_empty_id_in_a_header_is_replaced_by_the_files_name() {
        let origin = of_header(r#""container":{"id":""}"#);
        assert_eq!(origin.container.id, "aaaabbbbcccc");
        assert_eq!((origin.dataset.as_str(), origin.architecture.as_str()), ("fallback", "x86_64"));
    }

    #[test]
    fn a_header_that_cannot_be_used_says_which_member_is_wrong() {
        for (members, member) in [
            (r#""container":{"id":"x"},"dataset":"No Name""#, "`dataset`"),
            (r#""container":{"id":"x"},"date":"yesterday""#, "`date`"),
            (r#""container":{"id":"x"},"architecture":"sparc""#, "`architecture`"),
            (r#""container":7"#, "JSON"),
        ] {
            let reason = of_header(members).format.unwrap_err();
            assert!(reason.contains(member), "{reason}");
        }
        let header = br#"#rastro {"version":1,"format":"%no.such","container":{"id":"x"}}"#;
        let reason = with_header(header, b"x.log", &config()).format.unwrap_err();
        assert!(reason.contains("`format`"), "{reason}");
    }
}

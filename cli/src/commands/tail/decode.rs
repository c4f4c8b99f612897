//! A line to a call, for eyes.

use std::path::Path;

use anyhow::Context as _;
use rastro_format::{DayBase, Format};
use rastro_model::{Container, Direction, Event, syscall};

use super::{Context, files, rarity::Workload};
use crate::config::format_of;

/// Lines by which a format is recognised.
const SAMPLE: usize = 8;

/// What the user says about files that do not say it themselves.
#[derive(Debug)]
pub(super) struct Declared {
    format: Format,
    /// It was given with this command, so that nothing is recognised against it.
    is_explicit: bool,
    /// Dataset of files that name none.
    dataset: String,
}

/// The format of files without a header: `--format`, else the configuration's.
pub(super) fn declared_format(context: &Context, flag: Option<&str>) -> anyhow::Result<Declared> {
    let (text, key) =
        flag.map_or((&*context.config.transformer.format, "transformer.format"), |flag| (flag, "--format"));
    let format = format_of(text).with_context(|| format!("`{key}`"))?;
    Ok(Declared { format, is_explicit: flag.is_some(), dataset: context.config.dataset.name.clone() })
}

/// Reads the lines of one file.
#[derive(Debug)]
pub(super) struct Decoder {
    format: Format,
    day: DayBase,
    container: Container,
    workload: Workload,
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Decoded {
    /// A call that returned, or that never does.
    Call(Call),
    /// The beginning of a call, or an event that is none.
    NoCall,
    /// No event.
    NoEvent(String),
}

/// A call as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) time_ns: Option<i64>,
    pub(super) container: String,
    pub(super) process_name: Option<String>,
    pub(super) process: Option<i64>,
    pub(super) thread: Option<i64>,
    pub(super) name: String,
    pub(super) category: &'static str,
    pub(super) latency_ns: Option<u64>,
    pub(super) result: Option<i64>,
    pub(super) arguments: String,
}

impl Decoder {
    /// The decoder that the file's header asks for; without a header, that of the declared format, unless the file's first
    /// lines contradict it and are of a known format beyond doubt.
    pub(super) fn of_file(path: &Path, declared: &Declared) -> anyhow::Result<Self> {
        if let Some(header) = files::header(path) {
            let format =
                format_of(&header.format).with_context(|| format!("header of `{}`", path.display()))?;
            let day = header.date.as_deref().and_then(DayBase::from_date).unwrap_or_default();
            let dataset = header.dataset.unwrap_or_else(|| declared.dataset.clone());
            let workload = Workload { image: header.container.image.clone(), dataset };
            return Ok(Self { format, day, container: header.container, workload });
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let container = Container { id: stem, name: None, image: None };
        let day = DayBase::default();
        let mut format = declared.format.clone();
        if !declared.is_explicit {
            let sample = files::first_lines(path, SAMPLE)?;
            let fits = sample.iter().any(|line| format.parse_line(line, day).is_ok());
            let sample: Vec<_> = sample.iter().map(Vec::as_slice).collect();
            if let Some(known) = Format::detect(&sample).filter(|_| !fits).and_then(Format::named) {
                format = known;
            }
        }
        let workload = Workload { image: None, dataset: declared.dataset.clone() };
        Ok(Self { format, day, container, workload })
    }

    /// What the container of the file runs.
    pub(super) const fn workload(&self) -> &Workload {
        &self.workload
    }

    /// What `line` is.
    pub(super) fn decode(&self, line: &[u8]) -> Decoded {
        match self.format.parse_line(line, self.day) {
            Ok(event) if is_shown(&event) => Decoded::Call(self.call(&event)),
            Ok(_) => Decoded::NoCall,
            Err(error) => Decoded::NoEvent(error.reason(line)),
        }
    }

    fn call(&self, event: &Event<'_>) -> Call {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let container = match (event.container_name, event.container_id) {
            (Some(name), _) => text(name),
            (None, Some(id)) => text(id),
            (None, None) => self.container.name.clone().unwrap_or_else(|| self.container.id.clone()),
        };
        Call {
            time_ns: event.time_ns,
            container,
            process_name: event.process_name.map(text),
            process: event.process,
            thread: event.thread,
            name: text(event.name),
            category: event.category.name(),
            latency_ns: event.latency_ns,
            result: event.result,
            arguments: text(event.arguments),
        }
    }
}

fn is_shown(event: &Event<'_>) -> bool {
    syscall::is_system_call(event.name)
        && (event.direction == Direction::Exit || syscall::never_returns(event.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_its_header_says_and_without_one_as_declared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0123456789ab.log");
        let line = "3334 2022-03-31T18:13:17.231143686+0000 < IPC futex 0 -110  res=-110(ETIMEDOUT) ";
        std::fs::write(&path, format!("{line}\n")).unwrap();
        let declared = |name: &str, is_explicit| Declared {
            format: Format::named(name).unwrap(),
            is_explicit,
            dataset: "web".to_owned(),
        };
        // A format that does not fit gives way to what the lines say, unless it was asked for.
        for declared in [declared("rocha", false), declared("lidds-2019", false)] {
            let decoder = Decoder::of_file(&path, &declared).unwrap();
            let Decoded::Call(call) = decoder.decode(line.as_bytes()) else { panic!("{declared:?}") };
            assert_eq!(
                (call.name.as_str(), call.result, call.container.as_str()),
                ("futex", Some(-110), "0123456789ab")
            );
        }
        let decoder = Decoder::of_file(&path, &declared("lidds-2019", true)).unwrap();
        assert!(matches!(decoder.decode(line.as_bytes()), Decoded::NoEvent(_)));
    }

    #[test]
    fn only_calls_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "").unwrap();
        let declared = Declared {
            format: Format::named("rocha").unwrap(),
            is_explicit: true,
            dataset: "web".to_owned(),
        };
        let decoder = Decoder::of_file(&path, &declared).unwrap();
        let decoded = |direction: &str, name: &str| {
            decoder.decode(
                format!("1 2022-03-31T18:13:16.977633722+0000 {direction} other {name} 0 0  ").as_bytes(),
            )
        };
        assert!(matches!(decoded("<", "read"), Decoded::Call(_)));
        assert!(matches!(decoded(">", "read"), Decoded::NoCall));
        assert!(matches!(decoded(">", "exit_group"), Decoded::Call(_)));
        assert!(matches!(decoded(">", "switch"), Decoded::NoCall));
        assert!(matches!(decoded("|", "read"), Decoded::NoEvent(_)));
    }
}

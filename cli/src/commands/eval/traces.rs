//! Recordings as traces: the calls of each thread of each container, in order.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use rastro_agent::{
    Label, RecordingKind,
    recording::{self, RecordingOptions},
};
use rastro_analyzer::evaluation::{Part, TraceSets};
use rastro_format::{DayBase, Format};
use rastro_model::{Direction, Event, syscall};

use super::layout::{Form, Labelled};

/// More than this is no file of one trace, bytes.
const MAX_ONE_TRACE: u64 = 256 * 1024 * 1024;

/// Adds the traces of a file to an evaluation, and returns how many of its lines were no events.
pub(super) fn add_file(
    file: &Labelled,
    kind: Option<&RecordingKind>,
    bar: &ProgressBar,
    sets: &mut TraceSets,
) -> anyhow::Result<u64> {
    match &file.form {
        Form::OneTrace => {
            let text = one_trace(&file.path)?;
            sets.add(file.part, text.split_ascii_whitespace(), file.kind.as_deref());
            bar.inc(text.len() as u64);
            Ok(0)
        }
        Form::Recording(own) => {
            let read = read(&file.path, own.as_ref().or(kind), bar)?;
            read.check_labels(&file.path)?;
            read.add_to(sets, file.part, file.kind.as_deref());
            Ok(read.lines_without_event)
        }
    }
}

/// A file of numbers that are one trace.
fn one_trace(path: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read `{}`", path.display());
    let size = std::fs::metadata(path).with_context(cannot)?.len();
    if size > MAX_ONE_TRACE {
        bail!("`{}` has {size} bytes, which is too much for one trace", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(cannot)?;
    let is_number = |token: &&str| token.bytes().all(|byte| byte.is_ascii_digit());
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(other) = line.split_ascii_whitespace().find(|token| !is_number(token)) {
            bail!(
                "`{}` line {number}: `{}` is no number of a call",
                path.display(),
                crate::output::text::printable(&other.chars().take(40).collect::<String>())
            );
        }
    }
    if text.trim_ascii().is_empty() {
        bail!("`{}` is empty: a trace is numbers of calls with blanks between", path.display());
    }
    Ok(text)
}

/// Labels of which each is looked for; the number of the others must fit all the same.
const MAX_CHECKED: usize = 16;

/// The traces of a recording.
#[derive(Debug, Default)]
struct Traces {
    /// Names of calls; traces hold their places here.
    names: Vec<String>,
    places: HashMap<Vec<u8>, u32>,
    traces: Vec<Trace>,
    by_thread: HashMap<(usize, Vec<u8>, Option<i64>), usize>,
    labels: Vec<Label>,
    /// Lines that could not be read.
    lines_without_event: u64,
}

#[derive(Debug)]
struct Trace {
    container: String,
    thread: Option<i64>,
    calls: Vec<u32>,
}

/// A log of the recording: how its lines are read.
struct Log {
    format: Format,
    day: DayBase,
    container: String,
}

/// Reads a recording; what it is, `kind` says, or its content.
fn read(path: &Path, kind: Option<&RecordingKind>, bar: &ProgressBar) -> anyhow::Result<Traces> {
    let detected;
    let kind = match kind {
        Some(kind) => kind,
        None => {
            detected = recording::detect(path)?;
            &detected
        }
    };
    let mut source = recording::open(path, kind, &RecordingOptions::default())?;
    let mut logs: HashMap<usize, Log> = HashMap::new();
    let mut traces = Traces::default();
    let begin = bar.position();
    while let Some(lines) = source.next_lines()? {
        let log = match logs.entry(lines.log) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let format = Format::parse(&lines.header.format)
                    .with_context(|| format!("format of `{}`", PathBuf::from(path).display()))?;
                let day = lines.header.date.as_deref().and_then(DayBase::from_date).unwrap_or_default();
                new.insert(Log { format, day, container: lines.header.container.id.clone() })
            }
        };
        for line in lines.bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            match log.format.parse_line(line, log.day) {
                Ok(event) => traces.add(lines.log, &log.container, &event),
                Err(_) => traces.lines_without_event += 1,
            }
        }
        bar.set_position(begin + source.progress().done_bytes);
    }
    bar.set_position(begin + source.progress().total_bytes);
    traces.labels = source.labels().to_vec();
    Ok(traces)
}

impl Traces {
    fn add(&mut self, log: usize, container: &str, event: &Event<'_>) {
        let is_call = syscall::is_system_call(event.name)
            && (event.direction == Direction::Exit || syscall::never_returns(event.name));
        if !is_call {
            return;
        }
        let place = match self.places.get(event.name) {
            Some(&place) => place,
            None => {
                let place = self.names.len() as u32;
                self.names.push(String::from_utf8_lossy(event.name).into_owned());
                self.places.insert(event.name.to_owned(), place);
                place
            }
        };
        let of_line = event.container_id.unwrap_or(container.as_bytes());
        let key = (log, of_line.to_owned(), event.thread);
        let trace = match self.by_thread.get(&key) {
            Some(&trace) => trace,
            None => {
                let container = String::from_utf8_lossy(of_line).into_owned();
                self.traces.push(Trace { container, thread: event.thread, calls: Vec::new() });
                self.by_thread.insert(key, self.traces.len() - 1);
                self.traces.len() - 1
            }
        };
        self.traces[trace].calls.push(place);
    }

    /// Refuses labels of threads that are not there: they are those of another recording.
    fn check_labels(&self, path: &Path) -> anyhow::Result<()> {
        if self.traces.is_empty() {
            bail!("`{}` holds no call; is its format the right one?", path.display());
        }
        let is_there = |label: &&Label| {
            self.traces.iter().any(|trace| {
                trace.container == label.container && (label.thread.is_none() || trace.thread == label.thread)
            })
        };
        if self.labels.iter().take(MAX_CHECKED).all(|label| is_there(&label))
            && self.labels.last().as_ref().is_none_or(is_there)
        {
            return Ok(());
        }
        let labels = self.labels.len();
        bail!(
            "`{}` has {} traces, but the labels beside it are of {labels}: they label a trace that is not there",
            path.display(),
            self.traces.len()
        );
    }

    /// Adds every trace to one part of an evaluation. The kind of an attack is that of its label, or `kind`. Where labels name
    /// threads, the threads without one are normal.
    fn add_to(&self, sets: &mut TraceSets, part: Part, kind: Option<&str>) {
        let mut of_threads = HashMap::new();
        let mut of_containers = HashMap::new();
        for label in &self.labels {
            let container = label.container.as_str();
            match label.thread {
                Some(thread) => of_threads.entry((container, thread)).or_insert(label.kind.as_str()),
                None => of_containers.entry(container).or_insert(label.kind.as_str()),
            };
        }
        for trace in &self.traces {
            let container = trace.container.as_str();
            let of_thread = trace.thread.and_then(|thread| of_threads.get(&(container, thread)));
            let label = of_thread.or_else(|| of_containers.get(container)).copied();
            let is_normal = part == Part::Attack && label.is_none() && !of_threads.is_empty();
            let part = if is_normal { Part::Normal } else { part };
            let kind = kind.or(label).filter(|_| part == Part::Attack);
            sets.add(part, trace.calls.iter().map(|&call| self.names[call as usize].as_str()), kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces(name: &str, content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn every_line_of_numbers_is_a_trace_with_its_label() {
        let (folder, path) = traces("attack.txt", "6 6 63\n168 265 3 3\n4\n");
        std::fs::write(
            folder.path().join("attack.labels"),
            "Meterpreter\tr1\t1\nAdduser\tr1\t2\nAdduser\tr2\t3\n",
        )
        .unwrap();
        let read = read(&path, None, &ProgressBar::hidden()).unwrap();
        assert_eq!(read.traces.iter().map(|trace| trace.calls.len()).collect::<Vec<_>>(), [3, 4, 1]);
        assert_eq!(read.lines_without_event, 0);
        assert_eq!(
            read.labels.iter().map(|label| label.kind.as_str()).collect::<Vec<_>>(),
            ["Meterpreter", "Adduser", "Adduser"]
        );
    }

    #[test]
    fn labels_of_traces_that_are_not_there_and_files_without_calls_are_refused() {
        let error = |name: &str, content: &str, labels: &str| {
            let (folder, path) = traces(name, content);
            std::fs::write(folder.path().join("attack.labels"), labels).unwrap();
            let file = Labelled::new(path, Part::Attack);
            let mut sets = TraceSets::new();
            add_file(&file, None, &ProgressBar::hidden(), &mut sets).unwrap_err().to_string()
        };
        let told = error("attack.txt", "6 6 63\n11 4\n", "A\tr1\t1\nA\tr1\t2\nA\tr1\t3\n");
        assert!(told.contains("has 2 traces") && told.contains("are of 3"), "{told}");
        let told = error("attack.txt", "", "");
        assert!(told.contains("holds no line"), "{told}");
    }

    #[test]
    fn a_file_of_one_trace_names_what_is_no_number() {
        let add = |content: &str| {
            let (_folder, path) = traces("UTD-0001.txt", content);
            let file = Labelled { form: Form::OneTrace, ..Labelled::new(path, Part::Train) };
            let mut sets = TraceSets::new();
            add_file(&file, None, &ProgressBar::hidden(), &mut sets).map_err(|error| error.to_string())
        };
        assert_eq!(add("6 6 63 6\n42\n"), Ok(0));
        assert!(add("6 6\n6 x\x1b 3\n").unwrap_err().contains("line 2: `x.` is no number"));
        assert!(add(" \n").unwrap_err().contains("is empty"));
    }

    #[test]
    fn a_recording_is_as_many_traces_as_it_has_threads() {
        let line = |direction: &str, name: &str, thread: u32| {
            format!("{thread} 1 sh 9 2022-03-31T18:13:16.977633722+0000 {direction} other {name} 0 0  \n")
        };
        let content =
            [line("<", "read", 1), line(">", "open", 1), line("<", "write", 2), line("<", "open", 1)]
                .concat();
        let (_folder, path) = traces("a.log", &content);
        let kind = RecordingKind::named("rastro").unwrap();
        let read = read(&path, Some(&kind), &ProgressBar::hidden()).unwrap();
        let names = |trace: &Trace| {
            trace.calls.iter().map(|&call| read.names[call as usize].clone()).collect::<Vec<_>>()
        };
        assert_eq!(read.traces.iter().map(names).collect::<Vec<_>>(), [vec!["read", "open"], vec!["write"]]);
    }
}

//! Real recordings as segments: parsers just good enough to measure with.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use rastro_model::{
    CallKind, Calls, Category, Container, Detail, Position, Segment, SegmentId, StreamId, Tally, Thread,
    segment::flag, syscall,
};

use crate::Failure;

/// Longest arguments that are kept for people, as the transformer's default.
const DETAIL_LIMIT: usize = 256;

/// Calls whose arguments are kept.
const DETAILED: [&str; 8] = ["execve", "open", "openat", "connect", "bind", "unlink", "rename", "mkdir"];

/// One call of a recording.
pub(crate) struct Call {
    kind: (String, Category),
    thread: Thread,
    number: u64,
    time_ns: i64,
    latency_ns: u64,
    result: Option<i64>,
    arguments: String,
    paired: bool,
}

/// Paths of the files of `folder` that end in `suffix`.
pub(crate) fn recordings(folder: &Path, suffix: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(suffix) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn lines(path: &Path) -> Result<Vec<String>, Failure> {
    Ok(BufReader::new(GzDecoder::new(File::open(path)?)).lines().collect::<Result<_, _>>()?)
}

/// Nanoseconds since 2010 or so of `yyyy-mm-ddThh:mm:ss.nnnnnnnnn`: months of 31 days are good enough to measure with.
fn time(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = (number(0, 4)? - 2010) * 372 + number(5, 7)? * 31 + number(8, 10)?;
    let seconds = ((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60 + number(17, 19)?;
    Some(seconds * 1_000_000_000 + number(20, 29)?)
}

/// `num time cpu container name image pid tid process uid dir category type latency result args`
pub(crate) fn read_rich(path: &Path) -> Result<Vec<Call>, Failure> {
    let mut entered = HashSet::new();
    let mut calls = Vec::new();
    for line in lines(path)? {
        let fields: Vec<&str> = line.splitn(16, ' ').collect();
        let [
            number,
            when,
            _,
            _,
            _,
            _,
            process,
            thread,
            name,
            _,
            direction,
            category,
            call,
            latency,
            result,
            arguments,
        ] = fields[..]
        else {
            continue;
        };
        if !syscall::is_system_call(call.as_bytes()) {
            continue;
        }
        if direction == ">" {
            entered.insert((thread.to_owned(), call.to_owned()));
            continue;
        }
        calls.push(Call {
            kind: (call.to_owned(), Category::from_name(category.as_bytes())),
            thread: Thread {
                id: thread.parse().ok(),
                process: process.parse().ok(),
                process_name: (name != "<NA>").then(|| name.to_owned()),
            },
            number: number.parse()?,
            time_ns: time(when).ok_or("no time")?,
            latency_ns: latency.parse()?,
            result: result.parse().ok(),
            arguments: arguments.to_owned(),
            paired: entered.remove(&(thread.to_owned(), call.to_owned())),
        });
    }
    Ok(calls)
}

/// `num time < category name latency result  args`, with the thread in the file beside.
pub(crate) fn read_webshop(path: &Path) -> Result<Vec<Call>, Failure> {
    let threads = PathBuf::from(path.to_string_lossy().replace(".log.gz", ".threads.tsv.gz"));
    let threads: HashMap<u64, i64> = lines(&threads)?
        .iter()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        })
        .collect();
    let mut calls = Vec::new();
    for (line_number, line) in lines(path)?.iter().enumerate() {
        let fields: Vec<&str> = line.splitn(8, ' ').collect();
        let [number, when, _, category, call, latency, result, arguments] = fields[..] else { continue };
        let number: u64 = number.parse()?;
        let thread = threads.get(&number).or_else(|| threads.get(&(line_number as u64)));
        calls.push(Call {
            kind: (call.to_owned(), Category::from_name(category.as_bytes())),
            thread: Thread { id: thread.copied(), process: None, process_name: None },
            number,
            time_ns: time(when).ok_or("no time")?,
            latency_ns: latency.parse()?,
            result: result.parse().ok(),
            arguments: arguments.to_owned(),
            paired: false,
        });
    }
    Ok(calls)
}

/// Columns of some calls that follow one another.
pub(crate) fn segment(recorded: &[Call]) -> Segment {
    let mut calls = Calls::default();
    let (mut kinds, mut threads) = (HashMap::new(), HashMap::new());
    let mut details = Vec::new();
    for (number, call) in recorded.iter().enumerate() {
        calls.kind.push(*kinds.entry(&call.kind).or_insert_with(|| {
            calls.kinds.push(CallKind { name: call.kind.0.clone(), category: call.kind.1 });
            calls.kinds.len() as u16 - 1
        }));
        calls.thread.push(*threads.entry(&call.thread).or_insert_with(|| {
            calls.threads.push(call.thread.clone());
            calls.threads.len() as u32 - 1
        }));
        calls.number.push(call.number);
        calls.time_ns.push(call.time_ns);
        calls.latency_ns.push(call.latency_ns);
        calls.result.push(call.result.unwrap_or(0));
        calls.argc.push(call.arguments.matches('=').count() as u16);
        calls.args_length.push(call.arguments.len() as u32 + 1);
        calls.flags.push(
            if call.result.is_some() { flag::RESULT } else { 0 }
                | if call.latency_ns > 0 { flag::LATENCY } else { 0 }
                | if call.paired { flag::PAIRED } else { 0 },
        );
        if DETAILED.contains(&call.kind.0.as_str()) {
            let arguments = call.arguments.chars().take(DETAIL_LIMIT).collect();
            details.push(Detail { call: number as u32, arguments });
        }
    }
    let count = recorded.len() as u64;
    let end = Position::new(0, count * 100);
    Segment {
        id: SegmentId { stream: StreamId(1), start: Position::START, part: 0 },
        dataset: "measured".into(),
        index: "measured-1970.01.01".into(),
        node: "node".into(),
        architecture: "x86_64".into(),
        container: Container::default(),
        end,
        gap: None,
        read_ns: 1_700_000_000_000_000_000,
        tally: Tally { lines_read: count, events_parsed: count, calls_stored: count, ..Tally::default() },
        calls,
        unfinished: Vec::new(),
        details,
    }
}

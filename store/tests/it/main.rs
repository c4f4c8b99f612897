//! What a store promises, seen from outside.

#![allow(clippy::unwrap_used, reason = "the helpers of the tests are tests, too")]

mod analysis;
mod between;
mod chunks;
mod elastic;
mod faults;
mod home;
mod kill;
mod outages;
mod own_server;
mod processes;
mod profiles;
mod proxy;
mod rejected;
mod retention;
mod secure;

use std::path::{Path, PathBuf};

use rastro_model::{
    CallKind, Calls, Category, Container, Detail, Position, Segment, SegmentId, StreamId, Tally, Thread,
    segment::flag,
};
use rastro_store::{ChunkOutput, DeadLetter, Rollup, embedded::EmbeddedStore};

const DAY: i64 = 1_648_684_800_000_000_000;
const INDEX: &str = "shop-2022.03.31";

fn store_path(directory: &Path) -> PathBuf {
    directory.join("rastro.db")
}

fn open(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::open(&store_path(directory)).unwrap()
}

/// Call number `line` of a stream; everything about it follows from the number.
fn push_call(calls: &mut Calls, line: u64) {
    calls.kind.push((line % 3) as u16);
    calls.thread.push((line % 2) as u32);
    calls.number.push(line + 1);
    calls.time_ns.push(DAY + line as i64 * 1_000);
    calls.latency_ns.push(line % 7);
    calls.result.push(-(line as i64 % 5));
    calls.argc.push(1);
    calls.args_length.push(7);
    calls.flags.push(flag::RESULT | flag::LATENCY);
}

fn container() -> Container {
    Container { id: "0123456789ab".into(), name: Some("web".into()), image: Some("nginx".into()) }
}

fn segment(stream: u64, from: u64, to: u64) -> Segment {
    segment_of("shop", stream, from, to)
}

/// Lines `from..to` of a stream of which every line is a call of ten bytes.
fn segment_of(dataset: &str, stream: u64, from: u64, to: u64) -> Segment {
    let kinds = [("read", Category::File), ("futex", Category::Ipc), ("<unknown>", Category::Unknown)];
    let mut calls = Calls {
        kinds: kinds.map(|(name, category)| CallKind { name: name.into(), category }).to_vec(),
        threads: [7, 8]
            .map(|id| Thread { id: Some(id), process: Some(7), process_name: Some("nginx".into()) })
            .to_vec(),
        ..Calls::default()
    };
    (from..to).for_each(|line| push_call(&mut calls, line));
    Segment {
        id: SegmentId { stream: StreamId(stream), start: Position::new(0, from * 10), part: 0 },
        dataset: dataset.into(),
        index: format!("{dataset}-2022.03.31"),
        node: "worker-0".into(),
        architecture: "x86_64".into(),
        container: container(),
        end: Position::new(0, to * 10),
        gap: None,
        read_ns: 7,
        tally: tally(to - from),
        calls,
        unfinished: Vec::new(),
        details: vec![Detail { call: 0, arguments: "fd=3(<f>/etc/passwd)".into() }],
    }
}

/// A line of stream 1 that was no event.
fn dead_letter(line: u64) -> DeadLetter {
    DeadLetter {
        stream: StreamId(1),
        line,
        position: Position::new(0, line * 10),
        reason: "it has no time".into(),
        text: b"no event \xff".to_vec(),
    }
}

fn tally(calls: u64) -> Tally {
    Tally { lines_read: calls, events_parsed: calls, calls_stored: calls, ..Tally::default() }
}

fn chunk(stream: u64, from: u64, to: u64) -> ChunkOutput {
    chunk_of("shop", stream, from, to)
}

fn chunk_of(dataset: &str, stream: u64, from: u64, to: u64) -> ChunkOutput {
    ChunkOutput {
        stream: StreamId(stream),
        path: format!("/var/log/rastro/{stream}.log"),
        dataset: dataset.into(),
        start: Position::new(0, from * 10),
        end: Position::new(0, to * 10),
        previous: Position::new(0, from * 10),
        first_line: from,
        lines: (to - from) as u32,
        gap: None,
        tally: tally(to - from),
        segments: vec![segment_of(dataset, stream, from, to)],
        rollups: vec![Rollup {
            index: format!("{dataset}-2022.03.31"),
            container: container(),
            name: "read".into(),
            category: Category::File,
            interval_ns: DAY,
            count: to - from,
            errors: 1,
            latency_sum_ns: 10,
            latency_max_ns: to,
            argc_sum: to - from,
        }],
        dead_letters: Vec::new(),
        rendered: Vec::new(),
    }
}

//! A segment for tests, with what containers may put into names.

use rastro_model::{
    CallKind, Calls, Category, Container, Detail, Position, Segment, SegmentId, StreamId, Tally, Thread,
    segment::flag,
};
use rastro_store::Label;

/// Three calls: as published, of a process with a hostile name, and of a name that no table has.
pub(super) fn hostile_segment() -> Segment {
    let kind = |name: &str, category| CallKind { name: name.to_owned(), category };
    Segment {
        id: SegmentId { stream: StreamId(1), start: Position::START, part: 0 },
        dataset: "shop".to_owned(),
        index: "shop-2022.03.31".to_owned(),
        node: "worker-0".to_owned(),
        architecture: "x86_64".to_owned(),
        container: Container {
            id: "0123456789ab".to_owned(),
            name: Some("=cmd|' /C calc'!A0".to_owned()),
            image: None,
        },
        end: Position::new(0, 300),
        gap: None,
        read_ns: 1,
        tally: Tally { lines_read: 3, events_parsed: 3, calls_stored: 3, ..Tally::default() },
        calls: Calls {
            kinds: vec![
                kind("select", Category::Wait),
                kind("futex", Category::Ipc),
                kind("<unknown>", Category::Unknown),
            ],
            threads: vec![
                Thread { id: None, process: None, process_name: None },
                Thread { id: Some(7), process: Some(6), process_name: Some("a\n\"b\",\u{1b}[2J".to_owned()) },
            ],
            kind: vec![0, 1, 2],
            thread: vec![0, 1, 1],
            number: vec![1611, 3334, 0],
            time_ns: vec![1_648_750_396_977_633_722, 1_648_750_397_231_143_686, 1_648_750_397_231_143_687],
            latency_ns: vec![0, 0, u64::MAX],
            result: vec![0, -110, i64::MIN],
            argc: vec![1, 1, 0],
            args_length: vec![7, 21, 0],
            flags: vec![
                flag::RESULT | flag::LATENCY,
                flag::RESULT,
                flag::RESULT | flag::LATENCY | flag::ENTER,
            ],
        },
        unfinished: Vec::new(),
        details: vec![Detail { call: 1, arguments: " res=-110(ETIMEDOUT) ".to_owned() }],
    }
}

/// A label of the second thread.
pub(super) fn label() -> Label {
    Label {
        container: "0123456789ab".to_owned(),
        thread: Some(7),
        start_ns: None,
        end_ns: None,
        label: "shell".to_owned(),
    }
}

//! Documents as they are written, beside those of Filebeat.

use proptest::prelude::*;
use rastro_model::{Gap, GapReason};
use serde_json::{Value, json};

use super::*;
use crate::Payload;

fn chunk(text: &[u8]) -> Chunk {
    Chunk {
        stream: StreamId(1),
        start: Position::new(0, 104_322),
        end: Position::new(0, 104_322 + text.len() as u64),
        previous: Position::new(0, 104_322),
        first_line: 7,
        lines: text.split_inclusive(|&byte| byte == b'\n').count() as u32,
        cut_lines: 0,
        gap: None,
        node: "worker-0".to_owned(),
        path: b"/var/log/sysdig/0123456789ab.log".to_vec(),
        header: None,
        read_ns: 1_648_750_400_123_456_789,
        payload: Payload::compress(text).unwrap(),
    }
}

const MEMBERS: &str = r#""@metadata":{"beat":"filebeat","type":"_doc","version":"7.13.4"},"ecs":{"version":"1.8.0"},"host":{"name":"worker-0"},"agent":{"type":"filebeat"}"#;

fn documents(chunk: &Chunk) -> Vec<Value> {
    let runs = runs_of(chunk, MEMBERS).unwrap();
    runs.iter().flat_map(Run::documents).map(|document| serde_json::from_slice(document).unwrap()).collect()
}

#[test]
fn t_1_3_the_document_of_the_sample_line_is_that_of_filebeat() {
    let line = "1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 ";
    let chunk = chunk(format!("{line}\n").as_bytes());
    let runs = runs_of(&chunk, MEMBERS).unwrap();
    let text = runs[0].documents().next().unwrap();
    let expected = format!(
        r#"{{"@timestamp":"2022-03-31T18:13:20.123Z",{MEMBERS},"log":{{"offset":104322,"file":{{"path":"/var/log/sysdig/0123456789ab.log"}}}},"message":"{line}","input":{{"type":"log"}},"rastro":{{"generation":0,"length":66}}}}"#
    );
    assert_eq!(String::from_utf8_lossy(text), expected);
    let run = &runs[0];
    assert_eq!((run.previous, run.end, run.next_line), (chunk.previous, chunk.end, 8));
}

#[test]
fn offsets_are_where_lines_begin_and_empty_lines_have_no_document() {
    let found = documents(&chunk(b"one\r\n\n\xff\xe2\x82 \x07\"\\\nlast\n"));
    let told: Vec<_> = found
        .iter()
        .map(|one| (one["log"]["offset"].as_u64().unwrap() - 104_322, one["message"].clone()))
        .collect();
    assert_eq!(
        told,
        [(0, json!("one")), (6, json!("\u{fffd}\u{fffd}\u{fffd} \u{7}\"\\")), (14, json!("last"))]
    );
}

#[test]
fn the_header_and_what_was_lost_travel_beside() {
    let gap = Gap { bytes: 5, lines: Some(2), reason: GapReason::Truncated };
    let chunk = Chunk {
        header: Some(b"#rastro {\"version\":1}\n".to_vec()),
        gap: Some(gap.clone()),
        ..chunk(b"one\ntwo\n")
    };
    let found = documents(&chunk);
    assert_eq!(found[0]["rastro"]["header"], "#rastro {\"version\":1}");
    assert_eq!(serde_json::from_value::<Gap>(found[0]["rastro"]["gap"].clone()).unwrap(), gap);
    assert_eq!(found[1]["rastro"].get("gap"), None);
}

#[test]
fn behind_lines_that_were_cut_offsets_are_counted_from_the_end() {
    // 100 bytes of the second line are not there.
    let text = b"first\nxxxxxxxxxx\nthird\nfourth\n";
    let whole = chunk(text);
    let cut = Chunk { end: Position::new(0, whole.end.offset + 100), cut_lines: 1, ..whole };
    let found = documents(&cut);
    let offsets: Vec<u64> =
        found.iter().map(|one| one["log"]["offset"].as_u64().unwrap() - 104_322).collect();
    assert_eq!(offsets, [0, 6, 117, 123]);
    assert_eq!(found[1]["rastro"]["length"], 111);
    // Of two nobody knows which is how long.
    let text = b"xxxxxxxxxx\nsecond\nxxxxxxxxxx\nlast\n";
    let whole = chunk(text);
    let found = documents(&Chunk { end: Position::new(0, whole.end.offset + 100), cut_lines: 2, ..whole });
    assert_eq!(found[0]["rastro"].get("length"), None);
    assert_eq!(found[3]["log"]["offset"], 104_322 + 129);
}

#[test]
fn a_last_line_without_line_break_covers_what_it_has() {
    let whole = chunk(b"one\ntwo\n");
    let chunk = Chunk { end: Position::new(0, whole.end.offset - 1), ..whole };
    assert_eq!(documents(&chunk)[1]["rastro"]["length"], 3);
    assert_eq!(runs_of(&chunk, MEMBERS).unwrap()[0].end, chunk.end);
}

#[test]
fn many_lines_are_several_runs_that_follow_one_another() {
    let text: Vec<u8> = (0..5000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
    let chunk = chunk(&text);
    let runs = runs_of(&chunk, MEMBERS).unwrap();
    assert!(runs.len() > 2);
    assert_eq!((runs[0].previous, runs.last().unwrap().end), (chunk.previous, chunk.end));
    assert_eq!(runs.last().unwrap().next_line, 5007);
    for pair in runs.windows(2) {
        assert_eq!(pair[0].end, pair[1].previous);
    }
    assert_eq!(runs.iter().map(|run| run.documents().len()).sum::<usize>(), 5000);
}

proptest! {
    #[test]
    fn every_string_is_read_back_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut out = Vec::new();
        put_string(&mut out, &bytes);
        let read: String = serde_json::from_slice(&out).unwrap();
        let mut expected = String::new();
        for part in bytes.utf8_chunks() {
            expected.push_str(part.valid());
            expected.extend(part.invalid().iter().map(|_| '\u{fffd}'));
        }
        prop_assert_eq!(read, expected);
    }
}

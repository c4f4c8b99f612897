//! Documents beside the segments: one a call, one a window.

use proptest::prelude::*;
use rastro_broker::{Chunk, Payload};
use rastro_format::Format;
use rastro_model::{Container, LogHeader};
use rastro_store::{ChunkOutput, Rendered, RenderedKind};
use rastro_transformer::{Documents, IndexNames, Transformer, TransformerConfig};
use serde_json::{Value, json};

use crate::fixture::{chunk, chunk_with_header, header};

const ROCHA: &[u8] = b"1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n\
    3334 2022-03-31T18:13:17.231143686+0000 < IPC futex 0 -110  res=-110(ETIMEDOUT) \n";

fn transformer(format: &str, documents: Documents) -> Transformer {
    let format = Format::named(format).unwrap_or_else(|| Format::parse(format).unwrap());
    Transformer::new(TransformerConfig { documents, ..TransformerConfig::new(format, "test-app") })
}

fn calls(numbers_as_strings: bool) -> Documents {
    Documents { calls: true, numbers_as_strings, windows: Vec::new() }
}

fn windows(sizes: &[u32]) -> Documents {
    Documents { windows: sizes.to_vec(), ..Documents::default() }
}

/// Every document, with its id.
fn read(rendered: &[Rendered]) -> Vec<(String, Value)> {
    let mut documents = Vec::new();
    for rendered in rendered {
        let mut begin = 0;
        for (number, &end) in rendered.ends.iter().enumerate() {
            let bytes = &rendered.bytes[begin..end as usize];
            assert!(!bytes.contains(&b'\n'), "{}", String::from_utf8_lossy(bytes));
            let document = serde_json::from_slice(bytes)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
            documents.push((format!("{}{number}", rendered.id_prefix), document));
            begin = end as usize;
        }
        assert_eq!(begin, rendered.bytes.len());
    }
    let ids: std::collections::HashSet<&String> = documents.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), documents.len());
    documents
}

fn of_kind(output: &ChunkOutput, kind: RenderedKind) -> Vec<Rendered> {
    output.rendered.iter().filter(|rendered| rendered.kind == kind).cloned().collect()
}

#[test]
fn t_1_4_the_published_line_gives_the_published_document() {
    let output = transformer("rocha", calls(true)).transform(&chunk(ROCHA));
    assert_eq!(output.segments[0].index, "test-app-2022.03.31");
    let documents = read(&output.rendered);
    assert_eq!(documents[0].0, "0000000000005eed-0-0-0-0");
    assert_eq!(
        documents[0].1,
        json!({
            "@timestamp": "2022-03-31T18:13:16.977633722Z",
            "timestamp": "2022-03-31T18:13:16.977633722+0000",
            "event_number": "1611",
            "event_direction": "0",
            "systemcall_type": "3",
            "systemcall": "23",
            "latency": "0",
            "return_value": "0",
            "argc": 1,
            "args_length": 7,
            "argv": {"0": "res="},
            "message": "1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 ",
            // What Rastro adds, as far as it is known here.
            "systemcall_name": "select",
            "systemcall_type_name": "wait",
            "container.id": "0123456789ab",
            "host.name": "worker-1",
            "host.architecture": "x86_64",
            "event.created": "2026-11-21T00:00:00.000000000Z",
        })
    );
    assert_eq!(documents[1].1["systemcall"], "202");
    assert_eq!(documents[1].1["systemcall_type"], "4");
    assert_eq!(documents[1].1["return_value"], "-110");
    assert_eq!(documents[1].1["argv"], json!({"0": "res=(ETIMEDOUT)"}));
}

#[test]
fn numbers_are_numbers_unless_strings_are_asked_for() {
    let output = transformer("rocha", calls(false)).transform(&chunk(ROCHA));
    let documents = read(&output.rendered);
    let document = &documents[1].1;
    for (name, value) in [
        ("event_number", 3334),
        ("event_direction", 0),
        ("systemcall_type", 4),
        ("systemcall", 202),
        ("latency", 0),
        ("return_value", -110),
        ("argc", 1),
        ("args_length", 21),
    ] {
        assert_eq!(document[name], json!(value), "{name}");
    }
}

#[test]
fn every_stored_call_has_a_document_and_nothing_else_has() {
    let text = b"1 2022-03-31T18:13:16.000000001+0000 > file read 0 <NA>  fd=3 \n\
        2 2022-03-31T18:13:16.000000002+0000 < file read 0 7  res=7 data=a\"b\\c\x1b[0m\xff \n\
        3 2022-03-31T18:13:16.000000003+0000 > wait select 0 <NA>  \n\
        no event\n\
        4 2022-03-31T18:13:16.000000004+0000 > process exit_group 0 <NA>  status=0 \n\
        5 2022-03-31T18:13:16.000000005+0000 < scheduler switch 0 <NA>  next=0 \n\
        6 2022-03-31T18:13:16.000000006+0000 < other <unknown> 0 <NA>  \n";
    let format =
        "*%evt.num %evt.time.iso8601 %evt.dir %evt.category %evt.type %evt.latency %evt.rawres  %evt.args";
    let output = transformer(format, calls(true)).transform(&chunk(text));
    let documents = read(&output.rendered);
    assert_eq!(output.segments[0].calls.len(), 3);
    assert_eq!(documents.len(), 3);

    let read = &documents[0].1;
    let line = text.split(|&byte| byte == b'\n').nth(1).unwrap();
    assert_eq!(read["message"], *String::from_utf8_lossy(line));
    assert_eq!(read["argv"], json!({"0": "res=", "1": "data=a\"b\\c\u{1b}[0m\u{fffd}"}));
    // Between enter and exit.
    assert_eq!(read["latency"], "1");

    let exit = &documents[1].1;
    assert_eq!((&exit["event_direction"], &exit["systemcall_name"]), (&json!("1"), &json!("exit_group")));
    assert_eq!(exit.get("return_value"), None);

    let unknown = &documents[2].1;
    assert_eq!(unknown.get("systemcall"), None);
    assert_eq!((&unknown["systemcall_name"], &unknown["argc"]), (&json!("<unknown>"), &json!(0)));
    assert_eq!(unknown["argv"], json!({}));
}

#[test]
fn a_document_says_where_its_call_was_made() {
    let container = Container {
        id: "0123456789ab".to_owned(),
        name: Some("k8s_front-end_front-end-6649c54d45-8kqzm_sock-shop_7a1f_0".to_owned()),
        image: Some("weaveworksdemos/front-end:0.3.12".to_owned()),
    };
    let format = "%thread.tid %proc.name %evt.type";
    let header = LogHeader { container, architecture: Some("aarch64".to_owned()), ..header(format) };
    let output = transformer("rocha", calls(false)).transform(&chunk_with_header(&header, b"77 node read\n"));
    let document = &read(&output.rendered)[0].1;
    for (name, value) in [
        ("systemcall", json!(63)),
        ("host.architecture", json!("aarch64")),
        ("container.image.name", json!("weaveworksdemos/front-end:0.3.12")),
        ("orchestrator.resource.name", json!("front-end-6649c54d45-8kqzm")),
        ("process.name", json!("node")),
        ("process.thread.id", json!(77)),
    ] {
        assert_eq!(document[name], value, "{name}");
    }
    assert_eq!(document.get("event_number"), None);
}

#[test]
fn a_window_document_encodes_the_calls_of_one_thread() {
    let text = "7 0 > read <NA> fd=3 \n7 100 < read 5 res=5 \n8 150 < close -9 res=-9(EBADF) x=1 \n\
        7 300 < read -11 res=-11(EAGAIN) \n8 400 < odd.name 0 \n8 500 < read 1 res=1 \n";
    let format = "*%thread.tid %evt.rawtime %evt.dir %evt.type %evt.rawres %evt.args";
    let output = transformer(format, windows(&[2])).transform(&chunk(text.as_bytes()));
    let documents = read(&output.rendered);
    let ids: Vec<&str> = documents.iter().map(|(id, _)| id.as_str()).collect();
    let prefix = "0000000000005eed-0-0-0-w2-";
    assert_eq!(ids, [format!("{prefix}0"), format!("{prefix}1"), format!("{prefix}2")]);

    let seven = &documents[0].1;
    assert_eq!(
        seven,
        &json!({
            "@timestamp": "1970-01-01T00:00:00.000000100Z",
            "event.start": "1970-01-01T00:00:00.000000100Z",
            "event.end": "1970-01-01T00:00:00.000000300Z",
            "rastro.window.size": 2,
            "rastro.window.calls": 2,
            "rastro.window.first_call": 0,
            "rastro.segment": "0000000000005eed-0-0-0",
            "systemcalls": [0, 0],
            "counts": {"read": 2},
            "distinct_calls": 1,
            "errors": 1,
            "latency_sum": 100,
            "latency_max": 100,
            "error_rate": 0.5,
            "latency_mean": 100.0_f64.floor() as u64,
            "argc_mean": 1,
            "args_length_mean": 12,
            "container.id": "0123456789ab",
            "host.name": "worker-1",
            "host.architecture": "x86_64",
            "event.created": "2026-11-21T00:00:00.000000000Z",
            "process.thread.id": 7,
        })
    );
    assert_eq!(documents[1].1["systemcalls"], json!([3, -1]));
    assert_eq!(documents[1].1["counts"], json!({"close": 1, "odd_name": 1}));
    // What is left over is a shorter window.
    assert_eq!(documents[2].1["rastro.window.calls"], 1);
    assert_eq!(documents[2].1["process.thread.id"], 8);
}

#[test]
fn an_hourly_index_is_named_by_its_hour() {
    let config = TransformerConfig {
        index_names: IndexNames::Hourly(12),
        ..TransformerConfig::new(Format::named("rocha").unwrap(), "test-app")
    };
    let output = Transformer::new(config).transform(&chunk(ROCHA));
    assert_eq!(output.segments[0].index, "test-app-2022.03.31.12");
}

/// Lines that are events, near events, or bytes.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        (
            "[0-9]{1,2}",
            "[<>]",
            "read|write|exit_group|switch|#7|<unknown>",
            "-?[0-9]{1,3}",
            "( ?[a-z]=[ -~]{0,9}){0,3}"
        )
            .prop_map(|(thread, direction, name, result, arguments)| {
                format!("{thread} {direction} {name} {result} {arguments}").into_bytes()
            }),
        ("[0-9]{1,2} < read 0 ", prop::collection::vec(any::<u8>(), 0..24)).prop_map(|(start, rest)| [
            start.as_bytes(),
            &rest
        ]
        .concat()),
        prop::collection::vec(any::<u8>(), 0..12),
    ];
    prop::collection::vec(line, 0..40).prop_map(|lines| {
        let mut text = Vec::new();
        for line in lines {
            text.extend(line.into_iter().filter(|&byte| byte != b'\n'));
            text.push(b'\n');
        }
        text
    })
}

proptest! {
    #[test]
    fn any_lines_give_as_many_documents_as_calls_and_each_call_is_in_one_window(text in lines(), as_strings: bool) {
        let format = "%thread.tid %evt.dir %evt.type %evt.rawres %evt.args";
        let documents = Documents { calls: true, numbers_as_strings: as_strings, windows: vec![3, 100] };
        let chunk = Chunk { payload: Payload::compress(&text).unwrap(), ..chunk(&text) };
        let output = transformer(format, documents).transform(&chunk);
        let calls: usize = output.segments.iter().map(|segment| segment.calls.len()).sum();
        let lines: Vec<_> =
            text.split(|&byte| byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let of_calls = read(&of_kind(&output, RenderedKind::Call));
        prop_assert_eq!(of_calls.len(), calls);
        for (_, document) in &of_calls {
            let message = document["message"].as_str().unwrap();
            prop_assert!(lines.iter().any(|line| line == message));
        }
        for size in [3, 100] {
            let of_windows = read(&of_kind(&output, RenderedKind::Window));
            let counted: u64 = of_windows
                .iter()
                .filter(|(_, window)| window["rastro.window.size"] == size)
                .map(|(_, window)| {
                    let counts = window["counts"].as_object().unwrap();
                    let counted: u64 = counts.values().map(|count| count.as_u64().unwrap()).sum();
                    assert_eq!(window["systemcalls"].as_array().unwrap().len() as u64, counted);
                    counted
                })
                .sum();
            prop_assert_eq!(counted as usize, calls);
        }
    }
}

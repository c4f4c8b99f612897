//! Real recordings: the numbers of events that their READMEs state, both sums closed, each dead letter justified.
//!
//! The recordings are not part of the repository; where they are absent, these tests say so and prove nothing.

use std::{
    fs::File,
    io::{Cursor, Read},
    path::PathBuf,
};

use flate2::read::GzDecoder;
use rastro_model::{Tally, segment::flag};
use rastro_store::ChunkOutput;
use rastro_transformer::Transformer;

use crate::fixture::{chain, check, settled, transformer};

/// The file `name` of the shared recordings, if they are there.
fn recording(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    let Ok(file) = File::open(&path) else {
        eprintln!("skipped: {} is absent", path.display());
        return None;
    };
    let mut text = Vec::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).read_to_end(&mut text).unwrap();
    } else {
        { file }.read_to_end(&mut text).unwrap();
    }
    Some(text)
}

/// Takes a recording through a transformer in chunks of `lines_per_chunk`.
fn outputs(transformer: &mut Transformer, text: &[u8], lines_per_chunk: usize) -> Vec<ChunkOutput> {
    let lines: Vec<Vec<u8>> = text.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let cuts: Vec<usize> =
        (1..lines.len().div_ceil(lines_per_chunk)).map(|chunk| chunk * lines_per_chunk).collect();
    let outputs: Vec<ChunkOutput> =
        chain(&lines, &cuts).iter().map(|chunk| transformer.transform(chunk)).collect();
    outputs.iter().for_each(check);
    outputs
}

fn tally(outputs: &[ChunkOutput]) -> Tally {
    outputs.iter().map(|output| output.tally).sum()
}

fn reasons(outputs: &[ChunkOutput]) -> Vec<&str> {
    outputs.iter().flat_map(|output| &output.dead_letters).map(|letter| letter.reason.as_str()).collect()
}

/// Captures with their events and exit events, as the README of the recordings has them.
const CAPTURES: &[(&str, u64, u64)] = &[
    ("libs_curl_google", 1_221, 597),
    ("libs_sample", 402, 87),
    ("falco_cat_write", 85, 42),
    ("falco_open-multiple-files", 86, 42),
    ("falco_connect_localhost", 8, 4),
    ("falco_psp_run_as_user_0", 3_796, 1_343),
    ("inspect_502Error", 9_478, 4_349),
    ("sysflow_mpm-preforked-full_capture", 32_585, 15_999),
    ("sysflow_mpm-preforked-cold_start_capture", 1_713, 827),
    ("sysflow_mpm-event-cold_start_capture", 2_666, 1_186),
    ("sysflow_alpine-alpine", 831, 382),
    ("sysflow_files-files", 204, 86),
    ("sysflow_objectstore-upload", 7_509, 3_416),
];

#[test]
fn every_event_of_every_capture_is_accounted_for() {
    for (form, format) in [("basic", "sysdig-basic"), ("rich", "sysdig-rich")] {
        for &(capture, events, exits) in CAPTURES {
            let name = format!("sysdig-real/{capture}.{form}.log.gz");
            let Some(text) = recording(&name) else { return };
            let mut settled_tally = None;
            for lines_per_chunk in [usize::MAX / 2, 1000, 37] {
                let outputs = outputs(&mut transformer(format), &text, lines_per_chunk);
                let tally = tally(&outputs);
                assert_eq!(tally.events_parsed, events, "{name}");
                // The JSON of one `container` event ends in a line break; what follows is a line of one blank.
                let blank_lines: &[&str] =
                    if capture.ends_with("full_capture") { &["blank line"] } else { &[] };
                assert_eq!(reasons(&outputs), blank_lines, "{name}");
                let in_sequence = outputs
                    .iter()
                    .flat_map(|output| &output.segments)
                    .map(|s| s.calls.flags.iter().filter(|&&flags| flags & flag::ENTER == 0).count() as u64);
                assert_eq!(in_sequence.sum::<u64>(), exits, "every exit is a call: {name}");
                assert_eq!(tally.calls_lost, 0);
                let settled = settled(&outputs);
                assert_eq!(
                    *settled_tally.get_or_insert(settled),
                    settled,
                    "{name} in chunks of {lines_per_chunk} lines"
                );
            }
        }
    }
}

#[test]
fn exits_find_their_enters_where_threads_are_known() {
    let Some(text) = recording("sysdig-real/sysflow_mpm-preforked-full_capture.rich.log.gz") else { return };
    let outputs = outputs(&mut transformer("sysdig-rich"), &text, usize::MAX / 2);
    let segments = || outputs.iter().flat_map(|output| &output.segments);
    let flags: Vec<u8> = segments().flat_map(|segment| segment.calls.flags.iter().copied()).collect();
    let unpaired: Vec<&str> = segments()
        .flat_map(|segment| (0..segment.calls.len()).map(move |call| (segment, call)))
        .filter(|(segment, call)| segment.calls.flags[*call] & (flag::PAIRED | flag::ENTER) == 0)
        .map(|(segment, call)| segment.calls.name(call))
        .collect();
    // Calls that were under way when the capture began, and the child's side of `clone`.
    assert!(unpaired.len() * 50 < flags.len(), "{} of {}: {unpaired:?}", unpaired.len(), flags.len());
    assert!(segments().any(|segment| segment.container.image.is_some()));
}

#[test]
fn a_file_of_an_agent_of_2022_is_read() {
    let Some(text) = recording("sysdig-real/libs_curl_google.as-2022.log.gz") else { return };
    let outputs = outputs(&mut transformer("rocha"), &text, 100);
    assert_eq!(tally(&outputs).calls_stored, 408);
    assert_eq!(reasons(&outputs), [""; 0]);
}

#[test]
fn files_of_single_containers_add_up_to_the_capture() {
    let mut sum = 0;
    for (id, lines) in [("59fd49aa4072", 3_002), ("c78a447010cd", 2_730), ("host", 3_746)] {
        let name = format!("sysdig-real/per-container/inspect_502Error/{id}.log.gz");
        let Some(text) = recording(&name) else { return };
        let outputs = outputs(&mut transformer("rocha"), &text, 500);
        assert_eq!(tally(&outputs).events_parsed, lines, "{name}");
        assert_eq!(reasons(&outputs), [""; 0]);
        sum += lines;
    }
    assert_eq!(sum, 9_478);
}

#[test]
fn the_webshop_is_all_calls() {
    let events = [
        8_702, 8_025, 9_979, 10_653, 12_247, 11_135, 8_579, 8_711, 9_221, 11_195, 13_356, 11_447, 11_499,
        10_790,
    ];
    let mut sum = 0;
    for (number, events) in (1..).zip(events) {
        let Some(text) = recording(&format!("webshop-strace/recordings/web-{number:02}.log.gz")) else {
            return;
        };
        let outputs = outputs(&mut transformer("rocha"), &text, 3000);
        let tally = tally(&outputs);
        assert_eq!((tally.calls_stored, tally.events_parsed), (events, events), "web-{number:02}");
        assert_eq!(reasons(&outputs), [""; 0]);
        let calls = &outputs[0].segments[0].calls;
        assert!(calls.flags.iter().all(|flags| flags & flag::PAIRED == 0));
        sum += events;
    }
    assert_eq!(sum, 145_539);
}

#[test]
fn the_forms_of_lid_ds_are_read() {
    for (name, format, events, blank_lines) in [
        ("2019-format/brave_preforked_0001.txt.gz", "lidds-2019", 32_585, 1),
        ("2019-format/calm_alpine_0002.txt.gz", "lidds-2019", 831, 0),
        ("CVE-2012-2122-excerpt.txt", "lidds-2019", 49, 0),
    ] {
        let Some(text) = recording(&format!("lidds-samples/{name}")) else { return };
        let outputs = outputs(&mut transformer(format), &text, 5000);
        assert_eq!(tally(&outputs).events_parsed, events, "{name}");
        assert_eq!(reasons(&outputs), vec!["blank line"; blank_lines], "{name}");
    }
    for (name, events) in [("brave_preforked_0001", 32_005), ("calm_alpine_0002", 770)] {
        let Some(archive) = recording(&format!("lidds-samples/2021-format/{name}.zip")) else { return };
        let mut text = Vec::new();
        let mut archive = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        archive.by_name(&format!("{name}.sc")).unwrap().read_to_end(&mut text).unwrap();
        let outputs = outputs(&mut transformer("lidds-2021"), &text, 5000);
        assert_eq!(tally(&outputs).events_parsed, events, "{name}");
        assert_eq!(reasons(&outputs), [""; 0], "{name}");
    }
    // Lines of unit tests, many of them altered or invented.
    for (name, format, lines) in [("lines-2019.txt", "lidds-2019", 42), ("lines-2021.txt", "lidds-2021", 76)]
    {
        let Some(text) = recording(&format!("lidds-samples/{name}")) else { return };
        let outputs = outputs(&mut transformer(format), &text, 10);
        assert_eq!(tally(&outputs).lines_read, lines, "{name}");
        assert_eq!(reasons(&outputs), [""; 0], "{name}");
    }
}

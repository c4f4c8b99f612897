//! Every real recording passes: as many lines come out as its README states.

use std::{fs::File, io::Read, path::Path};

use rastro_agent::{RecordingKind, RecordingOptions, recording::detect};
use rastro_format::{DayBase, Format};
use rastro_model::{Category, Direction};

use crate::support::{contents, count_lines, read_log, replay_into, shared_data};

/// Capture and lines, from the README of the recordings.
const SYSDIG: &[(&str, u64)] = &[
    ("libs_curl_google", 1_221),
    ("libs_sample", 402),
    ("falco_cat_write", 85),
    ("falco_open-multiple-files", 86),
    ("falco_connect_localhost", 8),
    ("falco_psp_run_as_user_0", 3_796),
    ("inspect_502Error", 9_478),
    ("sysflow_mpm-preforked-full_capture", 32_586),
    ("sysflow_mpm-preforked-cold_start_capture", 1_713),
    ("sysflow_mpm-event-cold_start_capture", 2_666),
    ("sysflow_alpine-alpine", 831),
    ("sysflow_files-files", 204),
    ("sysflow_objectstore-upload", 7_509),
];

#[test]
fn every_line_that_sysdig_printed_reaches_one_log() {
    let Some(data) = shared_data() else { return };
    for (capture, lines) in SYSDIG {
        for form in ["basic", "rich"] {
            let path = data.join(format!("sysdig-real/{capture}.{form}.log.gz"));
            let expected = Format::named(&format!("sysdig-{form}")).unwrap();
            assert_eq!(
                detect(&path).unwrap(),
                RecordingKind::Text { format: expected.text().to_owned() },
                "{capture}.{form}"
            );
            let logs = tempfile::tempdir().unwrap();
            let report = replay_into(logs.path(), &[path], &RecordingOptions::default());
            assert_eq!(report.lines, *lines, "{capture}.{form}");
            assert_eq!(count_lines(&contents(logs.path())), *lines, "{capture}.{form}");
        }
    }
}

#[test]
fn the_demo_recording_is_clean_line_by_line() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
    for (name, lines) in [("normal", 57_274), ("attack", 17_100)] {
        let logs = tempfile::tempdir().unwrap();
        let path = demo.join(format!("webshop-{name}.log.gz"));
        let report = replay_into(logs.path(), &[path], &RecordingOptions::default());
        assert_eq!(report.lines, lines, "{name}");
        assert!(report.first_ns < report.last_ns);
        let (header, text) = read_log(&logs.path().join("5ab0fde30001.log"));
        assert_eq!(header.container.image.as_deref(), Some("rastro/demo-webshop:1"));
        let format = Format::parse(&header.format).unwrap();
        let mut named = 0;
        for line in text.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n') {
            let event = format.parse_line(line, DayBase::default());
            let event = event.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(line)));
            assert!(event.time_ns.is_some() && event.thread.is_some() && event.process.is_some());
            assert_ne!(event.category, Category::Unknown, "{}", String::from_utf8_lossy(line));
            named += u64::from(event.process_name.is_some());
            let mut again = Vec::new();
            format.write_line(&event, &mut again);
            assert_eq!(again, [line, b"\n"].concat());
        }
        assert_eq!(named, lines);
    }
}

#[test]
fn every_line_of_a_real_strace_is_an_event() {
    let Some(data) = shared_data() else { return };
    let path = data.join("webshop-strace/strace/web-11.strace.gz");
    assert_eq!(detect(&path).unwrap(), RecordingKind::Strace);
    let mut raw = String::new();
    flate2::read::MultiGzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut raw).unwrap();
    let logs = tempfile::tempdir().unwrap();
    let report = replay_into(logs.path(), &[path], &RecordingOptions::default());
    let contents = contents(logs.path());
    let format = Format::named("rastro").unwrap();
    let mut enters = 0;
    for line in
        contents.values().flat_map(|text| text.split(|&byte| byte == b'\n')).filter(|line| !line.is_empty())
    {
        let event = format.parse_line(line, DayBase::default());
        let event = event.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(line)));
        let is_call = rastro_model::syscall::is_system_call(event.name);
        enters +=
            u64::from(is_call && event.direction == Direction::Enter && !event.name.starts_with(b"exit"));
    }
    // One event for each line, but one for the two halves of an unfinished call that resumed.
    let resumed = raw.lines().filter(|line| line.contains(" resumed>")).count() as u64;
    assert_eq!(report.lines, raw.lines().count() as u64 - resumed);
    assert_eq!(count_lines(&contents), report.lines);
    let unfinished = raw.lines().filter(|line| line.ends_with("<unfinished ...>")).count() as u64;
    assert_eq!(enters, unfinished - resumed);
}

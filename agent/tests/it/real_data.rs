//! Every real recording passes: as many lines come out as its README states.

use std::{collections::BTreeSet, fs::File, io::Read, path::Path};

use rastro_agent::{RecordingKind, RecordingOptions, recording::detect};
use rastro_format::{DayBase, Format};
use rastro_model::{Category, Direction, syscall::Architecture};

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

#[test]
fn rochas_form_and_one_file_a_container_pass_with_their_ids() {
    let Some(data) = shared_data() else { return };
    let rocha = Format::named("rocha").unwrap();
    for (name, id, lines) in [
        ("libs_curl_google.as-2022.log.gz", None, 408),
        ("per-container/inspect_502Error/59fd49aa4072.log.gz", Some("59fd49aa4072"), 3_002),
        ("per-container/inspect_502Error/c78a447010cd.log.gz", Some("c78a447010cd"), 2_730),
        ("per-container/inspect_502Error/host.log.gz", Some("host"), 3_746),
    ] {
        let path = data.join("sysdig-real").join(name);
        assert_eq!(detect(&path).unwrap(), RecordingKind::Text { format: rocha.text().to_owned() }, "{name}");
        let logs = tempfile::tempdir().unwrap();
        let report = replay_into(logs.path(), &[path], &RecordingOptions::default());
        assert_eq!(report.lines, lines, "{name}");
        let contents = contents(logs.path());
        assert_eq!(count_lines(&contents), lines);
        assert_eq!(contents.len(), 1);
        assert!(id.is_none_or(|id| contents.contains_key(id)), "{name}: {:?}", contents.keys());
    }
}

#[test]
fn lines_that_name_their_container_go_to_its_log() {
    let Some(data) = shared_data() else { return };
    let logs = tempfile::tempdir().unwrap();
    let path = data.join("sysdig-real/inspect_502Error.rich.log.gz");
    let report = replay_into(logs.path(), &[path], &RecordingOptions::default());
    let contents = contents(logs.path());
    for (id, lines) in [("59fd49aa4072", 3_002), ("c78a447010cd", 2_730), ("host", 3_746)] {
        let text = &contents[id];
        assert_eq!(text.split_inclusive(|&byte| byte == b'\n').count(), lines, "{id}");
        let (header, _) = read_log(&logs.path().join(format!("{id}.log")));
        assert_eq!(header.container.image.is_some(), id != "host");
        assert!(report.containers.contains(&header.container));
    }
    assert_eq!(report.containers.len(), 3);
}

#[test]
fn traces_are_threads_with_labels() {
    let Some(data) = shared_data() else { return };
    for (name, calls, threads) in [("attack", 317_388_u64, 746), ("training", 308_077, 833)] {
        let path = data.join(format!("adfa-ld/{name}.txt.gz"));
        assert_eq!(detect(&path).unwrap(), RecordingKind::Traces);
        let logs = tempfile::tempdir().unwrap();
        let options = RecordingOptions { table: Some(Architecture::I386), ..RecordingOptions::default() };
        let report = replay_into(logs.path(), &[path], &options);
        assert_eq!(report.lines, calls);
        let labels = if name == "attack" { threads } else { 0 };
        assert_eq!(report.labels.len(), labels);
        if let Some(last) = report.labels.last() {
            assert_eq!((last.thread, last.kind.as_str()), (Some(746), "Web_Shell"));
            assert_eq!(last.container, report.containers[0].id);
        }
        let contents = contents(logs.path());
        let format = Format::named("rastro").unwrap();
        let text = &contents[&report.containers[0].id];
        let first = format.parse_line(text.split(|&byte| byte == b'\n').next().unwrap(), DayBase::default());
        let first = first.unwrap();
        assert_eq!((first.thread, first.time_ns, first.direction), (Some(1), Some(0), Direction::Exit));
        assert_eq!(first.name, if name == "attack" { &b"clock_gettime"[..] } else { first.name });
        let all: BTreeSet<i64> = text
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| format.parse_line(line, DayBase::default()).unwrap().thread.unwrap())
            .collect();
        assert_eq!(all.len(), threads);
        let (header, _) = read_log(&logs.path().join(format!("{}.log", report.containers[0].id)));
        assert_eq!(header.architecture.as_deref(), Some("i386"));
    }
}

#[test]
fn lid_ds_forms_pass() {
    let Some(data) = shared_data() else { return };
    let samples = data.join("lidds-samples");
    for (name, lines, image) in [
        ("2019-format/brave_preforked_0001.txt.gz", 32_586, None),
        ("2019-format/calm_alpine_0002.txt.gz", 831, None),
        ("2021-format/brave_preforked_0001.zip", 32_005, Some("httpd_preforked")),
        ("2021-format/calm_alpine_0002.zip", 770, Some("alpine")),
        ("CVE-2012-2122-excerpt.txt", 49, None),
        (
            "victim_overflow-lttng/training/aggressive_galois_5453.lttng.txt.gz",
            2_680,
            Some("victim_overflow"),
        ),
        ("victim_overflow-lttng/validation/howling_mayer_9706.lttng.txt.gz", 2_196, Some("victim_overflow")),
    ] {
        let logs = tempfile::tempdir().unwrap();
        let options = RecordingOptions { date: Some("2019-04-11".to_owned()), ..RecordingOptions::default() };
        let report = replay_into(logs.path(), &[samples.join(name)], &options);
        assert_eq!(report.lines, lines, "{name}");
        assert_eq!(count_lines(&contents(logs.path())), lines, "{name}");
        assert!(report.labels.is_empty(), "{name}");
        assert_eq!(report.containers[0].image.as_deref(), image, "{name}");
        assert!(report.first_ns < report.last_ns, "{name}");
        let id = &report.containers[0].id;
        let (header, text) = read_log(&logs.path().join(format!("{id}.log")));
        let is_2019 = header.format == Format::named("lidds-2019").unwrap().text();
        assert_eq!(header.date.as_deref(), is_2019.then_some("2019-04-11"), "{name}");
        let format = Format::parse(&header.format).unwrap();
        let events = text
            .split(|&byte| byte == b'\n')
            .filter(|line| format.parse_line(line, DayBase::default()).is_ok());
        // The one line that is no event is the blank one behind a container's JSON.
        let blank = u64::from(name == "2019-format/brave_preforked_0001.txt.gz");
        assert_eq!(events.count() as u64, lines - blank, "{name}");
    }
}

#[test]
fn single_lines_of_lid_ds_pass_in_the_format_that_is_declared() {
    let Some(data) = shared_data() else { return };
    for (name, format, lines) in [("lines-2019.txt", "lidds-2019", 42), ("lines-2021.txt", "lidds-2021", 76)]
    {
        let logs = tempfile::tempdir().unwrap();
        let options =
            RecordingOptions { kind: Some(RecordingKind::named(format).unwrap()), ..Default::default() };
        let report = replay_into(logs.path(), &[data.join("lidds-samples").join(name)], &options);
        assert_eq!(report.lines, lines, "{name}");
        assert_eq!(count_lines(&contents(logs.path())), lines, "{name}");
    }
}

#[test]
fn the_webshop_gets_its_threads_and_labels_from_the_file_beside_it() {
    let Some(data) = shared_data() else { return };
    let recordings = data.join("webshop-strace/recordings");
    for (name, lines, threads, attack_events) in
        [("web-01", 8_702, 149, 0), ("web-11", 13_356, 187, 2_570), ("web-14", 10_790, 167, 2_482)]
    {
        let path = recordings.join(format!("{name}.log.gz"));
        assert!(matches!(detect(&path).unwrap(), RecordingKind::TextWithThreads { .. }));
        let logs = tempfile::tempdir().unwrap();
        let report = replay_into(logs.path(), &[path], &RecordingOptions::default());
        assert_eq!(report.lines, lines);
        let attacking: BTreeSet<i64> = report.labels.iter().map(|label| label.thread.unwrap()).collect();
        let format = Format::named("rastro").unwrap();
        let contents = contents(logs.path());
        let seen: Vec<i64> = contents[&report.containers[0].id]
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| format.parse_line(line, DayBase::default()).unwrap().thread.unwrap())
            .collect();
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), threads, "{name}");
        assert_eq!(seen.iter().filter(|thread| attacking.contains(thread)).count(), attack_events, "{name}");
    }
}

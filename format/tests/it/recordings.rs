//! Every real recording passes through the parser with the number of events that its README states.

use std::path::Path;

use rastro_format::{DayBase, Format, LineErrorKind};
use rastro_model::{Category, Event, syscall};

use crate::shared_data::{folder, lines, read, read_zipped};

/// Captures and their events, from the README of the recordings.
const CAPTURES: [(&str, usize); 13] = [
    ("libs_curl_google", 1_221),
    ("libs_sample", 402),
    ("falco_cat_write", 85),
    ("falco_open-multiple-files", 86),
    ("falco_connect_localhost", 8),
    ("falco_psp_run_as_user_0", 3_796),
    ("inspect_502Error", 9_478),
    ("sysflow_mpm-preforked-full_capture", 32_585),
    ("sysflow_mpm-preforked-cold_start_capture", 1_713),
    ("sysflow_mpm-event-cold_start_capture", 2_666),
    ("sysflow_alpine-alpine", 831),
    ("sysflow_files-files", 204),
    ("sysflow_objectstore-upload", 7_509),
];

/// The only capture with a line that is no event: JSON that ends in a line break leaves a line of one blank behind.
const WITH_BLANK_LINE: &str = "preforked";

fn events<'bytes>(preset: &str, bytes: &'bytes [u8], file: &Path, blank_lines: usize) -> Vec<Event<'bytes>> {
    let format = Format::named(preset).unwrap();
    let lines = lines(bytes);
    assert_eq!(Format::detect(&lines[..lines.len().min(50)]), Some(preset), "{}", file.display());
    let mut blanks = 0;
    let events: Vec<_> = lines
        .iter()
        .filter_map(|line| match format.parse_line(line, DayBase::default()) {
            Ok(event) => Some(event),
            Err(error) if error.kind() == LineErrorKind::Blank => {
                assert_eq!(error.reason(line), "blank line");
                blanks += 1;
                None
            }
            Err(error) => panic!("{}: {}\n{}", file.display(), error.reason(line), line.escape_ascii()),
        })
        .collect();
    assert_eq!(blanks, blank_lines, "{}", file.display());
    for event in &events {
        assert_ne!(event.name, b"", "{}", file.display());
        assert!(event.time_ns.is_some(), "{}", file.display());
    }
    events
}

/// What a basic line says, found by nothing but splitting at blanks.
fn assert_fields_are_the_words_of(line: &[u8], event: &Event<'_>) {
    let words: Vec<&str> = std::str::from_utf8(line).unwrap().splitn(8, ' ').collect();
    let number = |word: &str| word.parse::<i64>().ok();
    assert_eq!(event.number, words[0].parse().ok());
    assert_eq!(event.direction.symbol().to_string(), words[2]);
    assert!(event.category.name().eq_ignore_ascii_case(words[3]));
    assert_eq!(event.name, words[4].as_bytes());
    assert_eq!(event.latency_ns, words[5].parse().ok());
    assert_eq!(event.result, number(words[6]));
    assert_eq!(event.arguments, words[7].trim_start_matches(' ').as_bytes());
}

#[test]
fn sysdigs_recordings_have_the_events_that_their_readme_states_in_both_forms() {
    let Some(folder) = folder("sysdig-real") else { return };
    let mut total = 0;
    for (capture, expected) in CAPTURES {
        let blank_lines = usize::from(capture == "sysflow_mpm-preforked-full_capture");
        let basic_path = folder.join(format!("{capture}.basic.log.gz"));
        let rich_path = folder.join(format!("{capture}.rich.log.gz"));
        let (basic_bytes, rich_bytes) = (read(&basic_path), read(&rich_path));
        let basic = events("sysdig-basic", &basic_bytes, &basic_path, blank_lines);
        let rich = events("sysdig-rich", &rich_bytes, &rich_path, blank_lines);
        assert_eq!(basic.len(), expected, "{capture}");
        assert_eq!(rich.len(), expected, "{capture}");
        total += expected;
        let basic_lines = lines(&basic_bytes).into_iter().filter(|line| *line != b" ");
        for ((line, basic), rich) in basic_lines.zip(&basic).zip(&rich) {
            assert_fields_are_the_words_of(line, basic);
            // The same events were printed twice: where both forms speak, they say the same.
            let only_basic_parts = Event {
                cpu: None,
                container_id: None,
                container_name: None,
                container_image: None,
                process: None,
                thread: None,
                process_name: None,
                user: None,
                ..*rich
            };
            assert_eq!(only_basic_parts, *basic);
            assert!(rich.thread.is_some() && rich.cpu.is_some(), "{capture}");
        }
    }
    assert_eq!(total, 60_584);
}

#[test]
fn names_of_processes_come_out_whole() {
    let Some(folder) = folder("sysdig-real") else { return };
    let path = folder.join("sysflow_mpm-preforked-full_capture.rich.log.gz");
    let bytes = read(&path);
    let events = events("sysdig-rich", &bytes, &path, 1);
    let count =
        |name: &str| events.iter().filter(|event| event.process_name == Some(name.as_bytes())).count();
    for name in ["runc:[0:PARENT]", "runc:[1:CHILD]", "container:aa4cdedd3574", "httpd", "httpd-foregroun"] {
        assert!(count(name) > 0, "{name}");
    }
    assert_eq!(events.iter().filter(|event| event.process_name.is_none()).count(), 0);
    assert!(events.iter().all(|event| event.container_id == Some(b"aa4cdedd3574")));
    let format = Format::named("sysdig-rich").unwrap();
    for line in lines(&bytes).iter().filter(|line| line.len() > 1) {
        assert_eq!(format.container_of(line), Some(b"aa4cdedd3574".as_slice()));
    }
}

#[test]
fn files_as_an_agent_of_2022_wrote_them_are_read_and_written_byte_for_byte() {
    let Some(folder) = folder("sysdig-real") else { return };
    let per_container = folder.join("per-container/inspect_502Error");
    let files = [
        (folder.join("libs_curl_google.as-2022.log.gz"), 408),
        (per_container.join("59fd49aa4072.log.gz"), 3_002),
        (per_container.join("c78a447010cd.log.gz"), 2_730),
        (per_container.join("host.log.gz"), 3_746),
    ];
    let format = Format::named("rocha").unwrap();
    for (path, expected) in files {
        let bytes = read(&path);
        let events = events("rocha", &bytes, &path, 0);
        assert_eq!(events.len(), expected, "{}", path.display());
        for (line, event) in lines(&bytes).into_iter().zip(&events) {
            let mut written = Vec::new();
            format.write_line(event, &mut written);
            // sysdig prints `ipc` and `IPC` for one category.
            let printed = String::from_utf8_lossy(line).replacen(" ipc ", " IPC ", 1) + "\n";
            assert_eq!(String::from_utf8_lossy(&written), printed);
        }
    }
}

#[test]
fn recordings_of_lid_ds_have_the_lines_that_their_readme_states() {
    let Some(folder) = folder("lidds-samples") else { return };
    for (file, preset, expected) in [
        ("2019-format/brave_preforked_0001.txt.gz", "lidds-2019", 32_585),
        ("2019-format/calm_alpine_0002.txt.gz", "lidds-2019", 831),
        ("CVE-2012-2122-excerpt.txt", "lidds-2019", 49),
        ("lines-2019.txt", "lidds-2019", 42),
        ("lines-2021.txt", "lidds-2021", 76),
    ] {
        let path = folder.join(file);
        let bytes = read(&path);
        let blank_lines = usize::from(file.contains(WITH_BLANK_LINE));
        let events = events(preset, &bytes, &path, blank_lines);
        assert_eq!(events.len(), expected, "{file}");
        assert!(events.iter().all(|event| event.thread.is_some() && event.process_name.is_some()), "{file}");
    }
    for (file, expected) in
        [("2021-format/brave_preforked_0001.zip", 32_005), ("2021-format/calm_alpine_0002.zip", 770)]
    {
        let path = folder.join(file);
        let bytes = read_zipped(&path, ".sc");
        assert_eq!(events("lidds-2021", &bytes, &path, 0).len(), expected, "{file}");
    }
}

#[test]
fn one_capture_says_the_same_in_every_form() {
    let (Some(sysdig), Some(lidds)) = (folder("sysdig-real"), folder("lidds-samples")) else { return };
    for (capture, recording, blank_lines) in [
        ("sysflow_mpm-preforked-full_capture", "brave_preforked_0001", 1),
        ("sysflow_alpine-alpine", "calm_alpine_0002", 0),
    ] {
        let rich_path = sysdig.join(format!("{capture}.rich.log.gz"));
        let lidds_path = lidds.join(format!("2019-format/{recording}.txt.gz"));
        let (rich_bytes, lidds_bytes) = (read(&rich_path), read(&lidds_path));
        let rich = events("sysdig-rich", &rich_bytes, &rich_path, blank_lines);
        let lidds = events("lidds-2019", &lidds_bytes, &lidds_path, blank_lines);
        assert_eq!(rich.len(), lidds.len());
        let midnight = rich[0].time_ns.unwrap().div_euclid(86_400_000_000_000) * 86_400_000_000_000;
        for (rich, lidds) in rich.iter().zip(&lidds) {
            let as_lidds = Event {
                time_ns: rich.time_ns.map(|time_ns| time_ns - midnight),
                category: Category::Unknown,
                latency_ns: None,
                result: None,
                process: None,
                container_id: None,
                container_name: None,
                container_image: None,
                ..*rich
            };
            assert_eq!(as_lidds, *lidds);
        }
    }
}

#[test]
fn categories_of_calls_are_those_that_sysdig_prints() {
    let Some(folder) = folder("sysdig-real") else { return };
    // Where a call has a descriptor, its category is the descriptor's; what sysdig has no category for, we name one.
    let by_descriptor = [Category::Net, Category::Ipc, Category::Unknown];
    for (capture, _) in CAPTURES {
        let bytes = read(&folder.join(format!("{capture}.basic.log.gz")));
        let format = Format::named("sysdig-basic").unwrap();
        for event in lines(&bytes).iter().filter_map(|line| format.parse_line(line, DayBase::default()).ok())
        {
            let known = syscall::category_of(event.name);
            let name = String::from_utf8_lossy(event.name).into_owned();
            if syscall::is_system_call(event.name) {
                assert_ne!(known, Category::Unknown, "{name}");
                let is_as_printed = known == event.category || by_descriptor.contains(&event.category);
                assert!(is_as_printed, "{name}: {known:?}, printed {:?}", event.category);
                if event.name != b"<unknown>" {
                    let number = syscall::number(syscall::Architecture::X86_64, &name);
                    assert!(number.is_some(), "{name} has no number");
                }
            } else {
                let others = ["switch", "procexit", "signaldeliver", "container"];
                assert!(others.contains(&name.as_str()), "{name}");
            }
        }
    }
}

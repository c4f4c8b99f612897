//! What a container or a recording may write, and what it must not reach by it.

use std::{fs, sync::atomic::AtomicBool};

use proptest::prelude::*;
use rastro_agent::{
    AgentError, LogWriter, LogWriterConfig, RecordingKind, RecordingOptions, ReplayPlan, Speed,
    recording::StraceConverter, recording::detect, replay,
};
use rastro_format::{DayBase, Format};

use crate::support::{contents, files_of, header, read_log, replay_into};

#[test]
fn a_line_that_looks_like_a_header_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let forged = String::from_utf8(header("ffffffffffff").to_line().unwrap()).unwrap();
    let real = "1 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n";
    let text = [real, &forged, real, &forged, &forged].concat();
    let path = folder.path().join("0123456789ab.log");
    fs::write(&path, &text).unwrap();
    let logs = folder.path().join("logs");
    let options =
        RecordingOptions { kind: Some(RecordingKind::named("rocha").unwrap()), ..Default::default() };
    let plan = ReplayPlan::new(&[path], options, Speed::Max).unwrap();
    // Files of one line: every line of the recording comes first in a file once.
    let config = LogWriterConfig { max_file_bytes: 1, ..LogWriterConfig::default() };
    let mut writer = LogWriter::open(&logs, config).unwrap();
    let report = replay(&plan, &mut writer, &mut |_| (), &AtomicBool::new(false)).unwrap();
    assert_eq!(report.lines, 5);
    let files = files_of(&logs, "0123456789ab");
    assert_eq!(files.len(), 5);
    for file in files {
        assert_eq!(read_log(&file).0.container.id, "0123456789ab");
    }
    assert_eq!(
        contents(&logs).into_iter().collect::<Vec<_>>(),
        [("0123456789ab".to_owned(), text.into_bytes())]
    );
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.log");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let rocha = RecordingOptions { kind: Some(RecordingKind::named("rocha").unwrap()), ..Default::default() };
    for path in [pipe.clone(), "/dev/zero".into()] {
        for options in [RecordingOptions::default(), rocha.clone()] {
            let error =
                ReplayPlan::new(std::slice::from_ref(&path), options, Speed::Max).unwrap_err().to_string();
            assert!(error.contains("write it to a file"), "{error}");
        }
    }
    let error = detect(folder.path()).unwrap_err().to_string();
    assert!(error.contains("name the recordings in it"), "{error}");
}

#[test]
fn text_with_a_byte_order_mark_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.log");
    let line = "1 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n";
    let wide: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (text, encoding) in [
        ([b"\xef\xbb\xbf", line.as_bytes()].concat(), "UTF-8"),
        ([b"\xff\xfe", wide.as_slice()].concat(), "UTF-16"),
    ] {
        fs::write(&path, text).unwrap();
        let error = detect(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("byte order mark of {encoding}")) && error.contains("iconv"),
            "{error}"
        );
    }
}

#[test]
fn a_header_cannot_lead_a_log_out_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    for id in ["../../escape", "/etc/passwd", "", "a/b", ".agent", "x\ny"] {
        let path = folder.path().join("recording.log");
        fs::write(&path, header(id).to_line().unwrap()).unwrap();
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"1 1 sh 1 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n");
        fs::write(&path, text).unwrap();
        let logs = folder.path().join("logs");
        let report = replay_into(&logs, &[path], &RecordingOptions::default());
        let safe = &report.containers[0].id;
        assert!(
            safe.len() == 12 && safe.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id:?} became {safe:?}"
        );
        assert!(logs.join(format!("{safe}.log")).is_file());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_header_with_an_impossible_dataset_is_refused_and_can_be_overridden() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.log");
    let own = rastro_model::LogHeader { dataset: Some("../Shop".to_owned()), ..header("0123456789ab") };
    fs::write(&path, own.to_line().unwrap()).unwrap();
    let plan = ReplayPlan::new(std::slice::from_ref(&path), RecordingOptions::default(), Speed::Max).unwrap();
    let mut writer = LogWriter::open(&folder.path().join("logs"), LogWriterConfig::default()).unwrap();
    let error = replay(&plan, &mut writer, &mut |_| (), &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("../Shop"), "{error}");
    let options = RecordingOptions { dataset: Some("shop".to_owned()), ..Default::default() };
    replay_into(&folder.path().join("other"), &[path], &options);
}

#[test]
fn what_is_no_recording_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("empty.log", &b""[..]),
        ("blank.log", b"\n \n\n"),
        ("prose.txt", b"It was the best of times,\nit was the worst of times.\n"),
        ("numbers.log", b"1 2 3\n4 5 6\n"),
        ("mixed.txt", b"1 2 3\n1 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n"),
        ("noise", &[0xff, 0, 1, 2, b'\n', 7]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = detect(&path).unwrap_err();
        assert!(matches!(error, AgentError::UnknownKind { .. }), "{name}: {error}");
        assert!(error.to_string().contains("--format"), "{error}");
    }
    let broken = folder.path().join("broken.log");
    fs::write(&broken, b"#rastro {\"version\":1\n").unwrap();
    assert!(matches!(detect(&broken), Err(AgentError::Header { .. })));
    assert!(matches!(detect(folder.path()), Err(AgentError::Io { .. })));
    assert!(matches!(detect(&folder.path().join("absent")), Err(AgentError::Io { .. })));
}

/// A string as strace prints it.
fn quote(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, &byte| match byte {
        b'"' => text + "\\\"",
        b'\\' => text + "\\\\",
        b'\n' => text + "\\n",
        0x20..=0x7e => text + char::from(byte).encode_utf8(&mut [0; 4]),
        _ => text + &format!("\\{byte:03o}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_a_path_a_name_or_a_buffer_holds_each_event_is_one_true_line(
        path in proptest::collection::vec(any::<u8>(), 0..60),
        name in proptest::collection::vec(1_u8..=255, 1..15),
        data in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let format = Format::named("rastro").unwrap();
        let mut converter = StraceConverter::new(format.clone());
        let mut out = Vec::new();
        let set_name = format!("7 1.000000 prctl(PR_SET_NAME, \"{}\") = 0 <0.000001>", quote(&name));
        let opened = format!(
            "7 2.000000 openat(AT_FDCWD</srv>, \"{}\", O_RDONLY) = -1 ENOENT (No such file) <0.000002>",
            quote(&path)
        );
        let written = format!("7 3.000000 write(1<pipe:[5]>, \"{0}\"..., 99) = 99 <0.000003>", quote(&data));
        for line in [set_name, opened, written] {
            converter.line(line.as_bytes(), &mut out);
        }
        let lines: Vec<&[u8]> = out.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n').collect();
        prop_assert_eq!(lines.len(), 3, "{}", String::from_utf8_lossy(&out));
        let events: Vec<_> =
            lines.iter().map(|line| format.parse_line(line, DayBase::default()).unwrap()).collect();
        let expected: [(&[u8], i64, i64); 3] =
            [(b"prctl", 0, 1_000_001_000), (b"openat", -2, 2_000_002_000), (b"write", 99, 3_000_003_000)];
        for (event, (call, result, time_ns)) in events.iter().zip(expected) {
            prop_assert_eq!(event.name, call);
            prop_assert_eq!(event.result, Some(result));
            prop_assert_eq!(event.time_ns, Some(time_ns));
            prop_assert_eq!((event.thread, event.process), (Some(7), Some(7)));
        }
    }

    #[test]
    fn any_bytes_become_whole_lines(lines in proptest::collection::vec(proptest::collection::vec(
        prop_oneof![4 => proptest::sample::select(b" 17.,()<>=?\"\\{}[]+-_xresumedunfinshot".to_vec()), 1 => any::<u8>()], 0..80), 1..6)
    ) {
        let mut converter = StraceConverter::new(Format::named("rastro").unwrap());
        let mut out = Vec::new();
        for line in &lines {
            let line: Vec<u8> = line.iter().copied().filter(|&byte| byte != b'\n').collect();
            converter.line(&line, &mut out);
            converter.line(&[b"7 1.5 read(", line.as_slice()].concat(), &mut out);
        }
        converter.finish(&mut out);
        prop_assert!(out.is_empty() || out.ends_with(b"\n"));
        let count = out.split_inclusive(|&byte| byte == b'\n').count();
        prop_assert!(count <= 4 * lines.len());
    }
}

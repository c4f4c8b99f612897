//! Sources that need more than a file of real data to be tried.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use rastro_agent::{
    AgentError, LogWriter, LogWriterConfig, RecordingKind, RecordingOptions, ReplayPlan, ReplayReport, Speed,
    recording::detect, replay,
};
use rastro_model::syscall::Architecture;

use crate::support::{contents, files_of, read_log, replay_into, rich_recording};

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn try_replay(
    logs: &Path,
    path: PathBuf,
    options: RecordingOptions,
    speed: Speed,
) -> Result<ReplayReport, AgentError> {
    let plan = ReplayPlan::new(&[path], options, speed)?;
    let mut writer = LogWriter::open(logs, LogWriterConfig::default())?;
    replay(&plan, &mut writer, &mut |_| (), &AtomicBool::new(false))
}

/// A program that stands in for sysdig.
fn stand_in(folder: &Path, script: &str) -> PathBuf {
    let path = write(folder, "sysdig", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_capture_is_printed_by_sysdig_and_routed_by_container() {
    let folder = tempfile::tempdir().unwrap();
    let capture = write(folder.path(), "some capture.scap", b"\x0a\x0d\x0d\x0a not looked at");
    assert_eq!(detect(&capture).unwrap(), RecordingKind::Scap);
    write(folder.path(), "text", rich_recording(5_000, 4));
    let script = format!(
        r#"[ "$1" = -r ] && [ "$2" = "{}" ] && [ "$3" = -p ] || exit 9
case "$4" in "*%evt.num "*"%container.id"*) ;; *) exit 8 ;; esac
yes complaint | head -c 200000 >&2
exec cat "{}""#,
        capture.display(),
        folder.path().join("text").display()
    );
    let options = RecordingOptions { sysdig: Some(stand_in(folder.path(), &script)), ..Default::default() };
    let logs = folder.path().join("logs");
    let report = try_replay(&logs, capture, options, Speed::Max).unwrap();
    assert_eq!((report.lines, report.containers.len()), (5_000, 4));
    assert_eq!(contents(&logs).len(), 4);
}

#[test]
fn a_capture_that_sysdig_cannot_read_or_that_no_sysdig_reads_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let capture = write(folder.path(), "a.scap", b"\x0a\x0d\x0d\x0a");
    let logs = folder.path().join("logs");
    let sysdig = Some(stand_in(folder.path(), "echo 'unable to read the capture' >&2; exit 3"));
    let options = RecordingOptions { sysdig, ..Default::default() };
    let error = try_replay(&logs, capture.clone(), options, Speed::Max).unwrap_err().to_string();
    assert!(error.contains("unable to read the capture") && error.contains('3'), "{error}");

    let options = RecordingOptions { sysdig: Some(folder.path().join("absent")), ..Default::default() };
    let error = try_replay(&logs, capture, options, Speed::Max).unwrap_err();
    assert!(matches!(error, AgentError::SysdigMissing { .. }));
    assert!(error.to_string().contains("install the package `sysdig`"), "{error}");
}

#[test]
fn midnight_begins_a_file_of_the_next_day() {
    let folder = tempfile::tempdir().unwrap();
    let line = |number: u32, time: &str| {
        format!("{number} {time} 6 999 mysqld 22467 < futex res=-110(ETIMEDOUT) \n")
    };
    let days = [
        [line(1, "23:59:58.000000001"), line(2, "23:59:59.999999999"), line(3, "23:59:59.999999998")]
            .concat(),
        [line(4, "00:00:00.000000003"), line(5, "23:00:00.000000000")].concat(),
        line(6, "01:00:00.000000000"),
    ];
    let path = write(folder.path(), "night.txt", days.concat());
    let logs = folder.path().join("logs");
    let options = RecordingOptions { date: Some("2019-12-30".to_owned()), ..Default::default() };
    let report = replay_into(&logs, &[path], &options);
    let files = files_of(&logs, &report.containers[0].id);
    let read: Vec<(String, String)> = files
        .iter()
        .map(|file| read_log(file))
        .map(|(header, text)| (header.date.unwrap(), String::from_utf8(text).unwrap()))
        .collect();
    let expected: Vec<(String, String)> =
        ["2019-12-30", "2019-12-31", "2020-01-01"].map(str::to_owned).into_iter().zip(days).collect();
    assert_eq!(read, expected);
    assert_eq!(report.first_ns, Some(1_577_750_398_000_000_001));
    assert_eq!(report.last_ns, Some(1_577_840_400_000_000_000));
}

#[test]
fn numbers_are_symbols_unless_a_table_names_them_and_odd_tokens_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.txt", "3 240 9999\n\n 4 nonsense 18446744073709551616 5 \n");
    write(folder.path(), "a.labels", "Web_Shell\tWeb_Shell_1\tone\nNormal\tx\ttwo\n");
    let calls = |table: Option<Architecture>, folder: &Path| -> Vec<String> {
        let logs = folder.join(format!("{table:?}"));
        let kind = Some(RecordingKind::Traces);
        let report = replay_into(
            &logs,
            std::slice::from_ref(&path),
            &RecordingOptions { kind, table, ..Default::default() },
        );
        assert_eq!(report.lines, 8);
        assert_eq!(report.labels.len(), 2);
        assert_eq!(report.labels[0].recording.as_deref(), Some("Web_Shell_1"));
        let text = contents(&logs).into_values().next().unwrap();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    };
    let symbols = calls(None, folder.path());
    assert_eq!(symbols[0], "1 <NA> <NA> 1 1970-01-01T00:00:00.000000000+0000 < unknown #3 <NA> <NA>  ");
    assert_eq!(symbols[3], "");
    assert!(
        symbols[4].starts_with("3 <NA> <NA> 4 1970-01-01T00:00:00.000003000+0000 < unknown #4 "),
        "{symbols:?}"
    );
    assert_eq!(symbols[5..7], ["nonsense", "18446744073709551616"]);
    let named = calls(Some(Architecture::I386), folder.path());
    assert!(named[0].contains(" < file read ") && named[1].contains(" < IPC futex "), "{named:?}");
    assert!(named[2].contains(" < unknown #9999 "), "{named:?}");
}

#[test]
fn a_damaged_file_of_labels_or_threads_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.txt", "3 240\n4\n");
    write(folder.path(), "a.labels", "Web_Shell\tx\ty\n\tx\ty\n");
    let logs = folder.path().join("logs");
    let error = try_replay(&logs, path, RecordingOptions::default(), Speed::Max).unwrap_err().to_string();
    assert!(error.contains("a.labels") && error.contains("line 2"), "{error}");

    let line =
        |number: u32| format!("{number} 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n");
    let path = write(folder.path(), "b.log", [line(1), line(2)].concat());
    write(folder.path(), "b.threads.tsv", "event\tthread\tattack\n1\t7\t0\n3\t7\t0\n");
    let error = try_replay(&logs, path, RecordingOptions::default(), Speed::Max).unwrap_err().to_string();
    assert!(error.contains("b.threads.tsv") && error.contains("event 3"), "{error}");
}

#[test]
fn an_exploit_of_lid_ds_is_a_label_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wild_name_1.zip");
    let mut archive = zip::ZipWriter::new(fs::File::create(&path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("wild_name_1.json", options).unwrap();
    archive
        .write_all(br#"{"exploit":true,"image":"shop","time":{"exploit":[{"absolute":1631209047.5,"name":"shellshock","relative":3.5}]}}"#)
        .unwrap();
    archive.start_file("wild_name_1.sc", options).unwrap();
    archive
        .write_all(b"1631209047761484608 0 3686302 apache2 3686302 open < fd=9(<f>/proc) name=/proc flags=1(O_RDONLY) mode=0 \n")
        .unwrap();
    archive.finish().unwrap();
    let report =
        replay_into(&folder.path().join("logs"), std::slice::from_ref(&path), &RecordingOptions::default());
    assert_eq!(report.lines, 1);
    let label = &report.labels[0];
    assert_eq!((label.kind.as_str(), label.from_ns), ("shellshock", Some(1_631_209_047_500_000_000)));
    assert_eq!(label.recording.as_deref(), Some("wild_name_1"));
    assert_eq!(report.containers[0].image.as_deref(), Some("shop"));

    // A damaged archive is an error wherever it is damaged, never a panic.
    let whole = fs::read(&path).unwrap();
    for cut in (4..whole.len()).step_by(7) {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(
            try_replay(&folder.path().join("cut"), path.clone(), RecordingOptions::default(), Speed::Max)
                .is_err()
        );
    }
}

#[test]
fn a_recording_takes_as_long_as_it_took_divided_by_the_speed() {
    let folder = tempfile::tempdir().unwrap();
    let line = |number: u32| {
        format!("{number} 2022-03-31T18:13:16.{:03}000000+0000 < wait select 0 0  res=0 \n", number * 100)
    };
    let text: String = (0..9).map(line).collect();
    let path = write(folder.path(), "a.log", &text);
    let logs = folder.path().join("logs");
    let began = Instant::now();
    let report = try_replay(&logs, path.clone(), RecordingOptions::default(), Speed::Times(4.0)).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(190), "{:?}", began.elapsed());
    assert_eq!(report.lines, 9);
    assert_eq!(contents(&logs).into_values().next().unwrap(), text.into_bytes());

    // Told to stop, it stops at once, however long the next line is away.
    let plan = ReplayPlan::new(&[path], RecordingOptions::default(), Speed::Times(0.001)).unwrap();
    let cancel = AtomicBool::new(false);
    let began = Instant::now();
    let report = std::thread::scope(|scope| {
        let replayed = scope.spawn(|| {
            let mut writer =
                LogWriter::open(&folder.path().join("slow"), LogWriterConfig::default()).unwrap();
            replay(&plan, &mut writer, &mut |_| (), &cancel).unwrap()
        });
        std::thread::sleep(Duration::from_millis(200));
        cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        replayed.join().unwrap()
    });
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(report.cancelled);
    assert_eq!(report.lines, 1);
}

#[test]
fn a_recording_keeps_what_its_header_says_unless_it_is_overridden() {
    let folder = tempfile::tempdir().unwrap();
    let mut header = crate::support::header("0123456789ab");
    header.container.image = Some("shop:1".to_owned());
    header.dataset = Some("shop".to_owned());
    let line = "1 1 sh 1 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n";
    let path = write(folder.path(), "x.log", [header.to_line().unwrap(), line.as_bytes().to_vec()].concat());
    let logs = folder.path().join("logs");
    let report = replay_into(&logs, std::slice::from_ref(&path), &RecordingOptions::default());
    assert_eq!(report.lines, 1);
    assert_eq!(read_log(&logs.join("0123456789ab.log")), (header.clone(), line.as_bytes().to_vec()));
    let logs = folder.path().join("overridden");
    let options = RecordingOptions {
        dataset: Some("other".to_owned()),
        image: Some("ignored: the recording says it".to_owned()),
        ..Default::default()
    };
    replay_into(&logs, &[path], &options);
    header.dataset = Some("other".to_owned());
    assert_eq!(read_log(&logs.join("0123456789ab.log")).0, header);
}

#[test]
fn pairs_of_numbers_are_processes_and_calls() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "sendmail.int", "12 5\n12 4\n13 5\n12 6\n");
    assert_eq!(detect(&path).unwrap(), RecordingKind::PidCalls);
    let logs = folder.path().join("logs");
    let report = try_replay(&logs, path, RecordingOptions::default(), Speed::Max).unwrap();
    assert_eq!((report.lines, report.containers.len()), (4, 1));
    // The same lines in a file named as traces are traces: two calls long, and nothing else.
    let path = write(folder.path(), "short.txt", "12 5\n12 4\n");
    assert_eq!(detect(&path).unwrap(), RecordingKind::Traces);
}

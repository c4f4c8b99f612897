//! A replay that is interrupted and run again ends as if it had not been.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use proptest::prelude::*;
use rastro_agent::{
    LogWriter, LogWriterConfig, RecordingOptions, ReplayPlan, ReplayReport, Speed, finish_replay, replay,
};

use crate::support::{contents, files_of, read_log, replay_into, rich_recording};

fn write_recording(folder: &Path, calls: u64) -> PathBuf {
    let path = folder.join("recording.log");
    fs::write(&path, rich_recording(calls, 3)).unwrap();
    path
}

/// The bytes of every file of a folder of logs, without the agent's own.
fn snapshot(logs: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(logs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.strip_prefix(logs).unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn logs_cut_at_any_byte_are_completed_to_the_last_byte(cuts in proptest::collection::vec(0.0_f64..1.0, 3)) {
        let folder = tempfile::tempdir().unwrap();
        let recording = write_recording(folder.path(), 40);
        let logs = folder.path().join("logs");
        replay_into(&logs, std::slice::from_ref(&recording), &RecordingOptions::default());
        let whole = snapshot(&logs);
        prop_assert_eq!(whole.len(), 3);
        for ((name, bytes), cut) in whole.iter().zip(cuts) {
            let file = fs::OpenOptions::new().write(true).open(logs.join(name)).unwrap();
            file.set_len((bytes.len() as f64 * cut) as u64).unwrap();
        }
        let report = replay_into(&logs, &[recording], &RecordingOptions::default());
        prop_assert!(report.resumed);
        prop_assert_eq!(report.lines, 40);
        prop_assert_eq!(snapshot(&logs), whole);
    }
}

#[test]
fn an_interrupted_replay_goes_on_where_it_stopped_and_a_finished_one_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let recording = write_recording(folder.path(), 30_000);
    let logs = folder.path().join("logs");
    let plan = ReplayPlan::new(&[recording], RecordingOptions::default(), Speed::Max).unwrap();
    let run = |stop_after: u64| -> ReplayReport {
        let mut writer = LogWriter::open(&logs, LogWriterConfig::default()).unwrap();
        let cancel = AtomicBool::new(false);
        let mut watch = |progress: rastro_agent::Progress| {
            assert_eq!(progress.total_bytes, plan.total_bytes());
            cancel.store(progress.done_bytes > stop_after, Ordering::Relaxed);
        };
        replay(&plan, &mut writer, &mut watch, &cancel).unwrap()
    };
    let first = run(100);
    assert!(first.cancelled && !first.resumed && first.lines < 30_000);
    for text in contents(&logs).values() {
        assert!(text.ends_with(b"\n"), "a torn line was left behind");
    }
    let second = run(u64::MAX);
    assert!(second.resumed && !second.cancelled);
    assert_eq!((second.lines, second.containers.len()), (30_000, 3));
    let once = contents(&logs);
    let mut lines: Vec<&[u8]> = once.values().flat_map(|text| text.split(|&byte| byte == b'\n')).collect();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 30_001, "each line once, and the empty rest behind each log's last line");

    // All of it was written, but nobody has said that it was taken in: a repeat adds nothing.
    assert!(run(u64::MAX).resumed);
    assert_eq!(contents(&logs), once);
    finish_replay(&logs).unwrap();
    assert!(!run(u64::MAX).resumed);
    for (id, text) in contents(&logs) {
        assert_eq!(text, once[&id].repeat(2));
    }
}

#[test]
fn another_recording_does_not_continue_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let line = "1 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n";
    let logs = folder.path().join("logs");
    let (one, two) = (folder.path().join("a/0123456789ab.log"), folder.path().join("b/0123456789ab.log"));
    for (path, text) in [(&one, line.repeat(5)), (&two, line.repeat(3))] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    replay_into(&logs, &[one], &RecordingOptions::default());
    let log = logs.join("0123456789ab.log");
    let length = fs::metadata(&log).unwrap().len();
    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length - 10).unwrap();
    let report = replay_into(&logs, &[two], &RecordingOptions::default());
    assert!(!report.resumed);
    assert_eq!(read_log(&log).1, line.repeat(4 + 3).into_bytes());
}

#[test]
fn a_plan_is_known_by_its_recordings_and_options_but_not_by_its_speed() {
    let folder = tempfile::tempdir().unwrap();
    let recording = write_recording(folder.path(), 10);
    let identity = |options: RecordingOptions, speed| {
        ReplayPlan::new(std::slice::from_ref(&recording), options, speed).unwrap().identity()
    };
    let plain = identity(RecordingOptions::default(), Speed::Max);
    assert_eq!(plain, identity(RecordingOptions::default(), Speed::Times(1.0)));
    let other = RecordingOptions { dataset: Some("shop".to_owned()), ..RecordingOptions::default() };
    assert_ne!(plain, identity(other, Speed::Max));
    fs::write(&recording, rich_recording(11, 3)).unwrap();
    assert_ne!(plain, identity(RecordingOptions::default(), Speed::Max));
}

const CHILD: &str = "RASTRO_TEST_FOLDER";

fn small_files() -> LogWriterConfig {
    LogWriterConfig { max_file_bytes: 20_000, max_open_files: 2, ..LogWriterConfig::default() }
}

#[test]
fn a_replay_killed_at_any_moment_ends_as_if_it_had_not_been() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let folder = PathBuf::from(folder);
        let plan = ReplayPlan::new(&[folder.join("recording.log")], RecordingOptions::default(), Speed::Max);
        let mut writer = LogWriter::open(&folder.join("logs"), small_files()).unwrap();
        let report = replay(&plan.unwrap(), &mut writer, &mut |_| (), &AtomicBool::new(false)).unwrap();
        assert_eq!(report.lines, 60_000);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write_recording(folder.path(), 60_000);
    let undisturbed = tempfile::tempdir().unwrap();
    let report =
        replay_into(undisturbed.path(), &[folder.path().join("recording.log")], &RecordingOptions::default());
    assert_eq!(report.lines, 60_000);
    let mut kills = 0;
    for attempt in 0_u64.. {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "resume::a_replay_killed_at_any_moment_ends_as_if_it_had_not_been"])
            .env(CHILD, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Moments that differ from run to run of the loop; after a while the child may end.
        let patience = if attempt < 30 { 5 + attempt * 7919 % 60 } else { 60_000 };
        let step = Duration::from_millis(1);
        let waited = (0..patience).find_map(|_| {
            std::thread::sleep(step);
            child.try_wait().unwrap()
        });
        if let Some(status) = waited {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    assert!(kills >= 3, "only {kills} kills: the replay is too short to be interrupted");
    let logs = folder.path().join("logs");
    assert_eq!(contents(&logs), contents(undisturbed.path()));
    for id in contents(&logs).keys() {
        let files = files_of(&logs, id);
        assert!(files.len() > 50);
        assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 20_000));
    }
}

//! Rotation, retention, and what is never left behind.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;
use rastro_agent::{LogWriter, LogWriterConfig, Lost, WhenFull};
use rastro_model::LogHeader;

use crate::support::{contents, count_lines, files_of, header, read_log};

const ID: &str = "0123456789ab";

fn line(number: usize) -> Vec<u8> {
    format!("line {number} {}\n", "y".repeat(number % 40)).into_bytes()
}

fn open(logs: &Path, config: LogWriterConfig) -> LogWriter {
    LogWriter::open(logs, config).unwrap()
}

fn small_files() -> LogWriterConfig {
    LogWriterConfig { max_file_bytes: 1_000, ..LogWriterConfig::default() }
}

fn write_lines(writer: &mut LogWriter, header: &LogHeader, numbers: std::ops::Range<usize>) -> Vec<u8> {
    let log = writer.log(header).unwrap();
    let mut all = Vec::new();
    for number in numbers {
        let line = line(number);
        writer.append(log, &line).unwrap();
        all.extend_from_slice(&line);
    }
    all
}

#[test]
fn files_are_rotated_by_size_and_every_one_begins_with_the_header() {
    let logs = tempfile::tempdir().unwrap();
    let written = {
        let mut writer = open(logs.path(), small_files());
        write_lines(&mut writer, &header(ID), 0..200)
    };
    let files = files_of(logs.path(), ID);
    assert!(files.len() > 5);
    for (file, number) in files.iter().zip(1..) {
        assert!(fs::metadata(file).unwrap().len() <= 1_000, "{}", file.display());
        assert_eq!(read_log(file).0, header(ID));
        if number < files.len() {
            assert!(file.ends_with(format!("{ID}.log.{number}")), "{}", file.display());
        }
    }
    assert_eq!(contents(logs.path())[ID], written);
}

#[test]
fn a_block_of_lines_is_cut_between_lines_and_a_line_larger_than_a_file_has_one_of_its_own() {
    let logs = tempfile::tempdir().unwrap();
    let mut block: Vec<u8> = (0..100).flat_map(line).collect();
    block.extend_from_slice(&[b'z'; 3_000]);
    block.extend_from_slice(b"\nlast\n");
    {
        let mut writer = open(logs.path(), small_files());
        let log = writer.log(&header(ID)).unwrap();
        writer.append(log, &block).unwrap();
    }
    assert_eq!(contents(logs.path())[ID], block);
    let sizes: Vec<usize> = files_of(logs.path(), ID).iter().map(|file| read_log(file).1.len()).collect();
    assert_eq!(sizes.iter().filter(|&&size| size > 1_000).collect::<Vec<_>>(), [&3_001]);
}

#[test]
fn a_file_is_rotated_when_it_is_old_and_holds_lines() {
    let logs = tempfile::tempdir().unwrap();
    let config =
        LogWriterConfig { max_file_age: Some(Duration::from_millis(30)), ..LogWriterConfig::default() };
    let mut writer = open(logs.path(), config);
    write_lines(&mut writer, &header(ID), 0..1);
    writer.flush().unwrap();
    std::thread::sleep(Duration::from_millis(80));
    writer.maintain().unwrap();
    assert_eq!(files_of(logs.path(), ID), [logs.path().join(format!("{ID}.log.1"))]);
    writer.maintain().unwrap();
    write_lines(&mut writer, &header(ID), 1..2);
    drop(writer);
    assert_eq!(files_of(logs.path(), ID).len(), 2);
    assert_eq!(contents(logs.path())[ID], [line(0), line(1)].concat());
}

#[test]
fn another_header_begins_another_file() {
    let logs = tempfile::tempdir().unwrap();
    let other = LogHeader { date: Some("2026-11-22".to_owned()), ..header(ID) };
    {
        let mut writer = open(logs.path(), LogWriterConfig::default());
        write_lines(&mut writer, &header(ID), 0..3);
        write_lines(&mut writer, &other, 3..5);
    }
    let mut writer = open(logs.path(), LogWriterConfig::default());
    write_lines(&mut writer, &other, 5..6);
    drop(writer);
    let files: Vec<(LogHeader, Vec<u8>)> =
        files_of(logs.path(), ID).iter().map(|file| read_log(file)).collect();
    assert_eq!(
        files,
        [(header(ID), (0..3).flat_map(line).collect()), (other, (3..6).flat_map(line).collect())]
    );
}

#[test]
fn shipped_files_go_beyond_the_number_to_keep_and_unshipped_ones_stay() {
    let logs = tempfile::tempdir().unwrap();
    let config = LogWriterConfig { keep_files: 2, ..small_files() };
    let shipped_to = Arc::new(Mutex::new(0_u64));
    let shipped = Arc::clone(&shipped_to);
    let mut writer = open(logs.path(), config).with_shipped(Box::new(move |path: &Path| {
        let number: u64 = path.extension().unwrap().to_str().unwrap().parse().unwrap();
        if number <= *shipped.lock().unwrap() { u64::MAX } else { 0 }
    }));
    write_lines(&mut writer, &header(ID), 0..200);
    let all = files_of(logs.path(), ID).len();
    assert!(all > 6);
    *shipped_to.lock().unwrap() = 3;
    writer.maintain().unwrap();
    assert_eq!(files_of(logs.path(), ID).len(), all - 3);
    *shipped_to.lock().unwrap() = 1_000;
    writer.maintain().unwrap();
    let names = files_of(logs.path(), ID);
    let kept: Vec<PathBuf> =
        [format!("{ID}.log.{}", all - 2), format!("{ID}.log.{}", all - 1), format!("{ID}.log")]
            .map(|name| logs.path().join(name))
            .to_vec();
    assert_eq!(names, kept);
    assert_eq!(writer.lost(), Lost::default());
}

#[test]
fn numbers_of_rotated_files_rise_although_earlier_ones_are_gone() {
    let logs = tempfile::tempdir().unwrap();
    let config = LogWriterConfig { keep_files: 0, ..small_files() };
    let mut highest = 0;
    for run in 0..3 {
        let mut writer = open(logs.path(), config.clone()).with_shipped(Box::new(|_: &Path| u64::MAX));
        write_lines(&mut writer, &header(ID), run * 100..(run + 1) * 100);
        drop(writer);
        // Only the state remembers: every rotated file is gone.
        assert_eq!(files_of(logs.path(), ID).len(), 1);
        let state = fs::read_to_string(logs.path().join(format!(".agent/{ID}.json"))).unwrap();
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        let rotated = state["rotated"].as_u64().unwrap();
        assert!(rotated > highest);
        highest = rotated;
    }
}

#[test]
fn the_limit_forces_unread_files_out_and_every_lost_line_is_counted() {
    let logs = tempfile::tempdir().unwrap();
    let config = LogWriterConfig { max_total_bytes: 4_000, ..small_files() };
    let mut writer = open(logs.path(), config);
    let written = write_lines(&mut writer, &header(ID), 0..400);
    writer.flush().unwrap();
    let left = contents(logs.path());
    let lost = writer.lost();
    assert!(lost.files > 0);
    assert_eq!(lost.bytes, (written.len() - left[ID].len()) as u64);
    assert_eq!(lost.lines + count_lines(&left), 400);
    assert!(written.ends_with(&left[ID]), "the oldest go first");
}

#[test]
fn what_was_shipped_of_a_file_that_is_forced_out_is_not_lost() {
    let logs = tempfile::tempdir().unwrap();
    {
        let mut writer = open(logs.path(), small_files());
        write_lines(&mut writer, &header(ID), 0..100);
    }
    let first = logs.path().join(format!("{ID}.log.1"));
    let bytes = fs::read(&first).unwrap();
    let shipped = bytes.len() as u64 - 10;
    let expected_lines = bytes[shipped as usize..].split_inclusive(|&byte| byte == b'\n').count() as u64;
    let total: u64 = files_of(logs.path(), ID).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    let config = LogWriterConfig { max_total_bytes: total - 1, ..small_files() };
    let mut writer = open(logs.path(), config).with_shipped(Box::new(move |_: &Path| shipped));
    writer.maintain().unwrap();
    assert!(!first.exists());
    assert_eq!(writer.lost(), Lost { files: 1, bytes: 10, lines: expected_lines });
}

#[test]
fn a_writer_that_waits_deletes_nothing_unread_and_says_that_it_is_full() {
    let logs = tempfile::tempdir().unwrap();
    let config = LogWriterConfig { max_total_bytes: 4_000, when_full: WhenFull::Wait, ..small_files() };
    let is_shipped = Arc::new(Mutex::new(false));
    let shipped = Arc::clone(&is_shipped);
    let mut writer = open(logs.path(), config)
        .with_shipped(Box::new(move |_: &Path| if *shipped.lock().unwrap() { u64::MAX } else { 0 }));
    assert!(!writer.is_full().unwrap());
    let written = write_lines(&mut writer, &header(ID), 0..400);
    assert!(writer.is_full().unwrap());
    writer.flush().unwrap();
    assert_eq!(contents(logs.path())[ID], written);
    *is_shipped.lock().unwrap() = true;
    assert!(!writer.is_full().unwrap());
    assert_eq!(writer.lost(), Lost::default());
}

#[test]
fn more_logs_than_open_files_are_written_all_the_same() {
    let logs = tempfile::tempdir().unwrap();
    let config = LogWriterConfig { max_open_files: 3, ..small_files() };
    let mut writer = open(logs.path(), config);
    let ids: Vec<String> = (0..40).map(|number| format!("{number:012x}")).collect();
    for round in 0..30 {
        for id in &ids {
            let log = writer.log(&header(id)).unwrap();
            writer.append(log, &line(round)).unwrap();
        }
    }
    drop(writer);
    let contents = contents(logs.path());
    assert_eq!(contents.len(), 40);
    let expected: Vec<u8> = (0..30).flat_map(line).collect();
    assert!(contents.values().all(|text| *text == expected));
}

#[test]
fn a_log_of_another_program_is_rotated_away_untouched() {
    let logs = tempfile::tempdir().unwrap();
    let foreign = b"1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \nhalf a li";
    fs::write(logs.path().join(format!("{ID}.log")), foreign).unwrap();
    let mut writer = open(logs.path(), LogWriterConfig::default());
    let written = write_lines(&mut writer, &header(ID), 0..3);
    drop(writer);
    assert_eq!(fs::read(logs.path().join(format!("{ID}.log.1"))).unwrap(), foreign);
    assert_eq!(read_log(&logs.path().join(format!("{ID}.log"))).1, written);
}

#[test]
fn a_torn_line_is_cut_off_unless_the_shipper_has_taken_it() {
    for (is_shipped, expected) in [(false, &b"whole\nnext\n"[..]), (true, b"whole\nto\nnext\n")] {
        let logs = tempfile::tempdir().unwrap();
        let path = logs.path().join(format!("{ID}.log"));
        fs::write(&path, [header(ID).to_line().unwrap(), b"whole\nto".to_vec()].concat()).unwrap();
        let shipped = if is_shipped { u64::MAX } else { 0 };
        let mut writer =
            open(logs.path(), LogWriterConfig::default()).with_shipped(Box::new(move |_: &Path| shipped));
        let log = writer.log(&header(ID)).unwrap();
        writer.append(log, b"next\n").unwrap();
        drop(writer);
        assert_eq!(read_log(&path).1, expected);
    }
}

const CHILD: &str = "RASTRO_TEST_LOGS";

#[test]
fn a_write_that_fails_half_way_leaves_no_torn_line() {
    if let Some(logs) = std::env::var_os(CHILD) {
        let mut writer = open(Path::new(&logs), LogWriterConfig::default());
        let log = writer.log(&header(ID)).unwrap();
        let failed = (0..100_000).any(|number| writer.append(log, &line(number)).is_err());
        assert!(failed, "the limit was never reached");
        // A second try fails in the same way and does not write a line twice.
        assert!(writer.flush().is_err());
        return;
    }
    let logs = tempfile::tempdir().unwrap();
    let test = std::env::current_exe().unwrap();
    // A limit on the size of files is a full disk that needs no rights to make: the write that crosses it is cut.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 300; exec \"$0\" \"$@\""])
        .arg(test)
        .args(["--exact", "log_writer::a_write_that_fails_half_way_leaves_no_torn_line"])
        .env(CHILD, logs.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    let text = &contents(logs.path())[ID];
    assert!(text.len() > 60_000);
    let lines = text.split_inclusive(|&byte| byte == b'\n').count();
    assert_eq!(*text, (0..lines).flat_map(line).collect::<Vec<u8>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_line_is_lost_uncounted_whatever_is_written_rotated_and_limited(
        appends in proptest::collection::vec((0_usize..3, 1_usize..30, 1_usize..300), 1..40),
        max_file_bytes in 300_u64..3_000,
        max_total_bytes in 500_u64..20_000,
        restarts in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let logs = tempfile::tempdir().unwrap();
        let config = LogWriterConfig { max_file_bytes, max_total_bytes, ..LogWriterConfig::default() };
        let mut writer = open(logs.path(), config.clone());
        let (mut written, mut lost) = (0, Lost::default());
        for ((container, lines, length), restart) in appends.into_iter().zip(restarts) {
            let log = writer.log(&header(&format!("{container:012x}"))).unwrap();
            let block: Vec<u8> = (0..lines).flat_map(|_| [vec![b'a'; length], b"\n".to_vec()].concat()).collect();
            writer.append(log, &block).unwrap();
            written += lines as u64;
            if restart {
                lost.lines += writer.lost().lines;
                lost.bytes += writer.lost().bytes;
                drop(writer);
                writer = open(logs.path(), config.clone());
            }
        }
        writer.flush().unwrap();
        lost.lines += writer.lost().lines;
        let left = contents(logs.path());
        prop_assert_eq!(count_lines(&left) + lost.lines, written);
        prop_assert!(left.values().all(|text| text.is_empty() || text.ends_with(b"\n")));
    }
}

//! Helpers of the tests: recordings, folders, and what logs hold.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use rastro_agent::{LogWriter, LogWriterConfig, RecordingOptions, ReplayPlan, ReplayReport, Speed, replay};
use rastro_model::{LogHeader, log_header};

/// The folder of real recordings, if it is there.
pub(crate) fn shared_data() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if path.is_dir() {
        Some(path)
    } else {
        eprintln!("skipped: the real recordings are not at {}", path.display());
        None
    }
}

/// Replays recordings at full speed into `logs`.
pub(crate) fn replay_into(logs: &Path, recordings: &[PathBuf], options: &RecordingOptions) -> ReplayReport {
    let plan = ReplayPlan::new(recordings, options.clone(), Speed::Max).unwrap();
    let mut writer = LogWriter::open(logs, LogWriterConfig::default()).unwrap();
    replay(&plan, &mut writer, &mut |_| (), &AtomicBool::new(false)).unwrap()
}

/// The files of a log in the order in which they were written: rotated ones by number, then the current one.
pub(crate) fn files_of(logs: &Path, id: &str) -> Vec<PathBuf> {
    let current = logs.join(format!("{id}.log"));
    let mut rotated: Vec<(u64, PathBuf)> = fs::read_dir(logs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name.strip_prefix(&format!("{id}.log."))?.parse().ok()?, path))
        })
        .collect();
    rotated.sort();
    let mut files: Vec<PathBuf> = rotated.into_iter().map(|(_, path)| path).collect();
    files.extend(current.exists().then_some(current));
    files
}

/// A log file's header and the lines below it.
pub(crate) fn read_log(path: &Path) -> (LogHeader, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(log_header::MAGIC), "{}", path.display());
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    (LogHeader::parse(&bytes[..end]).unwrap(), bytes[end..].to_vec())
}

/// The lines of all files of each log, without headers.
pub(crate) fn contents(logs: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut ids: Vec<String> = fs::read_dir(logs)
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.split_once(".log")?.0.to_owned())
        })
        .collect();
    ids.sort();
    ids.dedup();
    ids.into_iter()
        .map(|id| {
            let text = files_of(logs, &id).iter().flat_map(|path| read_log(path).1).collect();
            (id, text)
        })
        .collect()
}

pub(crate) fn count_lines(contents: &BTreeMap<String, Vec<u8>>) -> u64 {
    contents.values().map(|text| text.split_inclusive(|&byte| byte == b'\n').count() as u64).sum()
}

/// A header of a container `id` in the default format.
pub(crate) fn header(id: &str) -> LogHeader {
    LogHeader {
        version: 1,
        format: rastro_format::DEFAULT.to_owned(),
        dataset: None,
        container: rastro_model::Container { id: id.to_owned(), name: None, image: None },
        architecture: None,
        date: None,
    }
}

/// Lines of `calls` calls that go to and fro between `containers` containers, in sysdig's rich form.
pub(crate) fn rich_recording(calls: u64, containers: u64) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for call in 0..calls {
        let container = (call * 7 / 3) % containers;
        writeln!(
            text,
            "{call} 2022-03-31T18:13:{:02}.{:09}+0000 0 {container:012x} shop-{container} shop:1 10 {} sh 0 < file read 5 {call} res={call} data={} ",
            16 + call / 1000 % 40,
            call % 1000 * 1_000_000,
            10 + container,
            "x".repeat((call * 31 % 57) as usize),
        )
        .unwrap();
    }
    text
}

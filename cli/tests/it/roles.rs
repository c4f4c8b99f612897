//! Roles that live: following files, stopping, and one owner of a data directory.

use std::{
    fs::OpenOptions,
    io::Write,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::support::{Rastro, made_up_log};

/// A running role that is killed if the test fails.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub(crate) fn start(rastro: &Rastro, arguments: &[&str]) -> Self {
        let mut command = rastro.command(arguments);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Asks it to stop as `systemctl stop` does, and waits.
    pub(crate) fn stop(mut self) -> std::process::ExitStatus {
        let pid = i32::try_from(self.0.id()).unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(pid).unwrap(),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        self.0.wait().unwrap()
    }
}

pub(crate) fn wait_for_calls(rastro: &Rastro, calls: usize) {
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < Duration::from_secs(30) {
        let output = rastro.run(&["datasets", "--json"]);
        last = String::from_utf8_lossy(&output.stdout).into_owned();
        let value: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
        if value[0]["tally"]["calls_stored"] == calls {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("{calls} calls were not stored within 30 s: {last}");
}

#[test]
fn run_follows_a_log_through_a_rotation_and_a_restart() {
    let rastro = Rastro::new();
    let logs = rastro.data_dir().join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    let path = logs.join("0123456789ab.log");
    let log = made_up_log(3000, 3);
    let thirds: Vec<&[u8]> = {
        let lines: Vec<&[u8]> = log.split_inclusive(|&byte| byte == b'\n').collect();
        let end = |line: usize| lines[..line].iter().map(|line| line.len()).sum::<usize>();
        vec![&log[..end(1000)], &log[end(1000)..end(2000)], &log[end(2000)..]]
    };
    let append = |bytes: &[u8]| {
        OpenOptions::new().create(true).append(true).open(&path).unwrap().write_all(bytes).unwrap();
    };
    append(thirds[0]);
    let running = Running::start(&rastro, &["run"]);
    wait_for_calls(&rastro, 1000);

    std::fs::rename(&path, logs.join("0123456789ab.log.1")).unwrap();
    append(thirds[1]);
    wait_for_calls(&rastro, 2000);

    assert!(running.stop().success());
    append(thirds[2]);
    let _running = Running::start(&rastro, &["run"]);
    wait_for_calls(&rastro, 3000);
}

#[test]
fn a_second_owner_of_the_data_directory_is_refused() {
    let rastro = Rastro::new();
    let log = rastro.file("made-up.log", &made_up_log(10, 1)).display().to_string();
    let _running = Running::start(&rastro, &["run"]);
    let begun = Instant::now();
    while !rastro.data_dir().join("store/rastro.db").exists() && begun.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_millis(20));
    }
    for arguments in [&["run"][..], &["shipper"], &["replay", &log]] {
        let error = rastro.error(arguments);
        assert!(error.contains("in use by `rastro run` (pid "), "{arguments:?}: {error}");
    }
}

#[test]
fn each_role_alone_does_its_part_of_the_work() {
    let rastro = Rastro::new();
    let logs = rastro.data_dir().join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("0123456789ab.log"), made_up_log(500, 5)).unwrap();
    let shipper = Running::start(&rastro, &["shipper"]);
    sleep(Duration::from_millis(1500));
    assert!(shipper.stop().success());
    let transformer = Running::start(&rastro, &["transformer"]);
    wait_for_calls(&rastro, 500);
    assert!(transformer.stop().success());
    let analyzer = Running::start(&rastro, &["analyzer"]);
    sleep(Duration::from_millis(1500));
    assert!(analyzer.stop().success());
}

#[test]
fn a_dataset_goes_on_in_its_next_index_and_the_oldest_ones_go() {
    let rastro = Rastro::new();
    let log = rastro.file("made-up.log", &made_up_log(3000, 9)).display().to_string();
    let small = ["--set", "shipper.chunk_bytes=16 KiB", "--set", "dataset.roll=1000 docs"];
    let replay = ["replay", &log, "--format", "rocha", "--dataset", "shop", "--json"];
    let report = rastro.json(&[&replay[..], &small[..]].concat());
    assert_eq!(report["calls_stored"], 3000);
    let indices = || {
        let datasets = rastro.json(&["datasets", "--json"]);
        let indices = datasets[0]["indices"].as_array().unwrap().clone();
        indices.iter().map(|index| index["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = indices();
    assert!(before.len() > 1 && before[0] == "shop-000001", "{before:?}");

    let limit = ["--set", "store.retention.max_size=1 KiB", "run"];
    let _running = Running::start(&rastro, &[&small[..], &limit[..]].concat());
    let begun = Instant::now();
    while indices().len() > 1 && begun.elapsed() < Duration::from_secs(30) {
        sleep(Duration::from_millis(100));
    }
    assert_eq!(indices(), before[before.len() - 1..], "the newest one stays");
}

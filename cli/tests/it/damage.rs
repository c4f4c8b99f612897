//! Damaged files and full disks: counts match to the last call, or the loss is told to the last call.

use std::{fs, process::Command, thread::sleep, time::Duration};

use crate::{
    roles::{Running, wait_for_calls},
    support::{Rastro, closed, made_up_log},
};

const LINES: usize = 20_000;

/// A data directory whose log is shipped into the queue and no further.
fn shipped_only(rastro: &Rastro) -> std::path::PathBuf {
    let logs = rastro.data_dir().join("logs");
    fs::create_dir_all(&logs).unwrap();
    let log = logs.join("0123456789ab.log");
    fs::write(&log, made_up_log(LINES, 11)).unwrap();
    let shipper = Running::start(rastro, &["shipper"]);
    let checkpoint = rastro.data_dir().join("shipper/checkpoint.json");
    for _ in 0..300 {
        let text = fs::read_to_string(&checkpoint).unwrap_or_default();
        if text.contains(&format!("\"next_line\":{LINES}"))
            || text.contains(&format!("\"next_line\": {LINES}"))
        {
            break;
        }
        sleep(Duration::from_millis(50));
    }
    assert!(shipper.stop().success());
    log
}

fn damage(path: &std::path::Path) {
    let mut bytes = fs::read(path).unwrap();
    assert!(bytes.len() > 200, "{} is too small to be damaged in its middle", path.display());
    let middle = bytes.len() / 2;
    for byte in &mut bytes[middle..(middle + 4096).min(middle * 2)] {
        *byte ^= 0x5a;
    }
    bytes[..100].fill(0);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_queue_is_set_aside_and_everything_is_shipped_again() {
    let rastro = Rastro::new();
    shipped_only(&rastro);
    damage(&rastro.data_dir().join("broker/queue.db"));
    let running = Running::start(&rastro, &["run"]);
    wait_for_calls(&rastro, LINES);
    assert!(running.stop().success());
    let aside = fs::read_dir(rastro.data_dir().join("broker")).unwrap();
    assert!(aside.into_iter().any(|entry| entry.unwrap().file_name().to_string_lossy().contains("corrupt")));
    assert_eq!(rastro.json(&["datasets", "--json"])[0]["lost_lines"], 0);
}

#[test]
fn a_damaged_queue_whose_logs_are_gone_is_a_loss_told_to_the_last_line() {
    let rastro = Rastro::new();
    let log = shipped_only(&rastro);
    damage(&rastro.data_dir().join("broker/queue.db"));
    // The file was rotated away and deleted; what follows is a new one.
    fs::remove_file(&log).unwrap();
    fs::write(&log, made_up_log(100, 5)).unwrap();
    let running = Running::start(&rastro, &["run"]);
    wait_for_calls(&rastro, 100);
    assert!(running.stop().success());
    let datasets = rastro.json(&["datasets", "--json"]);
    assert_eq!(datasets[0]["lost_lines"], LINES, "{datasets}");
}

#[test]
fn a_damaged_checkpoint_costs_nothing_while_the_queue_knows() {
    let rastro = Rastro::new();
    let log = shipped_only(&rastro);
    for name in ["checkpoint.json", "checkpoint.previous.json"] {
        let path = rastro.data_dir().join("shipper").join(name);
        if path.exists() {
            fs::write(path, b"{ no json").unwrap();
        }
    }
    let more = made_up_log(500, 9);
    let mut all = fs::read(&log).unwrap();
    all.extend_from_slice(&more);
    fs::OpenOptions::new()
        .append(true)
        .open(&log)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &more))
        .unwrap();
    let running = Running::start(&rastro, &["run"]);
    wait_for_calls(&rastro, LINES + 500);
    assert!(running.stop().success());
    assert_eq!(rastro.json(&["datasets", "--json"])[0]["lost_lines"], 0);
}

#[test]
fn a_full_disk_stops_the_trail_and_loses_nothing() {
    let rastro = Rastro::new();
    let mount = rastro.data_dir();
    fs::create_dir_all(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "rastro-test"])
        .arg(&mount)
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("skipped: mounting a tmpfs is not permitted here");
        return;
    }
    let log = rastro.file("made-up.log", &made_up_log(60_000, 3)).display().to_string();
    let arguments = ["replay", &log, "--format", "rocha", "--dataset", "made-up", "--json"];
    // It cannot end before there is room: stop it after a while, as someone would who sees the warning.
    let running = Running::start(&rastro, &arguments);
    sleep(Duration::from_secs(4));
    drop(running);
    let remounted = Command::new("mount")
        .args(["-o", "remount,size=256m"])
        .arg(&mount)
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(remounted);
    let report = rastro.run(&arguments);
    let unmount = || Command::new("umount").arg("-l").arg(&mount).output();
    let text = String::from_utf8_lossy(&report.stdout).into_owned();
    let error = String::from_utf8_lossy(&report.stderr).into_owned();
    unmount().unwrap();
    assert!(report.status.success(), "{error}");
    let report = closed(serde_json::from_str(&text).unwrap());
    assert_eq!(report["calls_stored"], 60_000, "{report}");
}

#[test]
fn of_a_recording_that_is_cut_off_the_lines_before_are_stored_once() {
    let rastro = Rastro::new();
    let whole = fs::read(crate::demo::recording("attack")).unwrap();
    let path = rastro.file("cut.log.gz", &whole[..60_000]).display().to_string();
    let calls = || {
        let error = rastro.error(&["replay", &path, "--dataset", "cut"]);
        assert!(error.contains("cut.log.gz") && error.contains("stored in dataset `cut`"), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        rastro.json(&["datasets", "--json"])[0]["tally"]["calls_stored"].as_u64().unwrap()
    };
    let first = calls();
    assert!(first > 1_000, "{first}");
    assert_eq!(calls(), first);
}

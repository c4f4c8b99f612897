//! `rastro tail`: calls on the screen, and a quiet end.

use std::{
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{demo, support::Rastro};

#[test]
fn the_last_calls_of_a_recording_are_shown_as_its_header_says() {
    let rastro = Rastro::new();
    let path = demo::recording("attack").display().to_string();
    let lines = rastro.text(&["tail", "--no-follow", "-n", "50", &path]);
    assert!(lines.lines().count() > 20, "{lines}");
    assert!(lines.contains("python3/") && lines.contains("webshop"), "{lines}");
    assert!(!lines.contains('\x1b'), "no colours where there is no terminal");
    let line = rastro.text(&["tail", "--no-follow", "-n", "1", "--json", &path]);
    let call: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(call["container"], "webshop");
    assert!(call["time"].as_str().unwrap().ends_with('Z'));
    assert!(rastro.error(&["tail", "nobody"]).contains("`nobody`"));
}

#[test]
fn calls_are_shown_with_their_rarity_once_a_profile_exists() {
    let rastro = demo::scored();
    let path = demo::recording("attack").display().to_string();
    let lines = rastro.text(&["tail", "--no-follow", "-n", "100000", "--json", &path]);
    let calls: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rarity_of = |name: &str| {
        calls.iter().find(|call| call["name"] == name).map(|call| call["rarity"].as_str().unwrap().to_owned())
    };
    assert_eq!(rarity_of("futex").as_deref(), Some("usual"));
    assert_eq!(rarity_of("statfs").as_deref(), Some("never_seen"));
}

#[test]
fn a_new_line_appears_and_ctrl_c_ends_it_quietly() {
    let rastro = Rastro::new();
    let line = |number: u32, name: &str| {
        format!("{number} 2022-03-31T18:13:16.977633722+0000 < IPC {name} 0 -110  res=-110(ETIMEDOUT) \n")
    };
    let path = rastro.file("0123456789ab.log", line(1, "futex").as_bytes());
    let mut child = rastro
        .command(&["tail", &path.display().to_string(), "--format", "rocha"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = shown.next().unwrap().unwrap();
    assert!(first.contains("futex") && first.contains("-110 ETIMEDOUT"), "{first}");
    // The file is being watched from some moment after the first line on; what is written before it is not shown.
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    let (sender, received) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let second = shown.next().unwrap().unwrap();
        sender.send(second).unwrap();
        shown
    });
    let mut number = 2;
    let second = loop {
        file.write_all(line(number, "epoll_wait").as_bytes()).unwrap();
        number += 1;
        match received.recv_timeout(std::time::Duration::from_millis(200)) {
            Ok(second) => break second,
            Err(_) => assert!(number < 200, "nothing is shown"),
        }
    };
    assert!(second.contains("epoll_wait"), "{second}");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    drop(reader.join().unwrap());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

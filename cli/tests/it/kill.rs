//! kill -9 at random moments: the same command carries on, and every call is stored once.

use std::{thread::sleep, time::Duration};

use crate::support::{Rastro, closed, made_up_log};

/// A small generator, so that a failing seed can be run again.
fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

#[test]
fn a_replay_killed_at_random_moments_stores_and_scores_every_call_once() {
    const LINES: usize = 150_000;
    let log = made_up_log(LINES, 7);

    let undisturbed = Rastro::new();
    let path = undisturbed.file("made-up.log", &log).display().to_string();
    let arguments = ["replay", &path, "--format", "rocha", "--dataset", "made-up", "--json"];
    let expected = closed(undisturbed.json(&arguments));
    assert_eq!(expected["calls_stored"], LINES);

    for seed in 1..=4_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let rastro = Rastro::new();
        let path = rastro.file("made-up.log", &log).display().to_string();
        let arguments = ["replay", &path, "--format", "rocha", "--dataset", "made-up", "--json"];
        let mut kills = 0;
        for _ in 0..6 {
            let report = rastro.data_dir().with_extension("report");
            let mut child = rastro
                .command(&arguments)
                .stdout(std::fs::File::create(&report).unwrap())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            sleep(Duration::from_millis(20 + next(&mut random) % 700));
            if child.try_wait().unwrap().is_some() {
                // It had finished: a further run would be a new replay.
                break;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            let report = std::fs::read(&report).unwrap();
            if serde_json::from_slice::<serde_json::Value>(&report).is_ok() {
                // It has said that it was done, a moment before it was killed.
                break;
            }
            kills += 1;
        }
        let datasets = if kills == 6 {
            let report = closed(rastro.json(&arguments));
            assert_eq!(report["calls_stored"], expected["calls_stored"], "seed {seed}");
            assert_eq!(report["windows_scored"], expected["windows_scored"], "seed {seed}");
            rastro.json(&["datasets", "--json"])
        } else {
            rastro.json(&["datasets", "--json"])
        };
        assert_eq!(datasets[0]["tally"]["calls_stored"], LINES, "seed {seed} after {kills} kills");
        assert_eq!(datasets[0]["lost_lines"], 0, "seed {seed}");
    }
}

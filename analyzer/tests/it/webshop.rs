//! The webshop recordings: what normal recordings teach, attacks must show.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use rastro_analyzer::{Profile, Scorer, ScoringOptions, Trainer, TrainingOptions};
use rastro_model::{Alarm, Reason, Segment};

use crate::support::{Call, read_gzip, segments, shared_data};

/// Whether the recording is taken with its thread ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    Known,
    Unknown,
}

pub(crate) fn calls(folder: &Path, recording: usize, threads: Threads) -> Vec<Call> {
    let lines = read_gzip(&folder.join(format!("recordings/web-{recording:02}.log.gz")));
    let ids = read_gzip(&folder.join(format!("recordings/web-{recording:02}.threads.tsv.gz")));
    let ids = ids.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap().parse::<i64>().unwrap());
    lines
        .lines()
        .zip(ids)
        .map(|(line, id)| {
            let fields: Vec<&str> = line.split(' ').collect();
            Call {
                name: fields[4].to_owned(),
                thread: (threads == Threads::Known).then_some(id),
                time_ns: time_ns(fields[1]),
            }
        })
        .collect()
}

/// Nanoseconds of a time of 2026-11-21, as the recordings have it; the day counts as the first of all.
fn time_ns(text: &str) -> i64 {
    let clock = text.strip_prefix("2026-11-21T").unwrap().strip_suffix("+0000").unwrap();
    let (seconds, nanoseconds) = clock.split_once('.').unwrap();
    let seconds = seconds.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    seconds * 1_000_000_000 + nanoseconds.parse::<i64>().unwrap()
}

fn recording(folder: &Path, number: usize, threads: Threads, size: usize) -> Vec<Segment> {
    segments(number as u64, &format!("{number:012}"), &calls(folder, number, threads), size)
}

fn profile(folder: &Path, numbers: &[usize], threads: Threads, size: usize) -> Arc<Profile> {
    let mut trainer = Trainer::new("shop:1", &TrainingOptions::default());
    for &number in numbers {
        for segment in recording(folder, number, threads, size) {
            trainer.learn(&segment);
        }
    }
    Arc::new(trainer.finish(0))
}

/// The alarms of a recording as they were in the end, and for each model the highest raw score.
fn score(profile: &Arc<Profile>, segments: &[Segment]) -> (Vec<Alarm>, Vec<f64>) {
    let mut scorer = Scorer::new(profile.clone(), 1, ScoringOptions::default()).unwrap();
    let mut alarms: Vec<Alarm> = Vec::new();
    let mut highest = vec![0.0f64; profile.models().len()];
    for segment in segments {
        let scores = scorer.score_segment(segment);
        for (highest, model) in highest.iter_mut().zip(&scores) {
            *highest = model.frames.iter().fold(*highest, |highest, frame| highest.max(frame.raw));
        }
        for alarm in scorer.alarms(segment, &scores) {
            alarms.retain(|known| known.id != alarm.id);
            alarms.push(alarm);
        }
    }
    (alarms, highest)
}

/// Thread ids of the attack's process tree, and its first and last call counted from 0.
fn attack(folder: &Path, recording: usize) -> (HashSet<i64>, std::ops::RangeInclusive<u64>) {
    let table = read_gzip(&folder.join(format!("recordings/web-{recording:02}.threads.tsv.gz")));
    let mut threads = HashSet::new();
    let mut calls = Vec::new();
    for (call, line) in table.lines().skip(1).enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields[2] == "1" {
            threads.insert(fields[1].parse().unwrap());
            calls.push(call as u64);
        }
    }
    (threads, calls[0]..=calls[calls.len() - 1])
}

fn raw_thresholds(profile: &Profile) -> Vec<f64> {
    let models = profile.models().len();
    (0..models).map(|model| profile.calibration(model, 1.0, models).raw_threshold()).collect()
}

/// Every attack alarms, far above the threshold; no other recording does, far below it.
fn check(folder: &Path, profile: &Arc<Profile>, tested: &[usize], threads: Threads, size: usize) {
    let thresholds = raw_thresholds(profile);
    for &number in tested {
        let (alarms, highest) = score(profile, &recording(folder, number, threads, size));
        let is_attack = number >= 11;
        assert_eq!(!alarms.is_empty(), is_attack, "web-{number:02}, {threads:?} threads, segments of {size}");
        for (raw, threshold) in highest.iter().zip(&thresholds) {
            let margin = if is_attack { raw / threshold } else { threshold / raw };
            assert!(
                margin > 1.5,
                "web-{number:02}, {threads:?} threads, segments of {size}: raw {raw:.1}, threshold {threshold:.1}"
            );
        }
    }
}

#[test]
fn every_attack_alarms_and_no_normal_recording_does() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    for threads in [Threads::Known, Threads::Unknown] {
        for (training_size, size) in [(3000, 3000), (3000, 500), (500, 3000), (3000, 37)] {
            let profile = profile(&folder, &[1, 2, 3, 4, 5, 6], threads, training_size);
            check(&folder, &profile, &[7, 8, 9, 10, 11, 12, 13, 14], threads, size);
        }
    }
}

#[test]
fn two_recordings_are_enough_to_learn_from() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    for threads in [Threads::Known, Threads::Unknown] {
        let profile = profile(&folder, &[5, 6], threads, 3000);
        check(&folder, &profile, &[1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14], threads, 1000);
    }
}

#[test]
fn a_normal_recording_left_out_of_training_does_not_alarm() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    for threads in [Threads::Known, Threads::Unknown] {
        for left_out in 1..=6 {
            let others: Vec<usize> = (1..=6).filter(|&number| number != left_out).collect();
            let profile = profile(&folder, &others, threads, 3000);
            check(&folder, &profile, &[left_out], threads, 500);
        }
    }
}

#[test]
fn the_first_reason_is_the_first_new_thing_that_the_intruders_shell_did() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    let profile = profile(&folder, &[1, 2, 3, 4, 5, 6], Threads::Known, 3000);
    for number in 11..=14 {
        let (intruders, attacked) = attack(&folder, number);
        let segments = recording(&folder, number, Threads::Known, 3000);
        let mut scorer = Scorer::new(Arc::clone(&profile), 1, ScoringOptions::default()).unwrap();
        let mut scores = HashMap::new();
        let mut raised: Option<Alarm> = None;
        for segment in &segments {
            let scored = scorer.score_segment(segment);
            raised = raised.or(scorer.alarms(segment, &scored).into_iter().next());
            scores.insert(segment.id, scored);
        }
        let raised = raised.unwrap();
        let (segment, first_call) = raised.first;
        let stide =
            scores[&segment].iter().find(|model| model.detector == "stide" && model.window == 6).unwrap();
        let frame = stide.frames.iter().find(|frame| frame.first_call == first_call).unwrap();
        let Some(Reason::UnseenSequence { calls, ends_at, thread, .. }) = frame.reasons.first() else {
            panic!("web-{number}: {:?}", frame.reasons);
        };
        let call = segment.start.offset + u64::from(*ends_at);
        assert!(
            attacked.contains(&call) && call < attacked.start() + 700,
            "web-{number}: {call} of {attacked:?}"
        );
        assert!(intruders.contains(&thread.unwrap()), "web-{number}: thread {thread:?}");
        let told = calls.join(" ");
        if number <= 12 {
            // A shell whose first command has ended looks for the next one, where the shop's own shells exit.
            assert_eq!(told, "vfork rt_sigprocmask wait4 rt_sigreturn wait4 newfstatat", "web-{number}");
            assert!(call < attacked.start() + 300, "web-{number}: {call} of {attacked:?}");
        }
        assert!(!told.contains("exit_group"), "web-{number}: {told}");
    }
}

#[test]
fn the_ensemble_and_the_context_model_find_every_attack_and_nothing_else() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    for threads in [Threads::Known, Threads::Unknown] {
        let mut trainer = Trainer::new("shop:1", &crate::support::options(&["ensemble", "context"]));
        for number in 1..=6 {
            for segment in recording(&folder, number, threads, 3000) {
                trainer.learn(&segment);
            }
        }
        let profile = Arc::new(trainer.finish(0));
        for size in [3000, 37] {
            check(&folder, &profile, &[7, 8, 9, 10, 11, 12, 13, 14], threads, size);
        }
    }
}

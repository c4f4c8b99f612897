//! The webshop recordings: what normal recordings teach, attacks must show.

use std::{path::Path, sync::Arc};

use rastro_analyzer::{Profile, Scorer, ScoringOptions, Trainer, TrainingOptions};
use rastro_model::{Alarm, Segment};

use crate::support::{Call, read_gzip, segments, shared_data};

/// Whether the recording is taken with its thread ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    Known,
    Unknown,
}

fn calls(folder: &Path, recording: usize, threads: Threads) -> Vec<Call> {
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

#[test]
fn every_attack_alarms_and_no_normal_recording_does() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    for threads in [Threads::Known, Threads::Unknown] {
        for (training_size, size) in [(3000, 3000), (3000, 500), (500, 3000), (3000, 37)] {
            let profile = profile(&folder, &[1, 2, 3, 4, 5, 6], threads, training_size);
            let thresholds: Vec<f64> =
                (0..4).map(|model| profile.calibration(model, 1.0, 4).raw_threshold()).collect();
            eprintln!(
                "{threads:?} threads, trained in {training_size}, scored in {size}: thresholds {thresholds:.1?}, {:.0?} frames/day",
                profile.frames_per_day()
            );
            for model in 0..4 {
                eprintln!("  {}", profile.calibration(model, 1.0, 4).describe());
            }
            for number in 7..=14 {
                let (alarms, highest) = score(&profile, &recording(&folder, number, threads, size));
                eprintln!("  web-{number:02}: raw {highest:.1?}, {} alarms", alarms.len());
                assert_eq!(
                    !alarms.is_empty(),
                    number >= 11,
                    "web-{number:02}, {threads:?} threads, segments of {size}"
                );
            }
        }
    }
}

#[test]
fn a_normal_recording_left_out_of_training_does_not_alarm() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    for threads in [Threads::Known, Threads::Unknown] {
        for left_out in 1..=6 {
            let others: Vec<usize> = (1..=6).filter(|&number| number != left_out).collect();
            let profile = profile(&folder, &others, threads, 3000);
            let (alarms, highest) = score(&profile, &recording(&folder, left_out, threads, 500));
            let thresholds: Vec<f64> =
                (0..4).map(|model| profile.calibration(model, 1.0, 4).raw_threshold()).collect();
            eprintln!(
                "{threads:?} threads, without web-{left_out:02}: raw {highest:.1?}, thresholds {thresholds:.1?}"
            );
            assert_eq!(alarms, [], "web-{left_out:02}, {threads:?} threads");
        }
    }
}

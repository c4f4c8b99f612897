//! How well does the neural model tell ADFA-LD's attacks from its normal traces?
//! `cargo run --release -p rastro-analyzer --features neural --example adfa_neural [KEY=VALUE…]`, with keys `epochs`, `units`, `embedding`,
//! `lanes`, `horizon`, `rate`, `seed`.
//!
//! Trains on the training traces alone; prints how long it took, the area under the ROC curve and detection rates at 1, 5, 10, 15 and 20 %
//! false alarms of the mean surprise of a trace's calls.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people at the command line")]

use std::{io::Read, path::PathBuf, time::Instant};

use rastro_analyzer::{
    neural::{FitOptions, fit},
    roc::Roc,
};

fn read(name: &str) -> Vec<Vec<u16>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/adfa-ld").join(name);
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(&path) {
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    }
    text.lines().map(|line| line.split(' ').filter_map(|call| call.parse().ok()).collect()).collect()
}

fn main() {
    let (train, normal, attack) = (read("training.txt.gz"), read("validation.txt.gz"), read("attack.txt.gz"));
    if train.is_empty() || normal.is_empty() || attack.is_empty() {
        eprintln!("skipped: the shared data `adfa-ld` is not here");
        return;
    }
    let mut options = FitOptions::default();
    for argument in std::env::args().skip(1) {
        let (key, value) = argument.split_once('=').unwrap();
        match key {
            "epochs" => options.epochs = value.parse().unwrap(),
            "units" => options.units = value.parse().unwrap(),
            "embedding" => options.embedding = value.parse().unwrap(),
            "lanes" => options.lanes = value.parse().unwrap(),
            "horizon" => options.horizon = value.parse().unwrap(),
            "rate" => options.learning_rate = value.parse().unwrap(),
            "seed" => options.seed = value.parse().unwrap(),
            _ => panic!("{key} is no key"),
        }
    }
    let sequences: Vec<(&[u16], u64)> = train.iter().map(|trace| (trace.as_slice(), 1)).collect();
    let begin = Instant::now();
    let network = fit(&sequences, &options).unwrap();
    let training = begin.elapsed();
    let begin = Instant::now();
    let mut calls = 0usize;
    let mut score = |traces: &[Vec<u16>]| -> Vec<f64> {
        let mean = |trace: &Vec<u16>| {
            calls += trace.len();
            let sum: f64 = network.surprises(trace).iter().map(|surprise| f64::from(surprise.nats)).sum();
            sum / trace.len().max(1) as f64
        };
        traces.iter().map(mean).collect()
    };
    let (of_train, of_normal, of_attack) = (score(&train), score(&normal), score(&attack));
    let scoring = begin.elapsed();
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    println!("{options:?}: {} weights", network.weights());
    println!(
        "trained in {training:.1?}; scored {:.3} M calls/s; mean nats a call: training {:.3}, validation {:.3}, attack {:.3}",
        calls as f64 / scoring.as_secs_f64() / 1e6,
        mean(&of_train),
        mean(&of_normal),
        mean(&of_attack),
    );
    let roc = Roc::of(&of_normal, &of_attack).unwrap();
    let rates: Vec<String> =
        [0.01, 0.05, 0.1, 0.15, 0.2].map(|rate| format!("{:.3}", roc.detection_rate_at(rate))).into();
    println!("AUC {:.4}, detection rates {}", roc.auc, rates.join(" "));
}

//! Recordings judged as they would be live.

use rastro_analyzer::{
    ModelSpec,
    evaluation::{EvaluationOptions, Part, Recordings, Truth, evaluate_recordings},
};
use rastro_model::Segment;

use crate::support::{Call, calls_of, segments};

struct Made {
    parts: Vec<Part>,
    recordings: Vec<(Vec<Segment>, Truth)>,
}

impl Recordings for Made {
    type Error = String;

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn read(&self, place: usize, each: &mut dyn FnMut(&Segment)) -> Result<Truth, String> {
        let (segments, truth) = &self.recordings[place];
        if segments.is_empty() {
            return Err(format!("recording {place} is damaged"));
        }
        segments.iter().for_each(each);
        Ok(truth.clone())
    }
}

/// The work of a shop: so many rounds, with something else in the middle.
fn work(rounds: usize, within: &[&str]) -> Vec<Call> {
    let round = ["accept", "read", "open", "read", "close", "write"];
    let half = round.repeat(rounds / 2);
    calls_of(1, &[&half[..], within, &half[..]].concat())
}

fn made() -> Made {
    let attack = ["socket", "dup2", "execve", "connect", "setuid", "chmod"].repeat(50);
    let mut made = Made { parts: Vec::new(), recordings: Vec::new() };
    let mut add = |part, calls: &[Call], truth: Truth| {
        let number = made.parts.len() as u64;
        made.parts.push(part);
        made.recordings.push((segments(number, &format!("{number:012x}"), calls, 500), truth));
    };
    for rounds in 100..104 {
        add(Part::Train, &work(20 * rounds, &[]), Truth::default());
        add(Part::Calibrate, &work(rounds + 30, &[]), Truth::default());
        add(Part::Normal, &work(rounds + 50, &[]), Truth::default());
        let calls = work(200, &attack);
        let truth = Truth { kind: Some("shell".to_owned()), since_ns: Some(calls[600].time_ns) };
        add(Part::Attack, &calls, truth);
    }
    made
}

fn options(cores: usize) -> EvaluationOptions {
    EvaluationOptions { cores, resamples: 40, ..EvaluationOptions::default() }
}

#[test]
fn an_attack_is_told_from_what_lies_before_it_and_from_normal_recordings() {
    let models = ["stide:n=6", "bosc:w=6"].map(|text| ModelSpec::parse(text).unwrap());
    let evaluation = evaluate_recordings(&made(), &models, 100, &options(2), &|_, _| {}).unwrap();
    assert_eq!(
        (evaluation.train.0, evaluation.calibrate.0, evaluation.normal.0, evaluation.attack.0),
        (4, 4, 4, 4)
    );
    for measured in &evaluation.detectors {
        assert!(
            (measured.accuracy.roc.auc - 1.0).abs() < 1e-12,
            "{}: {}",
            measured.detector,
            measured.accuracy.roc.auc
        );
        // Four normal recordings, and the four beginnings of the attacked ones.
        let realised = measured.realised.unwrap();
        assert_eq!((realised.held_out, realised.false_alarm_rate, realised.detection_rate), (4, 0.0, 1.0));
        let own = measured.own_threshold.unwrap();
        assert_eq!((own.false_alarm_rate, own.detection_rate), (0.0, 1.0));
        // The attack begins where the frame does, 600 calls in, and that frame alarms.
        let delay = measured.delay.unwrap();
        assert_eq!((delay.detected, delay.median_calls), (4, 100));
        assert_eq!(measured.accuracy.kinds[0].kind, "shell");
    }
    let again = evaluate_recordings(&made(), &models, 100, &options(1), &|_, _| {}).unwrap();
    let accuracies = |evaluation: &rastro_analyzer::evaluation::Evaluation| {
        evaluation.detectors.iter().map(|measured| measured.accuracy.clone()).collect::<Vec<_>>()
    };
    assert_eq!(accuracies(&evaluation), accuracies(&again));
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let models = [ModelSpec::parse("stide").unwrap()];
    let mut without = made();
    without.parts.iter_mut().for_each(|part| {
        if *part == Part::Attack {
            *part = Part::Normal;
        }
    });
    let error = evaluate_recordings(&without, &models, 100, &options(1), &|_, _| {}).unwrap_err();
    assert!(error.to_string().contains("no attack trace"), "{error}");
    let mut damaged = made();
    damaged.recordings[3].0.clear();
    let error = evaluate_recordings(&damaged, &models, 100, &options(2), &|_, _| {}).unwrap_err();
    assert_eq!(error.to_string(), "recording 3 is damaged");
}

//! What calls were given, what they returned and how long they took: on the webshop recordings, and on calls with paths.

use std::{path::Path, sync::Arc};

use rastro_analyzer::{
    Profile, Scorer, ScoringOptions, THRESHOLD,
    alphabet::{Alphabet, Symbol},
    behaviour::{
        ArgumentsModel, BehaviourModel, CallFrame, Finding, Judgement, TimeSource, TimingModel, Unusual,
    },
};
use rastro_model::{CallFigure, Detail, Reason, Segment, segment::flag};

use crate::{
    support::{calls_of, read_gzip, segments, shared_data, trained},
    webshop::{Threads, calls},
};

const FRAME: usize = 256;
const ALL_NAMES: usize = 1000;

/// A recording with results, latencies and arguments.
fn recording(folder: &Path, number: usize, size: usize) -> Vec<Segment> {
    let mut segments = segments(number as u64, "0123456789ab", &calls(folder, number, Threads::Known), size);
    let text = read_gzip(&folder.join(format!("recordings/web-{number:02}.log.gz")));
    for (call, line) in text.lines().enumerate() {
        let columns = &mut segments[call / size].calls;
        let place = call % size;
        let fields: Vec<&str> = line.split(' ').collect();
        columns.latency_ns[place] = fields[5].parse().unwrap();
        columns.flags[place] = if columns.latency_ns[place] > 0 { flag::LATENCY } else { 0 };
        if let Ok(result) = fields[6].parse() {
            columns.result[place] = result;
            columns.flags[place] |= flag::RESULT;
        }
        let arguments = fields[8..].join(" ");
        columns.args_length[place] = arguments.trim().len() as u32;
        columns.argc[place] = arguments.matches('=').count() as u16;
    }
    segments
}

#[derive(Default, Clone)]
struct Models {
    alphabet: Alphabet,
    arguments: ArgumentsModel,
    timing: TimingModel,
}

impl Models {
    fn learned<'segment>(segments: impl IntoIterator<Item = &'segment Segment>) -> Self {
        let mut models = Self::default();
        for segment in segments {
            let symbols = models.symbols(segment);
            for frame in CallFrame::all(segment, &symbols, FRAME) {
                models.arguments.learn(&frame);
                models.timing.learn(&frame);
            }
        }
        models
    }

    fn of_recordings(folder: &Path, numbers: &[usize]) -> Self {
        let all: Vec<Segment> = numbers.iter().flat_map(|&number| recording(folder, number, 3072)).collect();
        Self::learned(&all)
    }

    fn symbols(&mut self, segment: &Segment) -> Vec<Symbol> {
        segment.calls.kinds.iter().map(|kind| self.alphabet.intern(&kind.name, ALL_NAMES)).collect()
    }

    /// Judgements of both models for every frame.
    fn judge(&mut self, segments: &[Segment]) -> Vec<(Judgement, Judgement)> {
        let mut judgements = Vec::new();
        for segment in segments {
            let symbols = self.symbols(segment);
            let frames = CallFrame::all(segment, &symbols, FRAME);
            judgements.extend(frames.map(|frame| (self.arguments.judge(&frame), self.timing.judge(&frame))));
        }
        judgements
    }

    fn highest(&mut self, segments: &[Segment]) -> (f64, f64) {
        let judgements = self.judge(segments);
        judgements.iter().fold((0.0, 0.0), |highest: (f64, f64), (arguments, timing)| {
            (highest.0.max(arguments.raw), highest.1.max(timing.raw))
        })
    }
}

#[test]
fn results_and_sizes_of_attacks_are_far_from_those_of_normal_work() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    let mut models = Models::of_recordings(&folder, &[1, 2, 3, 4, 5, 6]);
    let mut highest = |number| models.highest(&recording(&folder, number, 3072));
    let normal: Vec<(f64, f64)> = (7..=10).map(&mut highest).collect();
    let attacks: Vec<(f64, f64)> = (11..=14).map(&mut highest).collect();
    let of = |scores: &[(f64, f64)], which: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let mut scores: Vec<f64> = scores.iter().map(which).collect();
        scores.sort_by(f64::total_cmp);
        scores
    };
    let (normal_arguments, attack_arguments) = (of(&normal, |s| s.0), of(&attacks, |s| s.0));
    assert!(
        normal_arguments[3] < 4.0 && attack_arguments[0] > 3.0 * normal_arguments[3],
        "{normal_arguments:?} {attack_arguments:?}"
    );
    let (normal_timing, attack_timing) = (of(&normal, |s| s.1), of(&attacks, |s| s.1));
    assert!(attack_timing[0] > normal_timing[3], "{normal_timing:?} {attack_timing:?}");
}

/// Puts what a finding names back to what is usual.
fn undo(segment: &mut Segment, calls: std::ops::Range<usize>, finding: &Finding, reason: &Reason) {
    let columns = &mut segment.calls;
    let name = match reason {
        Reason::UnusualOutcome { name, .. } | Reason::UnusualFigure { name, .. } => name.clone(),
        other => panic!("{other:?}"),
    };
    for call in calls {
        if columns.name(call) != name {
            continue;
        }
        match &finding.what {
            Unusual::Outcome { .. } => columns.flags[call] &= !flag::RESULT,
            Unusual::Figure { figure: CallFigure::ArgumentLength, usual, .. } => {
                columns.args_length[call] = usual.0 as u32;
            }
            Unusual::Figure { figure: CallFigure::BytesMoved, usual, .. } => {
                columns.result[call] = columns.result[call].min(usual.1 as i64).max(usual.0 as i64);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_named_is_what_made_the_score() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    let mut models = Models::of_recordings(&folder, &[1, 2, 3, 4, 5, 6]);
    let normal =
        (7..=10).map(|number| models.highest(&recording(&folder, number, 3072)).0).fold(0.0, f64::max);
    for number in 11..=14 {
        let mut segments = recording(&folder, number, FRAME);
        let judged = models.judge(&segments);
        let worst = (0..judged.len()).max_by(|&a, &b| judged[a].0.raw.total_cmp(&judged[b].0.raw)).unwrap();
        let named = judged[worst].0.findings.len();
        let segment = &mut segments[worst];
        let symbols = models.symbols(segment);
        let mut undone = 0;
        loop {
            let judgement = models.arguments.judge(&CallFrame::new(segment, &symbols, 0..FRAME));
            if judgement.raw <= normal.max(1.0) {
                break;
            }
            let heaviest = judgement.findings[0].clone();
            let reason = heaviest.reason(&CallFrame::new(segment, &symbols, 0..FRAME));
            undo(segment, 0..FRAME, &heaviest, &reason);
            let after = models.arguments.judge(&CallFrame::new(segment, &symbols, 0..FRAME)).raw;
            assert!(after < judgement.raw - heaviest.weight / 2.0, "web-{number}: {reason:?}, {after}");
            undone += 1;
            assert!(undone <= named + 2, "web-{number}: {judgement:?}");
        }
        assert!(undone > 0);
    }
}

#[test]
fn the_failures_of_an_intruder_are_told_with_their_share_in_training() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    let mut models = Models::of_recordings(&folder, &[1, 2, 3, 4, 5, 6]);
    for number in [11, 12] {
        let mut reasons = Vec::new();
        for segment in recording(&folder, number, 3072) {
            let symbols = models.symbols(&segment);
            for frame in CallFrame::all(&segment, &symbols, FRAME) {
                let judgement = models.arguments.judge(&frame);
                reasons.extend(
                    judgement.findings.first().map(|finding| (judgement.raw, finding.reason(&frame))),
                );
            }
        }
        let (_, worst) = reasons.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        let Reason::UnusualOutcome { name, times, calls, trained_times, trained_calls, .. } = worst else {
            panic!("web-{number}: {worst:?}");
        };
        // A shell that looks for its programs and files asks for many that are not there.
        assert!(name == "newfstatat" || name == "openat", "web-{number}: {name}");
        assert!(2 * times > calls && 10 * trained_times < trained_calls, "web-{number}");
    }
}

#[test]
fn a_source_without_times_teaches_nothing_about_time_and_is_told_so() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    let without_times = |number: usize| {
        let mut segments = recording(&folder, number, 3072);
        for (place, segment) in segments.iter_mut().enumerate() {
            segment.calls.latency_ns.fill(0);
            for (call, time_ns) in segment.calls.time_ns.iter_mut().enumerate() {
                *time_ns = ((place * 3072 + call) as i64) * 1000;
            }
        }
        segments
    };
    let training: Vec<Segment> = (1..=3).flat_map(without_times).collect();
    let mut still = training.clone();
    for segment in &mut still {
        segment.calls.time_ns.fill(0);
        segment.calls.flags.fill(0);
    }
    let mut models = Models::learned(&still);
    assert_eq!(models.timing.latency_source(), TimeSource::Uninformative);
    assert_eq!(models.timing.clock_source(), TimeSource::Uninformative);
    let told = models.timing.describe();
    assert!(told.contains("no latencies") && told.contains("clock"), "{told}");
    assert!(models.highest(&recording(&folder, 11, 3072)).1.to_bits() == 0);
    // And where training had times, a source that has none does not look slow or fast for it.
    let mut models = Models::of_recordings(&folder, &[1, 2, 3]);
    assert_eq!(models.timing.latency_source(), TimeSource::Real);
    for (_, timing) in models.judge(&training) {
        let is_latency =
            |finding: &Finding| matches!(finding.what, Unusual::Figure { figure: CallFigure::LatencyNs, .. });
        assert!(!timing.findings.iter().any(is_latency));
    }
}

#[test]
fn learning_can_be_cut_divided_merged_and_stored() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    let mut whole = Models::of_recordings(&folder, &[1, 2, 3, 4]);
    let cut: Vec<Segment> = (1..=4).flat_map(|number| recording(&folder, number, FRAME)).collect();
    let cut = Models::learned(&cut);
    assert!(cut.arguments == whole.arguments && cut.timing == whole.timing);
    let mut merged = Models::of_recordings(&folder, &[3, 4]);
    let mut other = Models::of_recordings(&folder, &[2, 1]);
    let symbols: Vec<Symbol> =
        other.alphabet.names().iter().map(|name| merged.alphabet.intern(name, ALL_NAMES)).collect();
    merged.arguments.merge(&other.arguments, &symbols);
    merged.timing.merge(&other.timing, &symbols);
    let attack = recording(&folder, 13, 3072);
    let raws = |models: &mut Models| -> Vec<(u64, u64)> {
        models.judge(&attack).iter().map(|(a, t)| (a.raw.to_bits(), t.raw.to_bits())).collect()
    };
    let expected = raws(&mut whole);
    assert_eq!(raws(&mut merged), expected);
    let bytes = postcard::to_stdvec(&(&whole.arguments, &whole.timing)).unwrap();
    let (arguments, timing): (ArgumentsModel, TimingModel) = postcard::from_bytes(&bytes).unwrap();
    arguments.check(whole.alphabet.len()).unwrap();
    timing.check(whole.alphabet.len()).unwrap();
    assert!(arguments.check(3).is_err() && timing.check(3).is_err());
    let mut stored = Models { alphabet: whole.alphabet.clone(), arguments, timing };
    assert_eq!(raws(&mut stored), expected);
    other.arguments = ArgumentsModel::default();
    assert!(other.arguments.judge(&CallFrame::new(&attack[0], &[], 0..FRAME)).findings.is_empty());
}

/// Calls of one name with these arguments.
fn with_arguments(name: &str, arguments: &[&str]) -> Segment {
    let names = vec![name; arguments.len()];
    let mut segment = segments(1, "host", &calls_of(1, &names), arguments.len()).remove(0);
    segment.details = arguments
        .iter()
        .enumerate()
        .map(|(call, text)| Detail { call: call as u32, arguments: (*text).to_owned() })
        .collect();
    segment
}

#[test]
fn programs_and_places_never_seen_are_named_and_what_only_differs_in_digits_is_not() {
    let normal = |run: usize| {
        let opened =
            [format!("fd=3 name=/var/log/app/run-{run}.log flags=1"), format!("name=/proc/{run}/status ")];
        let opened = with_arguments("openat", &[&opened[0], &opened[1]]);
        [
            opened,
            with_arguments("execve", &["res=0 exe=/usr/bin/getent args=hosts. filename=/usr/bin/getent "]),
        ]
    };
    let training: Vec<Segment> = (0..400).flat_map(normal).collect();
    let mut models = Models::learned(&training);
    assert!(models.highest(&normal(98_765)).0.to_bits() == 0);
    let strange = [
        with_arguments("openat", &["name=/etc/shadow ", "name=/root/.ssh/id_rsa ", "name=/proc/7/status "]),
        with_arguments("execve", &["filename=/tmp/.x/miner "]),
    ];
    let mut told = Vec::new();
    for segment in &strange {
        let symbols = models.symbols(segment);
        let frame = CallFrame::new(segment, &symbols, 0..FRAME);
        let judgement = models.arguments.judge(&frame);
        assert!(judgement.raw > 2.0, "{judgement:?}");
        told.push(judgement.findings[0].reason(&frame));
    }
    let Reason::UnseenPath { name, path, shapes, trained, call, .. } = &told[0] else { panic!("{told:?}") };
    assert_eq!(
        (name.as_str(), path.as_str(), *shapes, *trained, *call),
        ("openat", "/etc/shadow", 2, 800, 0)
    );
    let Reason::UnseenPath { path, shape, .. } = &told[1] else { panic!("{told:?}") };
    assert_eq!((path.as_str(), shape.as_str()), ("/tmp/.x/miner", "/tmp/.x/miner"));
}

#[test]
fn columns_that_were_not_read_are_not_judged() {
    let segment = with_arguments("openat", &["name=/etc/passwd "; 40]);
    let mut models = Models::learned([&segment; 20]);
    let mut sequence_only = segment.clone();
    sequence_only.details.clear();
    let columns = &mut sequence_only.calls;
    for column in [&mut columns.latency_ns, &mut columns.number] {
        column.clear();
    }
    columns.result.clear();
    columns.argc.clear();
    columns.args_length.clear();
    columns.flags.clear();
    assert!(models.highest(&[sequence_only]).0.to_bits() == 0);
}

/// For each model the highest score of a recording and the reasons of that frame, and whether anything alarmed.
fn scored(profile: &Arc<Profile>, segments: &[Segment]) -> (Vec<(f64, Vec<Reason>)>, bool) {
    let mut scorer = Scorer::new(Arc::clone(profile), 1, ScoringOptions::default()).unwrap();
    let mut highest: Vec<(f64, Vec<Reason>)> = vec![(-1.0, Vec::new()); profile.models().len()];
    let mut alarmed = false;
    for segment in segments {
        let scores = scorer.score_segment(segment);
        alarmed |= !scorer.alarms(segment, &scores).is_empty();
        for (highest, model) in highest.iter_mut().zip(&scores) {
            for frame in &model.frames {
                if frame.score > highest.0 {
                    *highest = (frame.score, frame.reasons.clone());
                }
            }
        }
    }
    (highest, alarmed)
}

#[test]
fn as_detectors_they_tell_attacks_from_normal_work_and_say_why() {
    let Some(folder) = shared_data("webshop-strace") else { return };
    let training: Vec<Segment> = (1..=6).flat_map(|number| recording(&folder, number, 3000)).collect();
    let profile = trained(&["arguments", "timing"], &training);
    let stored = Arc::new(Profile::from_bytes(&profile.to_bytes()).unwrap());
    let profile = Arc::new(profile);
    let mut arguments = Vec::new();
    for number in 7..=14 {
        let segments = recording(&folder, number, 1000);
        let (highest, alarmed) = scored(&profile, &segments);
        assert_eq!(scored(&stored, &segments), (highest.clone(), alarmed));
        // A search for what is not there fails as normal work never does. A command that only reads what is there does not, though
        // it is the strangest of all that did not alarm.
        assert_eq!(alarmed, number == 11 || number == 12, "web-{number}: {highest:?}");
        assert!(highest[1].0 < THRESHOLD, "web-{number}: {highest:?}");
        let (score, reasons) = &highest[0];
        if number >= 11 {
            let is_behaviour = |reason: &Reason| {
                matches!(reason, Reason::UnusualOutcome { .. } | Reason::UnusualFigure { .. })
            };
            assert!(!reasons.is_empty() && reasons.iter().all(is_behaviour), "web-{number}: {reasons:?}");
        }
        arguments.push(*score);
    }
    let (normal, attacks) = arguments.split_at(4);
    let highest = normal.iter().copied().fold(0.0, f64::max);
    assert!(attacks.iter().all(|&attack| attack > 2.0 * highest), "{normal:?} {attacks:?}");
}

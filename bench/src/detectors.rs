//! Scoring segments of interleaved threads.

mod python;

use std::{collections::HashMap, hint::black_box, sync::Arc};

use anyhow::{bail, ensure};
use rastro_analyzer::{
    ModelSpec, Profile, Scorer, ScoringOptions, Trainer, TrainingOptions, detector::Judge,
};
use rastro_model::Segment;

use crate::{
    Settings,
    chunks::Chunks,
    generate::Layout,
    measure::{fastest, rate},
    naive::{self, NaiveCall},
    parsing,
    report::Report,
};

const THREADS: usize = 32;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let (train, test, rounds) =
        if settings.quick { (500_000, 200_000, 7) } else { (2_000_000, 1_000_000, 15) };
    let train = segments(11, train)?;
    let test = segments(12, test)?;
    let mut names = Names::default();
    let naive_train = names.calls_of(&train);
    let naive_test = names.calls_of(&test);
    let calls = naive_test.len() as u64;

    for (title, model) in [("STIDE n=6", "stide:n=6"), ("BoSC w=10", "bosc:w=10")] {
        let spec = ModelSpec::parse(model)?;
        let profile = Arc::new(train_profile(&spec, &train));
        let width = spec.window() as usize;
        let is_stide = spec.detector() == "stide";
        let known = if is_stide {
            naive::learn_stide(&naive_train, width)
        } else {
            naive::learn_bosc(&naive_train, width)
        };
        let score_naive = if is_stide { naive::score_stide } else { naive::score_bosc };

        let (mut our_unseen, mut naive_unseen) = (0, 0);
        let unexplained = ScoringOptions { explain_from: f64::INFINITY, ..ScoringOptions::default() };
        let mut ours = || {
            our_unseen = score(&profile, &unexplained, &test)?;
            Ok(())
        };
        let mut with_reasons = || score(&profile, &ScoringOptions::default(), &test).map(|_| ());
        let mut peer = || {
            naive_unseen = score_naive(&known, black_box(&naive_test), width);
            Ok(())
        };
        // The same work without threads, frames and scores: the calls thread by thread through the detector's inner loop.
        let mut detector = spec.create();
        detector.learn(&thread_by_thread(&naive_train), 0);
        let Judge::Calls(judge) = detector.judge(names.0.len()) else {
            bail!("{title} does not judge call by call");
        };
        let symbols = thread_by_thread(&naive_test);
        let mut verdicts = vec![0; symbols.len()];
        let mut inner = || {
            judge.judge(black_box(&symbols), 0, &mut verdicts);
            Ok(())
        };
        let [ours, with_reasons, peer, inner] =
            fastest(rounds, [&mut ours, &mut with_reasons, &mut peer, &mut inner])?;
        ensure!(
            our_unseen == naive_unseen,
            "{title}: we found {our_unseen} unseen windows, the naive version {naive_unseen}"
        );
        let peer_name = format!(
            "HashSet of vectors, the same calls and verdicts ({} windows known, {our_unseen} of {calls} unseen)",
            known.len()
        );
        report.add(
            &format!("detectors: {title}, segments of {THREADS} threads to scored frames"),
            rate(calls, ours),
            "calls/s",
            &peer_name,
            rate(calls, peer),
        );
        report.add(
            &format!("detectors: {title}, with reasons for the strongest frames"),
            rate(calls, with_reasons),
            "calls/s",
            "the same without reasons",
            rate(calls, ours),
        );
        report.add(
            &format!("detectors: {title}, verdicts alone, thread by thread"),
            rate(calls, inner),
            "calls/s",
            "segments of interleaved threads to scored frames",
            rate(calls, ours),
        );
        if is_stide && !settings.quick {
            // Python is slow enough for a part of the calls to tell.
            let part = naive_test.len().min(300_000);
            if let Some(python) = python::stide(&naive_train, &naive_test[..part], width)? {
                let expected =
                    naive::score_stide(&naive::learn_stide(&naive_train, width), &naive_test[..part], width);
                ensure!(
                    python.unseen == expected,
                    "Python found {} unseen windows, we {expected}",
                    python.unseen
                );
                report.add(
                    &format!("detectors: {title} beside Python"),
                    rate(calls, ours),
                    "calls/s",
                    "python3, a set of tuples and a deque a thread",
                    rate(part as u64, python.time),
                );
            }
        }
    }
    Ok(())
}

fn segments(seed: u64, lines: u64) -> anyhow::Result<Vec<Segment>> {
    let mut transformer = parsing::transformer()?;
    let made = Chunks::generate(seed, Layout::Default, THREADS, lines)?;
    let segments: Vec<Segment> =
        made.list.iter().flat_map(|chunk| transformer.transform(chunk).segments).collect();
    let calls: usize = segments.iter().map(|segment| segment.calls.len()).sum();
    ensure!(calls as u64 == made.lines, "{calls} calls came of {} lines", made.lines);
    Ok(segments)
}

/// Scores segments anew; returns how many windows are not known.
fn score(profile: &Arc<Profile>, options: &ScoringOptions, segments: &[Segment]) -> anyhow::Result<u64> {
    let mut scorer = Scorer::new(Arc::clone(profile), 1, options.clone())?;
    let mut unseen = 0;
    for segment in segments {
        for scores in black_box(scorer.score_segment(segment)) {
            unseen += scores.frames.iter().map(|frame| u64::from(frame.unseen)).sum::<u64>();
        }
    }
    Ok(unseen)
}

fn train_profile(spec: &ModelSpec, segments: &[Segment]) -> Profile {
    let options = TrainingOptions { models: vec![spec.clone()], ..TrainingOptions::default() };
    let mut trainer = Trainer::new("bench", &options);
    for segment in segments {
        trainer.learn(segment);
    }
    trainer.finish(0)
}

/// The calls of one thread behind those of another.
fn thread_by_thread(calls: &[NaiveCall]) -> Vec<u16> {
    let mut sorted = calls.to_vec();
    sorted.sort_by_key(|&(thread, _)| thread);
    sorted.into_iter().map(|(_, call)| call).collect()
}

/// Numbers for the names of calls, over all segments.
#[derive(Default)]
struct Names(HashMap<String, u16>);

impl Names {
    fn calls_of(&mut self, segments: &[Segment]) -> Vec<NaiveCall> {
        let mut calls = Vec::new();
        for segment in segments {
            let columns = &segment.calls;
            let numbers: Vec<u16> = columns
                .kinds
                .iter()
                .map(|kind| {
                    let next = self.0.len() as u16;
                    *self.0.entry(kind.name.clone()).or_insert(next)
                })
                .collect();
            let threads: Vec<u32> =
                columns.threads.iter().map(|thread| thread.id.unwrap_or_default() as u32).collect();
            calls.extend(
                columns
                    .thread
                    .iter()
                    .zip(&columns.kind)
                    .map(|(&thread, &kind)| (threads[thread as usize], numbers[usize::from(kind)])),
            );
        }
        calls
    }
}

//! Scores: what they depend on, and what they do not.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use proptest::prelude::*;
use rastro_analyzer::{ModelSpec, Profile, Scorer, ScorerError, ScoringOptions};
use rastro_model::{Gap, GapReason, Segment, SegmentScores};

use crate::support::{Call, any_calls, calls_of, segment, segments, trained};

const MODELS: [&str; 3] = ["stide:n=3", "stide:n=6", "bosc:w=4"];

fn scorer(profile: &Arc<Profile>, frame: u32) -> Scorer {
    let options = ScoringOptions { frame, ..ScoringOptions::default() };
    Scorer::new(Arc::clone(profile), 3, options).unwrap()
}

fn score_all(scorer: &mut Scorer, segments: &[Segment]) -> Vec<SegmentScores> {
    segments.iter().flat_map(|segment| scorer.score_segment(segment)).collect()
}

/// Windows, unseen windows and highest raw score of each model.
fn totals(scores: &[SegmentScores]) -> HashMap<(String, u32), (u32, u32, f64)> {
    let mut totals = HashMap::new();
    for model in scores {
        let total = totals.entry((model.detector.clone(), model.window)).or_insert((0, 0, 0.0f64));
        for frame in &model.frames {
            *total = (total.0 + frame.windows, total.1 + frame.unseen, total.2.max(frame.raw));
        }
    }
    totals
}

/// The calls of each thread, told apart as the specification has it: an `exit` ends a thread; without an id nothing does.
fn sequences(calls: &[Call]) -> Vec<Vec<&str>> {
    let mut done = Vec::new();
    let mut open: HashMap<Option<i64>, Vec<&str>> = HashMap::new();
    for call in calls {
        open.entry(call.thread).or_default().push(&call.name);
        if call.name == "exit" && call.thread.is_some() {
            done.extend(open.remove(&call.thread));
        }
    }
    done.extend(open.into_values());
    done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_of_cut_segments_are_those_of_the_uncut_stream(
        training in any_calls(4, 400),
        calls in any_calls(5, 400),
        size in 1usize..100,
        frame in 1u32..100,
    ) {
        let profile = Arc::new(trained(&MODELS, &segments(1, "a", &training, 150)));
        let uncut = score_all(&mut scorer(&profile, 1 << 20), &segments(2, "b", &calls, 1 << 20));
        let cut = score_all(&mut scorer(&profile, frame), &segments(2, "b", &calls, size));
        prop_assert_eq!(totals(&cut).contains_key(&("stide".to_owned(), 3)), !calls.is_empty());
        prop_assert_eq!(totals(&cut), totals(&uncut));

        let known: HashSet<Vec<&str>> =
            sequences(&training).iter().flat_map(|calls| calls.windows(3)).map(<[&str]>::to_vec).collect();
        let told = sequences(&calls);
        let windows: Vec<&[&str]> = told.iter().flat_map(|calls| calls.windows(3)).collect();
        let unseen = windows.iter().filter(|window| !known.contains(**window)).count();
        if let Some(&(all, without, _)) = totals(&cut).get(&("stide".to_owned(), 3)) {
            prop_assert_eq!((all as usize, without as usize), (windows.len(), unseen));
        }
    }

    #[test]
    fn a_scorer_that_was_stopped_and_restored_scores_the_same(
        training in any_calls(4, 300),
        calls in any_calls(5, 300),
        size in 1usize..60,
    ) {
        let profile = Arc::new(trained(&MODELS, &segments(1, "a", &training, 150)));
        let mut going = scorer(&profile, 20);
        let mut state = scorer(&profile, 20).state();
        for segment in segments(2, "b", &calls, size) {
            let mut restored = scorer(&profile, 20);
            restored.restore(&state).unwrap();
            let scores = going.score_segment(&segment);
            prop_assert_eq!(&restored.score_segment(&segment), &scores);
            prop_assert_eq!(restored.alarms(&segment, &scores), going.alarms(&segment, &scores));
            state = restored.state();
            prop_assert_eq!(&state, &going.state());
        }
    }

    #[test]
    fn scores_of_a_stream_do_not_depend_on_other_streams(
        training in any_calls(4, 300),
        calls in any_calls(5, 200),
        others in any_calls(5, 200),
    ) {
        let profile = Arc::new(trained(&MODELS, &segments(1, "a", &training, 150)));
        let ours = segments(2, "b", &calls, 30);
        let theirs = segments(3, "c", &others, 20);
        let alone = score_all(&mut scorer(&profile, 16), &ours);
        let mut both = scorer(&profile, 16);
        let mut together = Vec::new();
        let mut theirs = theirs.iter();
        for segment in &ours {
            theirs.next().map(|other| both.score_segment(other));
            together.extend(both.score_segment(segment));
        }
        prop_assert_eq!(together, alone);
    }

    #[test]
    fn a_state_that_was_tampered_with_is_refused_or_read_but_never_panics(
        calls in any_calls(5, 100),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let profile = Arc::new(trained(&MODELS, &segments(1, "a", &calls, 50)));
        let mut before = scorer(&profile, 16);
        let stream = segments(2, "b", &calls, 30);
        score_all(&mut before, &stream);
        let mut state = before.state();
        for (place, value) in changes {
            let place = place.index(state.len());
            state[place] = value;
        }
        let mut after = scorer(&profile, 16);
        if after.restore(&state).is_ok() {
            score_all(&mut after, &stream);
        }
    }
}

#[test]
fn no_window_joins_calls_between_which_others_were_lost() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let profile = Arc::new(trained(&["stide:n=3"], &[segment(1, "x", 0, &calls_of(1, &names))]));
    let mut parts = segments(2, "x", &calls_of(1, &["a", "b", "c", "f", "e", "d"]), 3);
    let mut lossy = scorer(&profile, 256);
    let without_gap: u32 = totals(&score_all(&mut lossy, &parts)).values().map(|total| total.0).sum();
    assert_eq!(without_gap, 4);
    parts[1].gap = Some(Gap { bytes: 10, lines: None, reason: GapReason::Truncated });
    let mut lossy = scorer(&profile, 256);
    let scores = score_all(&mut lossy, &parts);
    assert_eq!(totals(&scores).values().map(|total| total.0).sum::<u32>(), 2);
    assert_eq!((scores[0].frames[0].lossy, scores[1].frames[0].lossy), (false, true));
}

#[test]
fn a_gap_in_a_chunk_of_several_containers_parts_the_windows_of_each_once() {
    let profile = Arc::new(trained(&["stide:n=2"], &[segment(1, "x", 0, &calls_of(1, &["a", "b"]))]));
    let mut scorer = scorer(&profile, 256);
    let gap = Some(Gap { bytes: 10, lines: None, reason: GapReason::Deleted });
    let windows = |scorer: &mut Scorer, container: &str, start: u64, part: u16, gap: Option<Gap>| {
        let mut segment = segment(2, container, start, &calls_of(1, &["a", "b"]));
        segment.id.part = part;
        segment.gap = gap;
        scorer.score_segment(&segment)[0].frames[0].windows
    };
    assert_eq!((windows(&mut scorer, "x", 0, 0, None), windows(&mut scorer, "y", 0, 1, None)), (1, 1));
    // The chunk behind the gap holds calls of x alone; those of y follow in the next one, which has no gap.
    assert_eq!(windows(&mut scorer, "x", 100, 0, gap), 1);
    assert_eq!(windows(&mut scorer, "y", 200, 0, None), 1);
    assert_eq!((windows(&mut scorer, "x", 300, 0, None), windows(&mut scorer, "y", 300, 1, None)), (2, 2));
}

#[test]
fn threads_that_come_and_go_by_the_thousand_take_bounded_memory() {
    let profile =
        Arc::new(trained(&["stide:n=3"], &[segment(1, "x", 0, &calls_of(1, &["a", "b", "c", "a"]))]));
    let mut scorer = scorer(&profile, 256);
    for part in 0..30u64 {
        let calls: Vec<Call> =
            (0..2000).flat_map(|number| calls_of(part as i64 * 2000 + number, &["a", "b", "c"])).collect();
        scorer.score_segment(&segment(2, "x", part * 6000, &calls));
        assert!(scorer.state().len() < 16_384 * 40, "{}", scorer.state().len());
    }
    let calls: Vec<Call> =
        (0..5000).flat_map(|number| calls_of(1_000_000 + number, &["a", "b", "exit"])).collect();
    let before = scorer.state().len();
    scorer.score_segment(&segment(2, "x", 1 << 20, &calls));
    assert!(scorer.state().len() <= before + 100, "threads that ended are forgotten");
}

#[test]
fn a_segment_read_with_its_sequence_columns_alone_scores_the_same() {
    let calls = calls_of(1, &["a", "b", "c", "a", "c", "b"]);
    let profile = Arc::new(trained(&MODELS, &[segment(1, "x", 0, &calls[..3])]));
    let whole = segment(2, "x", 0, &calls);
    let mut columns = whole.clone();
    columns.calls.number.clear();
    columns.calls.latency_ns.clear();
    columns.calls.result.clear();
    columns.calls.argc.clear();
    columns.calls.args_length.clear();
    columns.calls.flags.clear();
    assert_eq!(scorer(&profile, 4).score_segment(&columns), scorer(&profile, 4).score_segment(&whole));
}

#[test]
fn a_segment_whose_columns_do_not_fit_together_has_no_frames() {
    let profile = Arc::new(trained(&MODELS, &[segment(1, "x", 0, &calls_of(1, &["a", "b"]))]));
    let good = segment(2, "x", 0, &calls_of(1, &["a", "b", "c"]));
    let mut bad = [good.clone(), good.clone(), good.clone(), good];
    bad[0].calls.kind[1] = 99;
    bad[1].calls.thread.pop();
    bad[2].calls.thread[0] = 7;
    bad[3].calls.time_ns.clear();
    for segment in &bad {
        let mut scorer = scorer(&profile, 256);
        let scores = scorer.score_segment(segment);
        assert_eq!(scores.len(), MODELS.len());
        assert!(scores.iter().all(|model| model.frames.is_empty()));
        assert!(scorer.alarms(segment, &scores).is_empty());
    }
}

#[test]
fn a_model_that_was_not_trained_is_named_with_those_that_were() {
    let profile = Arc::new(trained(&["stide:n=6"], &[]));
    let options =
        ScoringOptions { models: vec![ModelSpec::parse("bosc:w=7").unwrap()], ..ScoringOptions::default() };
    let error = Scorer::new(Arc::clone(&profile), 1, options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "profile `shop:1` has no model `bosc:w=7`, it has `stide:n=6`; train it with `--detector bosc:w=7`"
    );
    let mut other = scorer(&profile, 128);
    let state = scorer(&profile, 256).state();
    assert!(matches!(other.restore(&state), Err(ScorerError::OtherState { .. })));
}

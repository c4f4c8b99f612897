//! Learning live.

use std::sync::Arc;

use rastro_analyzer::{Learner, LearnerOptions, Scorer, ScoringOptions};

use crate::support::{Call, options, segments};

fn rounds(count: usize) -> Vec<Call> {
    let names = ["poll", "accept", "read", "write", "close", "futex"];
    (0..count)
        .map(|place| Call {
            name: names[place % names.len()].to_owned(),
            thread: Some(1),
            time_ns: place as i64 * 10_000_000,
        })
        .collect()
}

fn learner_options() -> LearnerOptions {
    LearnerOptions {
        training: options(&["stide:n=6", "bosc:w=6"]),
        completeness: 0.99,
        min_calls: 5000,
        min_time_ns: 60_000_000_000,
    }
}

#[test]
fn learning_never_alarms_and_is_complete_when_all_that_was_asked_for_is_reached() {
    let mut learner = Learner::new("shop:1", learner_options());
    let mut complete_after = None;
    for (place, segment) in segments(1, "a", &rounds(9000), 500).iter().enumerate() {
        let scores = learner.observe(segment);
        assert_eq!(scores.len(), 2);
        for frame in scores.iter().flat_map(|scores| &scores.frames) {
            assert!(frame.learning && !frame.alarm);
            // The first segment is all novel, the last ones are not.
            assert_eq!(frame.unseen > 0, place < 3 && frame.unseen > 0);
        }
        if place == 0 {
            assert!(scores[0].frames[0].score > 99.0);
        }
        assert_eq!(scores[0].profile.version, 0);
        if learner.is_complete() && complete_after.is_none() {
            complete_after = Some((place + 1) * 500);
        }
    }
    // 60 seconds of events take 6000 calls; 5000 calls were reached before.
    assert!(matches!(complete_after, Some(6000..=6500)), "{complete_after:?}");
    let progress = learner.progress();
    assert_eq!((progress.calls, progress.distinct), (9000, 6));
    assert!(progress.completeness > 0.999);
    let profile = Arc::new(learner.finish(42));
    let mut scorer = Scorer::new(Arc::clone(&profile), 1, ScoringOptions::default()).unwrap();
    for segment in segments(2, "b", &rounds(2000), 300) {
        assert!(
            scorer
                .score_segment(&segment)
                .iter()
                .flat_map(|scores| &scores.frames)
                .all(|frame| frame.unseen == 0)
        );
    }
}

#[test]
fn a_learner_that_was_stopped_goes_on() {
    let stream = segments(1, "a", &rounds(9000), 500);
    let mut going = Learner::new("shop:1", learner_options());
    let mut state = going.state();
    for segment in &stream {
        let mut restored = Learner::restore(learner_options(), &state).unwrap();
        assert_eq!(restored.observe(segment), going.observe(segment));
        state = restored.state();
    }
    let restored = Learner::restore(learner_options(), &state).unwrap();
    assert_eq!(restored.finish(1).to_bytes(), going.finish(1).to_bytes());
    let other = LearnerOptions { training: options(&["stide:n=4"]), ..learner_options() };
    assert!(Learner::restore(other, &state).is_err());
    assert!(Learner::restore(learner_options(), &state[..state.len() / 2]).is_err());
}

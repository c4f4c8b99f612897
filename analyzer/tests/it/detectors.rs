//! What every detector of the registry promises, and what each one's explanation is worth.

use std::sync::Arc;

use proptest::prelude::*;
use rastro_analyzer::{DETECTORS, ModelSpec, Profile, Scorer, ScoringOptions};
use rastro_model::{Reason, Segment};

use crate::support::{Call, any_calls, segments, trained};

fn names() -> Vec<&'static str> {
    DETECTORS.iter().map(|info| info.name).collect()
}

/// Raw scores of all frames, to the bit.
fn raw_scores(profile: &Profile, stream: &[Segment], frame: u32) -> Vec<u64> {
    let options = ScoringOptions { frame, ..ScoringOptions::default() };
    let mut scorer = Scorer::new(Arc::new(profile.clone()), 1, options).unwrap();
    let scores = stream.iter().flat_map(|segment| scorer.score_segment(segment));
    scores.flat_map(|model| model.frames).map(|frame| frame.raw.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_profile_read_from_its_file_scores_to_the_bit_as_the_one_that_was_written(
        training in any_calls(6, 600),
        calls in any_calls(8, 300),
    ) {
        let profile = trained(&names(), &segments(1, "a", &training, 128));
        let bytes = profile.to_bytes();
        let read = Profile::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes(), bytes);
        let stream = segments(2, "b", &calls, 100);
        prop_assert_eq!(raw_scores(&read, &stream, 50), raw_scores(&profile, &stream, 50));
    }

    #[test]
    fn a_merged_profile_scores_as_one_trained_on_both(
        a in any_calls(6, 400),
        b in any_calls(8, 400),
        calls in any_calls(8, 200),
    ) {
        let (first, second) = (segments(1, "a", &a, 128), segments(2, "b", &b, 128));
        let both: Vec<_> = first.iter().chain(&second).cloned().collect();
        let merged = trained(&names(), &first).merged(&trained(&names(), &second), "both").unwrap();
        let stream = segments(3, "c", &calls, 100);
        prop_assert_eq!(raw_scores(&merged, &stream, 100), raw_scores(&trained(&names(), &both), &stream, 100));
    }

    #[test]
    fn frames_score_the_same_however_the_stream_was_cut_between_them(
        training in any_calls(6, 600),
        calls in any_calls(8, 400),
        frames in 1usize..5,
    ) {
        let profile = trained(&names(), &segments(1, "a", &training, 128));
        let count = |size: usize| {
            let stream = segments(2, "b", &calls, size);
            let options = ScoringOptions { frame: 40, ..ScoringOptions::default() };
            let mut scorer = Scorer::new(Arc::new(profile.clone()), 1, options).unwrap();
            let mut by_model: Vec<Vec<(u64, u64)>> = vec![Vec::new(); names().len()];
            for segment in &stream {
                for (model, scores) in by_model.iter_mut().zip(scorer.score_segment(segment)) {
                    model.extend(scores.frames.iter().map(|frame| (frame.raw.to_bits(), frame.score.to_bits())));
                }
            }
            by_model
        };
        prop_assert_eq!(count(40 * frames), count(40 * 100));
    }

    #[test]
    fn a_hostile_model_is_refused_or_read_and_then_scores_without_panic(
        training in any_calls(6, 300),
        place in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let name = names()[place.index(names().len())];
        let file = trained(&[name], &segments(1, "a", &training, 128)).to_bytes();
        let changed = with_changed_model(&file, &changes);
        if let Ok(profile) = Profile::from_bytes(&changed) {
            let written = profile.to_bytes();
            prop_assert_eq!(Profile::from_bytes(&written).unwrap().to_bytes(), written);
            let stream = segments(2, "b", &training, 100);
            raw_scores(&profile, &stream, 100);
        }
    }
}

/// The file with bytes of its last section, the model, overwritten, and sound otherwise.
fn with_changed_model(file: &[u8], changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let number = |place: usize| {
        u32::from_le_bytes([file[place], file[place + 1], file[place + 2], file[place + 3]]) as usize
    };
    let mut place = 16;
    while place + 12 + number(place + 8) < file.len() - 8 {
        place += 12 + number(place + 8);
    }
    let compressed = &file[place + 12..place + 12 + number(place + 8)];
    let mut content = zstd::bulk::decompress(compressed, number(place + 4)).unwrap();
    for (index, value) in changes {
        let place = index.index(content.len());
        content[place] = *value;
    }
    let compressed = zstd::bulk::compress(&content, 1).unwrap();
    let mut changed = file[..place + 4].to_vec();
    changed.extend_from_slice(&(content.len() as u32).to_le_bytes());
    changed.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
    changed.extend_from_slice(&compressed);
    let checksum = xxhash_rust::xxh3::xxh3_64(&changed);
    changed.extend_from_slice(&checksum.to_le_bytes());
    changed
}

/// Work of a small server with some variety, drawn from a fixed generator: requests of different kinds, one after another.
fn work(count: usize, seed: u64) -> Vec<Call> {
    let requests: [&[&str]; 5] = [
        &["accept", "read", "openat", "fstat", "read", "close", "write", "close"],
        &["accept", "read", "stat", "write", "close"],
        &["accept", "read", "openat", "fstat", "mmap", "write", "munmap", "close", "close"],
        &["poll", "accept", "read", "write", "write", "close"],
        &["futex", "poll", "clock", "poll"],
    ];
    let mut state = seed;
    let mut calls = Vec::new();
    while calls.len() < count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let request = requests[(state >> 33) as usize % requests.len()];
        let times = if request[0] == "accept" && state >> 62 == 0 { 2 } else { 1 };
        calls.extend(request.iter().cycle().take(request.len() * times).map(|name| (*name).to_owned()));
    }
    calls.truncate(count);
    calls
        .into_iter()
        .enumerate()
        .map(|(place, name)| Call { name, thread: Some(1), time_ns: place as i64 * 1_000_000 })
        .collect()
}

/// A shell that was never seen, in the middle of the work.
fn with_intrusion(mut calls: Vec<Call>, at: usize) -> (Vec<Call>, std::ops::Range<usize>) {
    let shell =
        ["clone", "dup2", "execve", "brk", "access", "mprotect", "execve", "setuid", "ptrace", "connect"];
    let length = 4 * shell.len();
    for (place, call) in calls[at..at + length].iter_mut().enumerate() {
        shell[place % shell.len()].clone_into(&mut call.name);
    }
    (calls, at..at + length)
}

/// Which calls of the segment a reason names.
fn named(reason: &Reason) -> Option<std::ops::RangeInclusive<usize>> {
    match reason {
        Reason::UnseenSequence { ends_at, calls, .. }
        | Reason::RareSequence { ends_at, calls, .. }
        | Reason::UnexpectedCall { ends_at, calls, .. } => {
            let end = *ends_at as usize;
            Some((end + 1).saturating_sub(calls.len())..=end)
        }
        Reason::UnseenBag { ends_at, calls, .. } => {
            let length: u32 = calls.iter().map(|(_, count)| count).sum();
            Some((*ends_at as usize + 1).saturating_sub(length as usize)..=*ends_at as usize)
        }
        Reason::StrangeCalls { first_call, calls, .. } => {
            Some(*first_call as usize..=*first_call as usize + calls.len() - 1)
        }
        _ => None,
    }
}

#[test]
fn calls_that_are_named_are_those_of_the_intrusion_and_without_it_nothing_alarms() {
    let training = segments(1, "a", &work(60_000, 1), 4096);
    let (attacked, intrusion) = with_intrusion(work(1024, 7), 300);
    let mut alarmed = Vec::new();
    for text in ["stide", "tstide:rare=0.01", "bosc", "markov", "context", "graph", "ensemble"] {
        let profile = Arc::new(trained(&[text], &training));
        let score = |calls: &[Call]| {
            let mut scorer = Scorer::new(Arc::clone(&profile), 1, ScoringOptions::default()).unwrap();
            scorer.score_segment(&segments(2, "b", calls, 4096)[0]).remove(0).frames
        };
        let normal = score(&work(1024, 7));
        assert!(
            normal.iter().all(|frame| !frame.alarm),
            "{text}: {:?}",
            normal.iter().map(|f| f.score).collect::<Vec<_>>()
        );
        let frames = score(&attacked);
        let worst = frames.iter().max_by(|a, b| a.score.total_cmp(&b.score)).unwrap();
        assert!(worst.score > 25.0, "{text}: {}", worst.score);
        assert!(
            worst.first_call as usize <= intrusion.start
                && intrusion.start < (worst.first_call + worst.calls) as usize
        );
        let reason = named(&worst.reasons[0]).unwrap_or_else(|| panic!("{text}: {:?}", worst.reasons));
        assert!(
            reason.start() < &intrusion.end && *reason.end() >= intrusion.start,
            "{text}: {:?} is not part of {intrusion:?}",
            worst.reasons[0]
        );
        // Without the intrusion that the named calls are part of, the score falls below the threshold.
        let mut without = attacked.clone();
        without.drain(intrusion.clone());
        assert!(score(&without).iter().all(|frame| !frame.alarm && frame.score < worst.score), "{text}");
        if worst.alarm {
            alarmed.push(text);
        }
    }
    assert!(alarmed.len() >= 3, "{alarmed:?}");
}

#[test]
fn a_frame_is_blamed_on_calls_without_which_it_would_not_alarm() {
    let profile = Arc::new(trained(&["ensemble"], &segments(1, "a", &work(60_000, 1), 4096)));
    let (attacked, _) = with_intrusion(work(256, 7), 100);
    let mut scorer = Scorer::new(Arc::clone(&profile), 1, ScoringOptions::default()).unwrap();
    let frames = scorer.score_segment(&segments(2, "b", &attacked, 256)[0]).remove(0).frames;
    let reasons = &frames[0].reasons;
    let Some(Reason::StrangeCalls { score, score_without, calls, .. }) = reasons.first() else {
        panic!("{reasons:?}");
    };
    assert!((f64::from(*score) - frames[0].score).abs() <= 0.5);
    assert!(score_without < score && calls.iter().any(|name| name == "execve"), "{reasons:?}");
    let Some(Reason::Opinions { members }) = reasons.last() else { panic!("{reasons:?}") };
    assert_eq!(members.len(), 5);
    assert!(members.iter().all(|(_, one_in)| *one_in >= 1));
    // Taken out by hand, they are gone.
    let blamed = named(&reasons[0]).unwrap();
    let mut without = attacked;
    without.drain(blamed);
    let mut scorer = Scorer::new(profile, 1, ScoringOptions::default()).unwrap();
    let after = &scorer.score_segment(&segments(2, "b", &without, 256)[0])[0].frames[0];
    assert!(after.score < frames[0].score, "{} {}", after.score, frames[0].score);
}

#[test]
fn every_parameter_says_what_it_means_and_is_accepted_at_both_ends() {
    for info in DETECTORS {
        for parameter in info.parameters {
            assert!(!parameter.description.is_empty(), "{} {}", info.name, parameter.key);
            for value in [parameter.min, parameter.max, parameter.default] {
                let spec = ModelSpec::parse(&format!("{}:{}={value}", info.name, parameter.key)).unwrap();
                assert_eq!(spec.value(parameter.key).to_bits(), value.to_bits());
                assert_eq!(ModelSpec::parse(&spec.to_string()).unwrap(), spec);
            }
            let beyond = format!("{}:{}={}", info.name, parameter.key, parameter.max + 1.0);
            assert!(ModelSpec::parse(&beyond).unwrap_err().to_string().contains(&parameter.expected()));
        }
    }
}

//! Profiles: their file, merging, comparing.

use proptest::prelude::*;
use rastro_analyzer::{Profile, ProfileError, Trainer};

use crate::support::{any_calls, calls_of, options, segment, segments, trained};

const MODELS: [&str; 3] = ["stide:n=3", "stide:n=7", "bosc:w=4"];

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 8;
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&checksum);
    bytes
}

/// What is known of the windows, without what depends on how the training data was cut.
fn windows(profile: &Profile) -> Vec<String> {
    let json = profile.to_json(1.0);
    let of_model = |model: &serde_json::Value| {
        format!("{} {} {} {}", model["model"], model["windows"], model["distinct"], model["singletons"])
    };
    json["models"].as_array().unwrap().iter().map(of_model).collect()
}

fn is_same_knowledge(a: &Profile, b: &Profile) -> bool {
    let diff = a.diff(b, 10);
    let no_windows = diff.models.iter().all(|model| model.new == 0 && model.vanished == 0);
    no_windows && diff.new_calls.is_empty() && diff.vanished_calls.is_empty() && windows(a) == windows(b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_profile_survives_its_file(calls in any_calls(6, 300)) {
        let profile = trained(&MODELS, &segments(1, "a", &calls, 100));
        let bytes = profile.to_bytes();
        let read = Profile::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.to_bytes(), bytes);
        prop_assert_eq!(read.to_json(1.0), profile.to_json(1.0));
    }

    #[test]
    fn a_merged_profile_is_one_trained_on_both(a in any_calls(6, 300), b in any_calls(8, 300)) {
        let (first, second) = (segments(1, "a", &a, 100), segments(2, "b", &b, 100));
        let both: Vec<_> = first.iter().chain(&second).cloned().collect();
        let merged = trained(&MODELS, &first).merged(&trained(&MODELS, &second), "both").unwrap();
        let trained_on_both = trained(&MODELS, &both);
        prop_assert!(is_same_knowledge(&merged, &trained_on_both));
        prop_assert_eq!(merged.calls(), trained_on_both.calls());
        prop_assert_eq!(merged.training().calls, trained_on_both.training().calls);
        prop_assert_eq!(merged.sources(), trained_on_both.sources());
        prop_assert!(Profile::from_bytes(&merged.to_bytes()).is_ok());
    }

    #[test]
    fn what_is_learned_does_not_depend_on_where_the_stream_was_cut(calls in any_calls(6, 400), size in 1usize..100) {
        let uncut = trained(&MODELS, &segments(1, "a", &calls, 1 << 20));
        prop_assert!(is_same_knowledge(&trained(&MODELS, &segments(1, "a", &calls, size)), &uncut));
    }

    #[test]
    fn training_goes_on_from_a_profile(a in any_calls(6, 300), b in any_calls(8, 300)) {
        let (first, second) = (segments(1, "a", &a, 100), segments(2, "b", &b, 100));
        let mut trainer = Trainer::resume(trained(&MODELS, &first), 256);
        for segment in &second {
            trainer.learn(segment);
        }
        let both: Vec<_> = first.iter().chain(&second).cloned().collect();
        prop_assert!(is_same_knowledge(&trainer.finish(7), &trained(&MODELS, &both)));
    }

    #[test]
    fn a_trainer_that_was_stopped_and_restored_makes_the_same_profile(calls in any_calls(6, 3000), stop in 0usize..30) {
        let stream = segments(1, "a", &calls, 100);
        let mut trainer = Trainer::new("shop:1", &options(&MODELS));
        for (place, segment) in stream.iter().enumerate() {
            if place == stop {
                trainer = Trainer::from_state(&trainer.state(), &options(&MODELS)).unwrap();
            }
            trainer.learn(segment);
        }
        prop_assert_eq!(trainer.finish(7).to_bytes(), trained(&MODELS, &stream).to_bytes());
    }

    #[test]
    fn a_damaged_file_is_refused(
        calls in any_calls(6, 200),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let mut bytes = trained(&MODELS, &segments(1, "a", &calls, 100)).to_bytes();
        let whole = bytes.clone();
        for (place, change) in changes {
            let place = place.index(bytes.len());
            bytes[place] ^= change;
        }
        prop_assume!(bytes != whole);
        prop_assert!(Profile::from_bytes(&bytes).is_err());
    }

    #[test]
    fn a_hostile_file_with_a_right_checksum_never_panics(
        calls in any_calls(6, 200),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = trained(&MODELS, &segments(1, "a", &calls, 100)).to_bytes();
        for (place, value) in changes {
            // Not the magic and the version: those are refused at once.
            let place = 12 + place.index(bytes.len() - 12);
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()).max(24));
        }
        if let Ok(profile) = Profile::from_bytes(&with_checksum(bytes)) {
            profile.to_json(1.0);
            prop_assert!(Profile::from_bytes(&profile.to_bytes()).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Profile::from_bytes(&bytes).is_err());
        prop_assert!(Profile::from_bytes(&[b"RASTROPF\x01\0\0\0".as_slice(), &bytes].concat()).is_err());
    }
}

#[test]
fn each_way_of_being_no_profile_has_its_own_sentence() {
    let bytes = trained(&["stide"], &[]).to_bytes();
    assert_eq!(Profile::from_bytes(b"PK\x03\x04").unwrap_err(), ProfileError::NotAProfile);
    assert_eq!(Profile::from_bytes(b"").unwrap_err(), ProfileError::NotAProfile);
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(Profile::from_bytes(&newer).unwrap_err(), ProfileError::Version { found: 9 });
    assert!(matches!(Profile::from_bytes(&bytes[..bytes.len() - 1]), Err(ProfileError::Damaged(_))));
    // A section that declares more than it may hold.
    let mut huge = bytes;
    huge[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = Profile::from_bytes(&with_checksum(huge)).unwrap_err().to_string();
    assert!(error.contains("section HEAD") && error.contains("4294967295 bytes"), "{error}");
}

#[test]
fn a_small_file_cannot_unpack_to_a_large_one() {
    // 64 MiB of zeros in a few kilobytes, declared as 100 bytes.
    let bomb = zstd::bulk::compress(&vec![0u8; 64 << 20], 19).unwrap();
    let mut bytes = b"RASTROPF\x01\0\0\0\x02\0\0\0HEAD".to_vec();
    bytes.extend_from_slice(&100u32.to_le_bytes());
    bytes.extend_from_slice(&(bomb.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&bomb);
    bytes.extend_from_slice(&[0; 8]);
    let error = Profile::from_bytes(&with_checksum(bytes)).unwrap_err().to_string();
    assert!(error.contains("cannot be decompressed to the length"), "{error}");
}

#[test]
fn a_comparison_lists_what_is_new_and_what_vanished() {
    let before =
        trained(&["stide:n=2", "bosc:w=2"], &[segment(1, "a", 0, &calls_of(1, &["read", "write", "close"]))]);
    let after = trained(
        &["bosc:w=2", "bosc:w=3"],
        &[segment(1, "a", 0, &calls_of(1, &["write", "read", "execve", "read"]))],
    );
    let diff = before.diff(&after, 10);
    assert_eq!(diff.new_calls, [("execve".to_owned(), 1)]);
    assert_eq!(diff.vanished_calls, [("close".to_owned(), 1)]);
    assert_eq!(diff.not_in_both, ["stide:n=2", "bosc:w=3"]);
    let bags = &diff.models[0];
    assert_eq!((bags.model.as_str(), bags.shared, bags.new, bags.vanished), ("bosc:w=2", 1, 1, 1));
    assert_eq!(bags.new_windows, [(vec!["read".to_owned(), "execve".to_owned()], 2)]);
    assert_eq!(bags.vanished_windows, [(vec!["write".to_owned(), "close".to_owned()], 1)]);
}

#[test]
fn profiles_without_a_common_model_are_not_merged() {
    assert!(trained(&["stide"], &[]).merged(&trained(&["bosc"], &[]), "both").is_none());
}

#[test]
fn more_names_than_an_alphabet_holds_make_a_profile_that_can_be_read_and_merged() {
    let profile_of = |first: usize| {
        let calls: Vec<_> = (first..first + 17_000).map(|name| format!("c{name}")).collect();
        let names: Vec<&str> = calls.iter().map(String::as_str).collect();
        trained(&["stide:n=3", "bosc:w=3"], &segments(1, "a", &calls_of(1, &names), 5000))
    };
    let (one, other) = (profile_of(0), profile_of(10_000));
    assert_eq!(Profile::from_bytes(&one.to_bytes()).unwrap().to_bytes(), one.to_bytes());
    let merged = one.merged(&other, "both").unwrap();
    assert_eq!(Profile::from_bytes(&merged.to_bytes()).unwrap().training().calls, 34_000);
    assert!(!one.diff(&other, 3).new_calls.is_empty());
}

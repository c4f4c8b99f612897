//! Live and offline scores of the same windows are the same to the last bit.

use crate::support::{Rastro, shared};

#[test]
fn what_was_scored_live_is_scored_offline_to_the_same_bits() {
    let demo = |name: &str| {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo").join(name).display().to_string()
    };
    let rastro = Rastro::new();
    rastro.text(&["replay", &demo("webshop-normal.log.gz"), "--dataset", "normal"]);
    rastro.text(&["train", "normal"]);
    // Small chunks, so that windows cross many borders.
    let live = rastro.json(&[
        "replay",
        &demo("webshop-attack.log.gz"),
        "--dataset",
        "attacked",
        "--json",
        "--set",
        "shipper.chunk_bytes=\"16 KiB\"",
    ]);
    let offline = rastro.json(&["score", "attacked", "--name", "again", "--json"]);
    assert!(live["alarms"].as_u64().unwrap() > 0, "{live}");
    for figure in ["windows_scored", "frames_scored", "alarms", "top"] {
        assert_eq!(live[figure], offline[figure], "{figure}");
    }
    let alarms = |scoring: &str| rastro.json(&["alarms", "--scoring", scoring, "--json"]);
    assert_eq!(alarms("live"), alarms("again"));
    let dry = rastro.json(&["score", "attacked", "--dry-run", "--json"]);
    assert_eq!(dry["top"], offline["top"]);

    let same = rastro.json(&["score", "diff", "live", "again", "attacked", "--json"]);
    assert_eq!((same["all"]["calmed"].as_u64(), same["all"]["roused"].as_u64()), (Some(0), Some(0)));
    assert!(same["all"]["alarming_after"].as_u64().unwrap() > 0, "{same}");
    // A profile that has learned the attack calms it.
    rastro.text(&["train", "attacked", "--profile", "knows-it", "--include-alarms"]);
    rastro.text(&["score", "normal", "attacked", "--profile", "knows-it", "--name", "calm"]);
    let calmed = rastro.json(&["score", "diff", "live", "calm", "attacked", "--json", "--top", "2"]);
    assert!(calmed["all"]["calmed"].as_u64().unwrap() > 0, "{calmed}");
    assert!(!calmed["examples"].as_array().unwrap().is_empty(), "{calmed}");
    assert!(rastro.text(&["score", "diff", "live", "calm"]).contains("CHANGED SIDES"));
    assert!(rastro.error(&["score", "diff", "live", "absent"]).contains("no index has scores of both"));
}

#[test]
fn a_window_size_that_was_not_trained_is_trained_from_the_profiles_own_sources() {
    let Some(folder) = shared("webshop-strace/recordings") else { return };
    let rastro = Rastro::new();
    let recording = |number: u32| folder.join(format!("web-{number:02}.log.gz")).display().to_string();
    rastro.text(&["replay", &recording(1), &recording(2), "--dataset", "web", "--image", "web:1"]);
    rastro.text(&["train", "web", "--detector", "stide:n=6"]);
    rastro.text(&["replay", &recording(11), "--dataset", "attacked", "--image", "web:1"]);
    let report = rastro.json(&["score", "attacked", "--detector", "bosc", "--window", "15", "--json"]);
    assert_eq!(report["top"][0]["window"], 15);
    assert_eq!(report["top"][0]["detector"], "bosc");
    rastro.text(&["datasets", "delete", "web", "--yes"]);
    let error = rastro.error(&["score", "attacked", "--detector", "bosc", "--window", "12", "--json"]);
    assert!(error.contains("bosc:w=12") && error.contains("still stored"), "{error}");
}

#[test]
fn a_window_size_is_trained_from_the_very_calls_of_the_profiles_span() {
    let rastro = crate::demo::scored();
    let train = |more: &[&str]| rastro.text(&[&["train", "shop", "--profile", "part"], more].concat());
    train(&["--from", "2026-11-21T09:05:36Z", "--to", "2026-11-21T09:05:40Z"]);
    let score = |window| ["score", "shop", "--profile", "part", "--window", window, "--dry-run", "--json"];
    assert!(rastro.json(&score("5"))["windows_scored"].as_u64().unwrap() > 0);
    // Of two spans the profile does not say what lies between them.
    train(&["--add", "--from", "2026-11-21T09:05:42Z", "--to", "2026-11-21T09:05:43Z"]);
    let error = rastro.error(&score("7"));
    assert!(error.contains("which it does not name"), "{error}");
}

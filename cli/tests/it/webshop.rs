//! The labelled webshop: trained on its normal part, every attack alarms and nothing else does.

use std::path::Path;

use crate::support::{Rastro, closed, shared};

#[test]
fn all_attacks_alarm_and_no_normal_recording_does() {
    let Some(folder) = shared("webshop-strace/recordings") else { return };
    judge(&folder);
}

/// The line format has no thread; an agent that writes it loses what the companion files tell.
#[test]
fn the_same_holds_where_no_thread_is_known() {
    let Some(folder) = shared("webshop-strace/recordings") else { return };
    let alone = tempfile::tempdir().unwrap();
    for number in 1..=14 {
        let name = format!("web-{number:02}.log.gz");
        std::fs::copy(folder.join(&name), alone.path().join(&name)).unwrap();
    }
    judge(alone.path());
}

fn judge(folder: &Path) {
    let rastro = Rastro::new();
    let recording = |number: u32| folder.join(format!("web-{number:02}.log.gz")).display().to_string();
    let normal: Vec<String> = (1..=6).map(recording).collect();
    let mut arguments = vec!["replay"];
    arguments.extend(normal.iter().map(String::as_str));
    arguments.extend(["--dataset", "webshop", "--image", "webshop:1", "--json"]);
    let report = closed(rastro.json(&arguments));
    assert_eq!(report["calls_stored"], 8_702 + 8_025 + 9_979 + 10_653 + 12_247 + 11_135);
    assert_eq!(report["dead_letters"], 0);
    rastro.text(&["train", "webshop"]);

    for number in 7..=14 {
        let file = recording(number);
        let dataset = format!("web-{number:02}");
        let report =
            closed(rastro.json(&["replay", &file, "--dataset", &dataset, "--image", "webshop:1", "--json"]));
        let alarms = report["alarms"].as_u64().unwrap();
        assert_eq!(alarms > 0, number >= 11, "web-{number:02}: {alarms} alarms");
        assert!(report["windows_scored"].as_u64().unwrap() > 1000);
    }
    let explanation = rastro.text(&["explain", "worst"]);
    assert!(
        explanation.contains("never-seen sequence") || explanation.contains("never seen"),
        "{explanation}"
    );
}

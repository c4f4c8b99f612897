//! `rastro eval`: figures that scripts read, and the published ones.

use crate::support::{Rastro, shared};

#[test]
fn an_obvious_attack_has_an_area_of_one() {
    let rastro = Rastro::new();
    let trace = "5 3 4 6 ".repeat(10);
    let normal = rastro.file("normal.txt", format!("{trace}\n{trace}\n").as_bytes()).display().to_string();
    rastro.file("attack.labels", b"Shell\tr1\t1\n");
    let attack = rastro.file("attack.txt", "5 11 63 3 4 6 ".repeat(9).as_bytes()).display().to_string();
    let arguments = ["eval", "--train", &normal, "--normal", &normal, "--attack", &attack];
    let report = rastro.json(&[&arguments[..], &["--detector", "stide:n=4", "--json"]].concat());
    assert_eq!(report["auc"], 1.0);
    assert_eq!(report["detection_rate"]["0.01"], 1.0);
    assert_eq!(report["results"][0]["by_kind"]["Shell"]["traces"], 1);
    assert_eq!(report["train"]["traces"], 2);
    let page = rastro.text(&arguments);
    assert!(page.contains("stide:n=6") && page.contains("bosc:w=10"), "{page}");
    let error = rastro.error(&[&arguments[..], &["--detector", "oracle"]].concat());
    assert!(error.contains("`--detector oracle`"), "{error}");
}

/// A recording with threads is as many traces as it has threads.
#[test]
fn a_sysdig_recording_is_evaluated_by_its_threads() {
    let rastro = Rastro::new();
    let (normal, attack) = (crate::demo::recording("normal"), crate::demo::recording("attack"));
    let (normal, attack) = (normal.display().to_string(), attack.display().to_string());
    let report =
        rastro.json(&["eval", "--train", &normal, "--normal", &normal, "--attack", &attack, "--json"]);
    assert!(report["normal"]["traces"].as_u64().unwrap() > 100, "{report}");
    assert!(report["auc"].as_f64().unwrap() > 0.5, "{report}");
}

/// G. Creech and J. Hu, "A semantic approach to host-based intrusion detection systems", 2014: the data; the areas are those that
/// other implementations of the same detectors reach on it.
#[test]
fn adfa_ld_gives_the_known_areas() {
    let Some(folder) = shared("adfa-ld") else { return };
    let rastro = Rastro::new();
    let file = |name: &str| folder.join(format!("{name}.txt.gz")).display().to_string();
    let report = rastro.json(&[
        "eval",
        "--train",
        &file("training"),
        "--normal",
        &file("validation"),
        "--attack",
        &file("attack"),
        "--detector",
        "stide:n=6",
        "--json",
    ]);
    assert!((report["auc"].as_f64().unwrap() - 0.827).abs() < 0.01, "{report}");
    assert!((report["trivial"]["auc"].as_f64().unwrap() - 0.810).abs() < 0.01, "{report}");
    assert_eq!(report["attack"]["traces"], 746);
}

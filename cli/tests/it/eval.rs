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
    assert!(page.contains("ensemble") && page.contains("stide:n=6") && page.contains("bosc:w=10"), "{page}");
    let error = rastro.error(&[&arguments[..], &["--detector", "oracle"]].concat());
    assert!(error.contains("`--detector oracle`"), "{error}");
}

/// Calls that a table has named are compared with nothing but names.
#[test]
fn names_are_not_compared_with_numbers() {
    let rastro = Rastro::new();
    let numbers = rastro.file("numbers.txt", "5 3 4 6 ".repeat(10).as_bytes()).display().to_string();
    rastro.json(&["replay", &numbers, "--table", "i386", "--dataset", "v1.named", "--json"]);
    let error = rastro.error(&["eval", "--train", &numbers, "--normal", &numbers, "--attack", "v1.named"]);
    assert!(error.contains("no call of the attack traces") && error.contains("--table"), "{error}");
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
        "--resamples",
        "100",
        "--json",
    ]);
    assert!((report["auc"].as_f64().unwrap() - 0.827).abs() < 0.01, "{report}");
    assert!((report["trivial"]["auc"].as_f64().unwrap() - 0.810).abs() < 0.01, "{report}");
    assert_eq!(report["attack"]["traces"], 746);
}

/// S. Forrest et al., "A sense of self for Unix processes", 1996: a line is a process and a call.
#[test]
fn pairs_of_processes_and_calls_are_traces_of_processes() {
    let rastro = Rastro::new();
    let file = |name: &str, content: String| {
        let path = rastro.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    // Two processes at once, whose calls lie between each other's.
    let normal = |processes: [u32; 2]| -> String {
        let calls = [2, 66, 66, 4, 138, 5].repeat(6);
        calls.iter().flat_map(|call| processes.map(|process| format!("  {process} {call}\n"))).collect()
    };
    file("normal/sendmail-1.int", normal([301, 302]));
    file("normal/sendmail-2.int", normal([303, 304]));
    file("later/sendmail-3.int", normal([305, 306]));
    let intrusion = ["401 2\n", "401 66\n", "401 11\n", "401 4\n", "401 59\n", "401 5\n"];
    file("intrusions/sscp_1/sscp.int", intrusion.concat().repeat(6));
    let report = rastro.json(&[
        "eval",
        "--train",
        "normal",
        "--normal",
        "later",
        "--attack",
        "intrusions",
        "--detector",
        "stide:n=4",
        "--json",
    ]);
    assert_eq!(report["train"], serde_json::json!({ "traces": 4, "calls": 144 }));
    assert_eq!(report["normal"]["traces"], 2);
    assert_eq!(report["results"][0]["by_kind"]["sscp"]["auc"], 1.0);
    assert_eq!(report["results"][0]["calls_to_detect"]["detected"], 1);
}

#[test]
fn the_same_seed_gives_the_same_figures_and_learners_from_labels_are_named_so() {
    let rastro = Rastro::new();
    let lines = |call: u32| -> String {
        (0..12_u32)
            .map(|round| "5 3 4 6 ".repeat(6 + round as usize) + &format!("{} {call}\n", round % 5))
            .collect()
    };
    for (name, call) in [("training.txt", 3), ("validation.txt", 4), ("attack.txt", 11)] {
        rastro.file(name, lines(call).as_bytes());
    }
    rastro.file("attack.labels", "Shell\tr\t1\n".repeat(12).as_bytes());
    let figures = |seed: &str| {
        let mut report = rastro.json(&[
            "eval",
            ".",
            "--detector",
            "stide:n=4",
            "--detector",
            "forest",
            "--seed",
            seed,
            "--resamples",
            "60",
            "--json",
        ]);
        for result in report["results"].as_array_mut().unwrap() {
            let result = result.as_object_mut().unwrap();
            result.retain(|key, _| !key.ends_with("per_second"));
        }
        report
    };
    let once = figures("5");
    assert_eq!(once, figures("5"));
    assert_ne!(once["results"][0]["interval"], figures("6")["results"][0]["interval"]);
    assert_eq!(once["results"][0]["realised"]["held_out"], 12);
    assert_eq!(
        (once["results"][1]["detector"].as_str(), once["results"][1]["supervised"].as_bool()),
        (Some("forest"), Some(true))
    );
    assert!(rastro.text(&["eval", ".", "--detector", "forest"]).contains("forest [supervised]"));
}

/// What is wrong is said in one sentence with the file.
#[test]
fn nothing_to_measure_is_one_clear_sentence() {
    let rastro = Rastro::new();
    let normal = rastro.file("normal.txt", b"3 4 5 6 3 4\n").display().to_string();
    let empty = rastro.file("empty.txt", b"").display().to_string();
    let error = |arguments: &[&str]| rastro.error(&[&["eval"], arguments].concat());
    assert!(error(&[]).contains("nothing to evaluate on"));
    assert!(error(&["--train", &normal, "--normal", &normal]).contains("no attack trace"));
    assert!(error(&["--train", &normal, "--attack", &normal]).contains("no normal trace"));
    let told = error(&["--train", &normal, "--normal", &normal, "--attack", &empty]);
    assert!(told.contains("empty.txt") && told.contains("holds no line"), "{told}");
    assert!(error(&[&normal]).contains("is a single file"));
    for (flag, output) in [("--html", "nowhere/report.html"), ("--plot", ".")] {
        let told = error(&["--train", &normal, "--normal", &normal, "--attack", &empty, flag, output]);
        assert!(told.contains(&format!("cannot write `{output}`")), "before anything is read: {told}");
    }
    assert!(
        error(&["--train", "absent.txt", "--normal", &normal]).contains("no file or folder `absent.txt`")
    );
    rastro.file("attack.labels", b"A\tr\t1\nB\tr\t2\n");
    let attack = rastro.file("attack.txt", b"3 4 5 6 11 4\n").display().to_string();
    let told = error(&["--train", &normal, "--normal", &normal, "--attack", &attack]);
    assert!(told.contains("label a trace that is not there"), "{told}");
    // No data directory: a name that is no file could only be a dataset.
    let told = error(&["shop"]);
    assert!(told.contains("`shop` is no file and no folder"), "{told}");
}

/// Our own recordings of a web shop, part normal, part attack, as a list tells.
#[test]
fn the_attacks_on_the_web_shop_are_told_from_its_work() {
    let Some(folder) = shared("webshop-strace") else { return };
    let rastro = Rastro::new();
    let folder = folder.display().to_string();
    let report =
        rastro.json(&["eval", &folder, "--detector", "stide:n=6", "--detector", "bosc:w=10", "--json"]);
    assert_eq!(
        ["train", "calibrate", "normal", "attack"].map(|part| report[part]["traces"].as_u64().unwrap()),
        [6, 2, 2, 4]
    );
    for result in report["results"].as_array().unwrap() {
        assert_eq!(
            (result["auc"].as_f64(), result["own_threshold"]["detection_rate"].as_f64()),
            (Some(1.0), Some(1.0))
        );
        assert_eq!(result["own_threshold"]["false_alarm_rate"], 0.0);
        assert_eq!(result["by_kind"]["recon"]["traces"], 2);
    }
}

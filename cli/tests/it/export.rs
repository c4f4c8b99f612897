//! `rastro export`: the same calls in every form, and a card that tells what they are.

use std::{fs::File, process::Command};

use parquet::file::{reader::FileReader, serialized_reader::SerializedFileReader};
use serde_json::Value;

use crate::{
    demo,
    support::{Rastro, made_up_log},
};

#[test]
fn every_form_holds_every_call() {
    let rastro = Rastro::new();
    let path = demo::recording("attack").display().to_string();
    let report = rastro.json(&["replay", &path, "--dataset", "shop", "--json"]);
    let stored = report["calls_stored"].as_u64().unwrap();
    let mut rows = Vec::new();
    for form in ["ndjson", "csv", "parquet"] {
        rastro.text(&["export", "shop", "--format", form, "--output", form]);
        let folder = rastro.folder.path().join(form);
        let card: Value =
            serde_json::from_slice(&std::fs::read(folder.join("datacard.json")).unwrap()).unwrap();
        assert_eq!(card["tally"]["calls_stored"], stored);
        assert_eq!(card["conservation"]["events_are_accounted_for"], true);
        let without_row = card["conservation"]["calls_without_a_row"].as_u64().unwrap();
        assert_eq!(card["rows"].as_u64().unwrap() + without_row, stored);
        assert_eq!(card["categories"][3]["name"], "wait");
        let index = &card["indices"][0];
        let file = folder.join(index["file"].as_str().unwrap());
        let bytes = std::fs::metadata(&file).unwrap().len();
        assert_eq!(index["bytes"], bytes);
        let sum = Command::new("sha256sum").arg(&file).output().unwrap().stdout;
        assert!(String::from_utf8(sum).unwrap().starts_with(index["sha256"].as_str().unwrap()));
        let page = std::fs::read_to_string(folder.join("datacard.md")).unwrap();
        assert!(page.contains("| 3 | wait |") && page.contains("nothing is known to be lost"), "{page}");
        rows.push(match form {
            "ndjson" => std::fs::read_to_string(&file).unwrap().lines().count() as u64,
            "csv" => std::fs::read_to_string(&file).unwrap().lines().count() as u64 - 1,
            _ => {
                let reader = SerializedFileReader::new(File::open(&file).unwrap()).unwrap();
                reader.metadata().file_metadata().num_rows() as u64
            }
        });
        assert_eq!(rows[0], card["rows"].as_u64().unwrap());
        let error = rastro.error(&["export", "shop", "--format", form, "--output", form]);
        assert!(error.contains("is not empty"), "{error}");
    }
    assert!(rows.iter().all(|&count| count == rows[0] && count > 10_000), "{rows:?}");
    let streamed = rastro.text(&["export", "shop", "--output", "-"]);
    assert_eq!(
        streamed,
        std::fs::read_to_string(rastro.folder.path().join("ndjson/").join(name(&rastro))).unwrap()
    );
    assert!(rastro.error(&["export", "shop", "--format", "parquet", "-o", "-"]).contains("--output"));
    assert!(rastro.error(&["export", "nothing"]).contains("no dataset `nothing`"));
}

fn name(rastro: &Rastro) -> String {
    let datasets = rastro.json(&["datasets", "--json"]);
    format!("{}.ndjson", datasets[0]["indices"][0]["name"].as_str().unwrap())
}

#[test]
fn labels_travel_with_the_calls() {
    let rastro = Rastro::new();
    rastro.file("attack.labels", b"Web_Shell\tr1\t1\nAdduser\tr2\t2\n");
    let path = rastro.file("attack.txt", b"6 6 63\n11 4 4 4\n").display().to_string();
    rastro.json(&["replay", &path, "--dataset", "adfa", "--table", "i386", "--json"]);
    let lines = rastro.text(&["export", "adfa", "--output", "-"]);
    let calls: Vec<(String, u64, String)> = lines
        .lines()
        .map(|line| {
            let call: Value = serde_json::from_str(line).unwrap();
            (
                call["systemcall_name"].as_str().unwrap().to_owned(),
                call["process.thread.id"].as_u64().unwrap(),
                call["label"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(calls.len(), 7);
    assert_eq!(calls[2], ("dup2".to_owned(), 1, "Web_Shell".to_owned()));
    assert_eq!(calls[3], ("execve".to_owned(), 2, "Adduser".to_owned()));
}

/// What is exported in a published layout is read back by `rastro eval`, with the same traces and labels.
#[test]
fn layouts_are_read_back_with_every_trace_and_label() {
    let rastro = Rastro::new();
    rastro.file("attack.labels", b"Web_Shell\tr1\t1\nAdduser\tr2\t2\n");
    let attack = rastro.file("attack.txt", b"6 6 63 11 11 6\n11 4 4 4 340\n").display().to_string();
    let normal = rastro.file("normal.txt", "3 4 5 6 3 4 5 6\n".repeat(5).as_bytes()).display().to_string();
    rastro.json(&["replay", &attack, &normal, "--dataset", "adfa", "--table", "i386", "--json"]);
    rastro.text(&["export", "adfa", "--format", "adfa", "--output", "folders"]);
    let folder = rastro.folder.path().join("folders");
    let mut check = Command::new("sha256sum");
    let sums = check.args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&folder).status().unwrap();
    assert!(sums.success());
    let report = rastro.json(&["eval", "folders", "--detector", "stide:n=3", "--json"]);
    assert_eq!(report["train"], serde_json::json!({ "traces": 3, "calls": 24 }));
    assert_eq!(report["normal"], serde_json::json!({ "traces": 2, "calls": 16 }));
    assert_eq!(report["attack"], serde_json::json!({ "traces": 2, "calls": 11 }));
    assert_eq!(report["results"][0]["by_kind"]["Web_Shell"]["traces"], 1);
    assert_eq!(report["auc"], 1.0);
    // The store itself gives the same.
    let stored = rastro.json(&["eval", "adfa", "--detector", "stide:n=3", "--json"]);
    for part in ["train", "normal", "attack", "auc"] {
        assert_eq!(stored[part], report[part], "{part}");
    }
    let error = rastro.error(&["export", "adfa", "--format", "adfa", "--output", "-"]);
    assert!(error.contains("the layout of ADFA-LD cannot be written to standard output"), "{error}");
}

#[test]
fn recordings_in_the_layout_of_lid_ds_are_read_back_with_the_begin_of_the_attack() {
    let rastro = Rastro::new();
    let mut recordings = Vec::new();
    for seed in 1..=6 {
        let name = format!("normal-{seed}.log");
        recordings.push(rastro.file(&name, &made_up_log(4_000, seed)).display().to_string());
    }
    // The attack is a thread of its own, which begins after 3,000 calls of the usual work.
    let mut log = made_up_log(4_000, 77);
    let row = |line: u32| {
        let is_attack = u32::from((3_000..3_400).contains(&line));
        format!("{}\t{}\t{is_attack}\n", line + 1, 7 + is_attack)
    };
    let rows: Vec<String> = (0..4_000).map(row).collect();
    let threads = "event\tthread\tattack\n".to_owned() + &rows.concat();
    let calls = ["execve", "dup2", "connect", "ptrace", "setuid", "chmod"];
    let lines: Vec<String> = String::from_utf8(log)
        .unwrap()
        .lines()
        .enumerate()
        .map(|(line, text)| {
            let mut fields: Vec<&str> = text.split(' ').collect();
            if (3_000..3_400).contains(&line) {
                fields[4] = calls[line % calls.len()];
            }
            fields.join(" ") + "\n"
        })
        .collect();
    log = lines.concat().into_bytes();
    recordings.push(rastro.file("attacked.log", &log).display().to_string());
    rastro.file("attacked.threads.tsv", threads.as_bytes());
    let recordings: Vec<&str> = recordings.iter().map(String::as_str).collect();
    let replayed = rastro.json(&[&["replay"], &recordings[..], &["--dataset", "shop", "--json"]].concat());
    assert_eq!(replayed["calls_stored"], 28_000);
    rastro.text(&["export", "shop", "--format", "lidds", "--output", "scenario"]);
    let report = rastro.json(&["eval", "scenario", "--detector", "stide:n=6", "--json"]);
    assert_eq!(report["train"], serde_json::json!({ "traces": 3, "calls": 12_000 }));
    assert_eq!(
        report["calibrate"]["traces"].as_u64().unwrap() + report["normal"]["traces"].as_u64().unwrap(),
        3
    );
    assert_eq!(report["attack"], serde_json::json!({ "traces": 1, "calls": 4_000 }));
    let result = &report["results"][0];
    assert_eq!(result["by_kind"]["attack"]["traces"], 1);
    assert_eq!(result["auc"], 1.0);
    // Found within two frames of its begin, not after the 3,000 calls before it.
    let calls = result["calls_to_detect"]["median_calls"].as_u64().unwrap();
    assert!(calls <= 512, "{calls}");
    let tables = rastro.text(&[
        "eval",
        "scenario",
        "--detector",
        "stide:n=6",
        "--plot",
        "roc.svg",
        "--html",
        "page.html",
    ]);
    assert!(tables.contains("OWN THRESHOLD"), "{tables}");
    let written = |name: &str| std::fs::read_to_string(rastro.folder.path().join(name)).unwrap();
    assert!(written("roc.svg").contains("stide:n=6, AUC 1.000") && written("page.html").contains("<svg"));
}

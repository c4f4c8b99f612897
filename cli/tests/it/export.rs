//! `rastro export`: the same calls in every form, and a card that tells what they are.

use std::{fs::File, process::Command};

use parquet::file::{reader::FileReader, serialized_reader::SerializedFileReader};
use serde_json::Value;

use crate::{demo, support::Rastro};

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

//! `rastro explain` on a real attack.

use crate::{demo, support::Rastro};

#[test]
fn an_attack_is_explained_from_its_first_unseen_sequence_to_the_next_command() {
    let rastro = demo::scored();
    let page = rastro.text(&["explain", "worst"]);
    for part in [
        "First sequence never seen in training, by ",
        "Reasons",
        "Calls around the first unusual one",
        "What to do next",
        "image rastro/demo-webshop:1",
        "worker-1",
    ] {
        assert!(page.contains(part), "no `{part}` in {page}");
    }
    assert!(!page.chars().any(|c| c.is_control() && c != '\n'), "{page:?}");

    let document = rastro.json(&["explain", "latest", "--json", "--context", "3"]);
    let calls = document["first"]["calls"].as_array().unwrap();
    let marked: Vec<_> = document["context"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["unusual"] == true)
        .map(|call| call["name"].clone())
        .collect();
    let named: Vec<_> = calls.iter().map(|call| call["name"].clone()).collect();
    assert_eq!(marked, named, "the marked calls are the sequence itself");
    assert!(document["context"].as_array().unwrap().len() <= calls.len() + 6);
    let thread = &document["first"]["thread"];
    assert!(document["context"].as_array().unwrap().iter().all(|call| call["thread"] == *thread));

    // What it says to do next can be done as it stands.
    for step in document["next"].as_array().unwrap() {
        let command = step["command"].as_str().unwrap();
        let arguments: Vec<&str> = command.split(' ').skip(1).collect();
        rastro.text(&arguments);
    }
    let id = document["alarm"]["id"].as_str().unwrap();
    let by_prefix = rastro.json(&["explain", &id[..8], "--json"]);
    assert_eq!(by_prefix["alarm"]["id"], document["alarm"]["id"]);
    let error = rastro.error(&["explain", "no-such-alarm"]);
    assert!(error.contains("`rastro alarms` lists"), "{error}");
}

#[test]
fn without_alarms_there_is_nothing_to_explain() {
    let rastro = Rastro::new();
    assert!(rastro.error(&["explain", "latest"]).contains("nothing is stored"));
    let path = demo::recording("attack").display().to_string();
    rastro.json(&["replay", &path, "--dataset", "shop", "--json"]);
    assert!(rastro.error(&["explain", "latest"]).contains("there are no alarms"));
}

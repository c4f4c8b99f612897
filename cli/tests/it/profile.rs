//! `rastro profile`: what a user can do with a profile.

use crate::demo;

#[test]
fn a_profile_is_shown_compared_merged_moved_and_deleted() {
    let rastro = demo::scored();
    let name = "rastro/demo-webshop:1";
    let list = rastro.json(&["profile", "list", "--json"]);
    assert_eq!((list[0]["name"].as_str(), list[0]["version"].as_u64()), (Some(name), Some(1)));
    let page = rastro.text(&["profile", "show", name]);
    assert!(page.contains("complete   9") && page.contains("LEARNED FROM"), "{page}");
    let shown = rastro.json(&["profile", "show", "rastro/demo-webshop:1@1", "--json"]);
    assert_eq!(shown["version"], 1);
    assert_eq!(shown["training"]["calls"], list[0]["calls"]);

    // What a container did while it was in alarm is not learned, unless someone says that it was normal.
    let careful = rastro.json(&["train", "shop", "--profile", "careful", "--json"]);
    assert!(careful[0]["left_out"].as_u64().unwrap() > 0, "{careful}");
    let drift = rastro.json(&["profile", "diff", name, "careful", "--json"]);
    assert_eq!(drift["difference"]["new_calls"], serde_json::json!([]));

    // A second profile, of the attack, knows calls that the first does not.
    rastro.text(&["train", "shop", "--profile", "all", "--include-alarms"]);
    let diff = rastro.json(&["profile", "diff", name, "all", "--json"]);
    assert!(!diff["difference"]["new_calls"].as_array().unwrap().is_empty(), "{diff}");
    assert!(rastro.text(&["profile", "diff", name, "all"]).contains("new calls:"));
    let gate = |pattern: &str| rastro.run(&["profile", "diff", name, "all", "--fail-on", pattern]);
    let new_call = diff["difference"]["new_calls"][0][0].as_str().unwrap();
    let refused = gate(&format!("^({new_call}|no_such_call)$"));
    assert_eq!(refused.status.code(), Some(3));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains(&format!("refused: {new_call} is new")), "{told}");
    assert_eq!(gate("^no_such_call$").status.code(), Some(0));
    assert!(rastro.error(&["profile", "diff", name, "all", "--fail-on", "("]).contains("--fail-on"));

    let merged = rastro.json(&["profile", "merge", name, "all", "--into", "both", "--json"]);
    let calls = |reference: &str| {
        rastro.json(&["profile", "show", reference, "--json"])["training"]["calls"].as_u64().unwrap()
    };
    assert_eq!(merged["calls"].as_u64().unwrap(), calls(name) + calls("all"));

    rastro.text(&["profile", "export", name, "-o", "shop.profile"]);
    let imported = rastro.json(&["profile", "import", "shop.profile", "--name", "copy", "--json"]);
    assert_eq!((imported["name"].as_str(), imported["version"].as_u64()), (Some("copy"), Some(1)));
    let same = rastro.json(&["profile", "diff", name, "copy", "--json"]);
    assert_eq!(same["difference"]["new_calls"], serde_json::json!([]));
    let damaged = rastro.file("damaged.profile", b"RASTROPF and then nothing of the kind");
    let error = rastro.error(&["profile", "import", &damaged.display().to_string()]);
    assert!(error.contains("cannot be used as a profile"), "{error}");

    rastro.text(&["profile", "delete", "copy"]);
    assert!(rastro.error(&["profile", "show", "copy"]).contains("`copy`"));
    assert!(rastro.error(&["profile", "delete", "copy@1"]).contains("`copy@1`"));
    assert!(rastro.error(&["profile", "show", "@1"]).contains("NAME@VERSION"));
}

#[test]
fn a_profile_may_be_the_first_thing_in_a_data_directory() {
    let there = demo::scored();
    let file = there.folder.path().join("shop.profile").display().to_string();
    there.text(&["profile", "export", "rastro/demo-webshop:1", "--output", &file]);
    let here = crate::support::Rastro::new();
    here.text(&["profile", "import", &file]);
    assert_eq!(here.json(&["profile", "list", "--json"])[0]["name"], "rastro/demo-webshop:1");
}

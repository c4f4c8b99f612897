//! `rastro doctor`: what works and what does not.

use crate::support::Rastro;

#[test]
fn a_machine_that_can_run_it_is_told_so() {
    let rastro = Rastro::new();
    let report = rastro.json(&["doctor", "--json"]);
    assert_eq!(report["works"], true, "{report}");
    let names: Vec<_> =
        report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in
        ["configuration", "data directory", "store", "open files", "sysdig", "BTF", "container runtimes"]
    {
        assert!(names.contains(&name), "no `{name}` in {names:?}");
    }
    assert!(!rastro.data_dir().exists(), "looking makes nothing");
}

#[test]
fn what_keeps_it_from_running_makes_it_fail() {
    let rastro = Rastro::new();
    std::fs::create_dir_all(rastro.data_dir().join("store")).unwrap();
    std::fs::write(rastro.data_dir().join("store/rastro.db"), b"this is no database, whatever its name says")
        .unwrap();
    for arguments in [&["doctor", "--json"][..], &["doctor", "--json", "--set", "analyzer.frame=many"]] {
        let output = rastro.run(arguments);
        assert!(!output.status.success());
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let broken: Vec<_> =
            checks.iter().filter(|check| check["state"] == "broken").map(|check| &check["name"]).collect();
        assert!(broken.contains(&&serde_json::json!("store")), "{report}");
        assert_eq!(broken.contains(&&serde_json::json!("configuration")), arguments.len() > 2, "{report}");
        assert!(
            checks.iter().filter(|check| check["state"] != "ok").all(|check| check["advice"].is_string())
        );
    }
}

//! A store of an earlier Rastro, and the command that brings it up to date.

use crate::support::{Rastro, made_up_log};

#[test]
fn an_embedded_store_of_an_earlier_version_is_migrated_with_all_that_is_in_it() {
    let rastro = Rastro::new();
    let error = rastro.error(&["migrate"]);
    assert!(error.contains("nothing to migrate"), "{error}");
    let log = rastro.file("web.log", &made_up_log(500, 7));
    let log = log.to_str().unwrap();
    rastro.text(&["replay", log, "--dataset", "shop", "--speed", "max", "--drain"]);
    let before = rastro.json(&["datasets", "--json"]);
    assert!(rastro.text(&["migrate"]).contains("has the layout of this Rastro"));

    // As the first version of the tables was.
    let store = rastro.data_dir().join("store/rastro.db");
    assert!(store.is_file(), "{}", store.display());
    rusqlite::Connection::open(&store)
        .unwrap()
        .execute_batch(
            "DROP INDEX dead_letters_by_time; ALTER TABLE dead_letters DROP COLUMN ingested_ns; PRAGMA user_version = 1;",
        )
        .unwrap();
    let error = rastro.error(&["datasets"]);
    assert!(error.contains("version 1") && error.contains("`rastro migrate`"), "{error}");
    let planned = rastro.json(&["migrate", "--dry-run", "--json"]);
    assert_eq!(
        (&planned["changes"][0]["from"], &planned["changes"][0]["to"]),
        (&1.into(), &2.into()),
        "{planned}"
    );
    assert!(rastro.error(&["datasets"]).contains("version 1"), "a trial changes nothing");
    assert!(rastro.text(&["migrate"]).contains("done"));
    assert_eq!(rastro.json(&["datasets", "--json"]), before);
    assert_eq!(rastro.json(&["migrate", "--json"])["changes"].as_array().map(Vec::len), Some(0));
}

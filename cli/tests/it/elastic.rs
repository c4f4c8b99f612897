//! Roles and commands on a real Elasticsearch, and on a real Redis before it.

use std::{
    fs::OpenOptions,
    io::Write,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    elasticsearch::Elasticsearch,
    redis::{PASSWORD, Redis},
    support::{Rastro, closed, made_up_log},
};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// A process that is killed if the test fails.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// As by SIGKILL, which is what it is.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for: {what}");
        sleep(Duration::from_millis(300));
    }
}

fn stored(elastic: &Elasticsearch, rastro: &Rastro) -> Value {
    let output = elastic.command(rastro, &["datasets", "--json"]).output().unwrap();
    serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default()[0].clone()
}

/// The sum of a field over all documents of an index.
fn sum(elastic: &Elasticsearch, index: &str, field: &str) -> u64 {
    let answer = elastic.aggregate(index, &json!({ "sum": { "sum": { "field": field } } }));
    answer["aggregations"]["sum"]["value"].as_f64().unwrap_or(0.0) as u64
}

#[test]
fn roles_that_are_killed_one_after_the_other_store_and_score_every_call_once() {
    const LINES: usize = 12_000;
    let (Some(elastic), Some(redis)) = (Elasticsearch::find(), Redis::start()) else { return };
    let log = made_up_log(LINES, 11);

    // What it comes to where nothing goes wrong.
    let undisturbed = Rastro::new();
    let path = undisturbed.file("made-up.log", &log).display().to_string();
    let expected = closed(undisturbed.json(&["replay", &path, "--format", "rocha", "--json"]));

    let (node, centre) = (Rastro::new(), Rastro::new());
    let secret = node.file("password", PASSWORD.as_bytes()).display().to_string();
    let settings = [
        format!("broker.urls=[\"{}\"]", redis.url),
        format!("broker.password_file={secret:?}"),
        "transformer.documents=[\"segment\",\"rollup\",\"call\",\"window\"]".to_owned(),
        "compat.numbers_as_strings=true".to_owned(),
        "shipper.chunk_bytes=\"16 KiB\"".to_owned(),
    ];
    let start = |rastro: &Rastro, role: &str| {
        let mut command = elastic.command(rastro, &[role]);
        for setting in &settings {
            command.args(["--set", setting]);
        }
        Process::start(command)
    };
    let logs = node.data_dir().join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    let path = logs.join("0123456789ab.log");
    let third = |number: usize| {
        let lines: Vec<&[u8]> = log.split_inclusive(|&byte| byte == b'\n').collect();
        let part = lines[LINES / 3 * number..LINES / 3 * (number + 1)].concat();
        OpenOptions::new().create(true).append(true).open(&path).unwrap().write_all(&part).unwrap();
    };

    third(0);
    let mut shipper = start(&node, "shipper");
    // Several of each role share one data directory: none of its parts is theirs.
    let mut transformers = [start(&centre, "transformer"), start(&centre, "transformer")];
    let mut analyzers = [start(&centre, "analyzer"), start(&centre, "analyzer")];
    until("a first segment", || stored(&elastic, &centre)["tally"]["calls_stored"].as_u64() > Some(0));
    transformers[0].kill();
    third(1);
    shipper.kill();
    analyzers[0].kill();
    shipper = start(&node, "shipper");
    transformers[0] = start(&centre, "transformer");
    analyzers[0] = start(&centre, "analyzer");
    sleep(Duration::from_millis(500));
    transformers[1].kill();
    analyzers[1].kill();
    third(2);
    transformers[1] = start(&centre, "transformer");
    until("all calls", || stored(&elastic, &centre)["tally"]["calls_stored"] == LINES);
    let index = format!("{}-shop-2026.11.21", elastic.name);
    let windows_scored = expected["windows_scored"].as_u64().unwrap();
    let anomaly = format!("{index}-anomaly");
    until("all windows", || sum(&elastic, &anomaly, "rastro.windows") >= windows_scored);
    drop((shipper, transformers, analyzers));

    let dataset = stored(&elastic, &centre);
    assert_eq!(dataset["tally"]["lines_read"], LINES);
    assert_eq!((&dataset["lost_lines"], &dataset["lost_bytes"]), (&json!(0), &json!(0)));
    assert_eq!(sum(&elastic, &index, "rastro.calls") as usize, LINES, "calls in segments");
    assert_eq!(sum(&elastic, &format!("{index}-windows"), "rastro.window.calls") as usize, LINES);
    assert_eq!(sum(&elastic, &anomaly, "rastro.windows"), windows_scored, "no window is scored twice");

    // The panels of SPEC 1.6, over numbers that are strings.
    let panels = elastic.aggregate(
        &format!("{index}-events"),
        &json!({
            "names": { "terms": { "field": "systemcall", "size": 50 } },
            "types": { "terms": { "field": "systemcall_type" } },
            "arguments": { "terms": { "field": "argc" } },
            "over_time": {
                "date_histogram": { "field": "@timestamp", "fixed_interval": "30m" },
                "aggs": { "latency": { "avg": { "field": "latency" } } },
            },
            "highest": { "max": { "field": "latency" } },
            "all": { "sum": { "field": "latency" } },
        }),
    );
    assert_eq!(panels["hits"]["total"]["value"], LINES, "one document a call");
    let found = &panels["aggregations"];
    assert_eq!(found["highest"]["value"], 120.0);
    assert_eq!(found["all"]["value"], 120.0 * LINES as f64);
    assert_eq!(found["over_time"]["buckets"][0]["latency"]["value"], 120.0);
    assert_eq!(found["arguments"]["buckets"][0]["doc_count"], LINES);
    let names: u64 = found["names"]["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name["doc_count"].as_u64().unwrap())
        .sum();
    assert_eq!(names as usize, LINES);
}

#[test]
fn every_command_answers_on_elasticsearch_as_on_the_embedded_store() {
    let Some(elastic) = Elasticsearch::find() else { return };
    let normal = made_up_log(20_000, 5);
    let mut attack = made_up_log(3000, 6);
    for line in 0..300 {
        writeln!(
            attack,
            "{} 2026-11-21T07:00:01.{:09}+0000 < process {} 120 0  res=0 ",
            3001 + line,
            line,
            ["ptrace", "execve", "setuid", "connect", "dup2"][line % 5]
        )
        .unwrap();
    }
    let name = format!("{}-shop", elastic.name);
    let (here, there) = (Rastro::new(), Rastro::new());
    let run = |arguments: &[&str]| {
        let embedded = here.json(arguments);
        (embedded, elastic.json(&there, arguments))
    };
    // The same path on both sides, since the container is named after it.
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (normal, attack) = (file("normal.log", &normal), file("attack.log", &attack));
    let replay = |path: &str| {
        let (embedded, remote) =
            run(&["replay", path, "--format", "rocha", "--dataset", &name, "--image", "shop:1", "--json"]);
        let (embedded, remote) = (closed(embedded), closed(remote));
        for figure in
            ["lines_read", "calls_stored", "dead_letters", "windows_scored", "frames_scored", "alarms"]
        {
            assert_eq!(embedded[figure], remote[figure], "{figure} of {path}");
        }
        remote
    };
    assert_eq!(replay(&normal)["calls_stored"], 20_000);
    let (embedded, remote) = run(&["train", &name, "--json"]);
    assert_eq!(embedded[0]["calls"], remote[0]["calls"], "{embedded} {remote}");
    let found = replay(&attack);
    assert!(found["alarms"].as_u64() > Some(0), "{found}");

    let (embedded, remote) = run(&["alarms", "--json"]);
    let scores = |alarms: &Value| {
        let mut scores: Vec<String> =
            alarms.as_array().unwrap().iter().map(|alarm| alarm["score"].to_string()).collect();
        scores.sort();
        scores
    };
    assert_eq!(scores(&embedded), scores(&remote));
    assert!(elastic.text(&there, &["explain", "latest"]).contains("ptrace"));
    let (embedded, remote) = run(&["datasets", "--json"]);
    assert_eq!(embedded[0]["tally"], remote[0]["tally"]);
    let (embedded, remote) = run(&["profile", "list", "--json"]);
    assert_eq!(embedded[0]["calls"], remote[0]["calls"]);
    let (embedded, remote) = run(&["score", &name, "--name", "second", "--json"]);
    assert_eq!(embedded["windows_scored"], remote["windows_scored"]);
    assert_eq!(elastic.json(&there, &["dead-letters", &name, "--json"]), json!([]));
    let lines = elastic.text(&there, &["export", &name, "--format", "ndjson", "--output", "-"]);
    assert_eq!(lines.lines().count(), 23_300);
    assert_eq!(elastic.json(&there, &["migrate", "--json"])["changes"], json!([]));
    let doctor = elastic.json(&there, &["doctor", "--json"]);
    assert_eq!(doctor["works"], true, "{doctor}");
    assert!(doctor["checks"].to_string().contains("elasticsearch"), "{doctor}");

    elastic.text(&there, &["datasets", "delete", &name, "--yes"]);
    assert_eq!(elastic.json(&there, &["datasets", "--json"]), json!([]));
}

#[test]
fn what_a_server_refuses_is_one_sentence_and_nothing_is_lost() {
    let Some(elastic) = Elasticsearch::find() else { return };
    let rastro = Rastro::new();
    for arguments in [&["datasets"][..], &["transformer"], &["analyzer"]] {
        let mut command = elastic.command(&rastro, arguments);
        let output = command
            .args(["--set", "store.password_file="])
            .env("RASTRO_STORE__PASSWORD", "wrong-password")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(error.contains("credentials") && error.contains("store.password_file"), "{error}");
        assert!(!error.contains("wrong-password"), "{error}");
    }
    let mut command = elastic.command(&rastro, &["datasets"]);
    let output = command.args(["--set", "store.urls=[\"http://127.0.0.1:1\"]"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("127.0.0.1:1"), "{error}");

    // An index of that name that is someone else's.
    let index = format!("{}-shop-2026.11.21", elastic.name);
    let foreign = json!({ "mappings": { "properties": { "rastro": { "type": "keyword" } } } });
    elastic.ask("PUT", &format!("/{index}"), &foreign);
    let log = rastro.file("made-up.log", &made_up_log(500, 3)).display().to_string();
    let replay =
        ["replay", &log, "--format", "rocha", "--dataset", &format!("{}-shop", elastic.name), "--json"];
    let error = elastic.error(&rastro, &replay);
    assert!(error.contains(&index), "{error}");
    // The chunks have stayed where they were: the same command carries on once the index is out of the way.
    elastic.try_ask("DELETE", &format!("/{index}"), None).unwrap();
    let report = closed(elastic.json(&rastro, &replay));
    assert_eq!((&report["calls_stored"], &report["resumed"]), (&json!(500), &json!(true)));
}

#[test]
fn documents_that_the_embedded_store_cannot_keep_are_refused_by_the_name_of_their_key() {
    let rastro = Rastro::new();
    for kind in ["call", "window"] {
        let setting = format!("transformer.documents=[\"segment\",\"{kind}\"]");
        let error = rastro.error(&["config", "check", "--set", &setting]);
        assert!(error.contains("transformer.documents") && error.contains(kind), "{error}");
        assert!(error.contains("store.urls"), "{error}");
    }
}

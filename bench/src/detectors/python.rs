//! STIDE as it is usually published: Python.

use std::{
    fmt::Write as _,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde::Deserialize;

use crate::naive::NaiveCall;

/// Reads `thread call` lines, learns, scores, and prints what it found and how long the scoring alone took.
const SCRIPT: &str = r#"
import collections, json, sys, time

def calls(path):
    with open(path) as lines:
        return [tuple(map(int, line.split())) for line in lines]

def windows(calls, n):
    recent = collections.defaultdict(lambda: collections.deque(maxlen=n))
    for thread, call in calls:
        window = recent[thread]
        window.append(call)
        if len(window) == n:
            yield tuple(window)

train, test, n = calls(sys.argv[1]), calls(sys.argv[2]), int(sys.argv[3])
known = set(windows(train, n))
begun = time.perf_counter()
unseen = sum(1 for window in windows(test, n) if window not in known)
print(json.dumps({"seconds": time.perf_counter() - begun, "unseen": unseen}))
"#;

/// What Python came to.
pub(super) struct Scored {
    pub(super) time: Duration,
    pub(super) unseen: u64,
}

#[derive(Deserialize)]
struct Answer {
    seconds: f64,
    unseen: u64,
}

/// Scores `test`; `None` where there is no Python.
pub(super) fn stide(train: &[NaiveCall], test: &[NaiveCall], n: usize) -> anyhow::Result<Option<Scored>> {
    let is_there = Command::new("python3")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("    there is no python3: STIDE in Python is left out");
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let (train_file, test_file) = (folder.path().join("train"), folder.path().join("test"));
    fs::write(&train_file, text_of(train))?;
    fs::write(&test_file, text_of(test))?;
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .args([&train_file, &test_file])
        .arg(n.to_string())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run python3")?;
    let answer: Answer = serde_json::from_slice(&output.stdout).context("python3 did not answer")?;
    Ok(Some(Scored { time: Duration::from_secs_f64(answer.seconds), unseen: answer.unseen }))
}

fn text_of(calls: &[NaiveCall]) -> String {
    calls.iter().fold(String::new(), |mut text, (thread, call)| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{thread} {call}");
        text
    })
}

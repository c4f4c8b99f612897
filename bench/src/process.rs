//! A process that is measured from its start to its end.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::measure::{Usage, usage};

/// How often a running process is asked what it has used. Its peak of memory is kept by the kernel, so only what it does in its
/// last moments can be missed.
const INTERVAL: Duration = Duration::from_millis(20);

/// What a process came to.
pub(crate) struct Finished {
    /// From start to end.
    pub(crate) time: Duration,
    /// What it used.
    pub(crate) usage: Usage,
    /// What it printed: one JSON document.
    pub(crate) answer: Value,
}

impl Finished {
    /// A count in the answer.
    pub(crate) fn count(&self, key: &str) -> anyhow::Result<u64> {
        self.answer[key].as_u64().with_context(|| format!("the answer has no count `{key}`: {}", self.answer))
    }
}

/// Runs `rastro` with `arguments` on `data_dir` and reads the JSON that it prints.
pub(crate) fn rastro(binary: &Path, data_dir: &Path, arguments: &[&str]) -> anyhow::Result<Finished> {
    let folder = tempfile::tempdir()?;
    let (output, errors) = (folder.path().join("stdout"), folder.path().join("stderr"));
    let mut command = Command::new(binary);
    command
        .arg("--data-dir")
        .arg(data_dir)
        .args(["--quiet", "--log", "warn", "--set", "observability.enabled=false"])
        .args(["--set", "analyzer.learning=manual"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(File::create(&errors)?);
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run `{}`", binary.display()))?;
    let mut last = Usage::default();
    let status = loop {
        if let Some(now) = usage(child.id()) {
            last = now;
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(INTERVAL);
    };
    let time = begun.elapsed();
    if !status.success() {
        let said = fs::read_to_string(&errors).unwrap_or_default();
        bail!("`rastro {}` ended with {status}: {said}", arguments.join(" "));
    }
    let answer = serde_json::from_slice(&fs::read(&output)?)
        .with_context(|| format!("`rastro {}` printed no JSON document", arguments.join(" ")))?;
    Ok(Finished { time, usage: last, answer })
}

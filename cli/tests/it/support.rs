//! Running the binary, and finding recordings that lie outside the repository.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// `rastro` on a data directory of its own.
pub(crate) struct Rastro {
    pub(crate) folder: tempfile::TempDir,
}

impl Rastro {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The command, with a free port for metrics and the node's name fixed.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rastro"));
        command
            .current_dir(self.folder.path())
            .env_remove("RASTRO_CONFIG")
            .env_remove("RASTRO_SERVICES")
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--set", "observability.listen=127.0.0.1:0", "--set", "node=worker-1"]);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Standard output of a command that must succeed.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "rastro {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON that a command prints, which must succeed.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The one sentence of a command that must fail.
    pub(crate) fn error(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "rastro {} succeeded", arguments.join(" "));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A file in the test's folder.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(content).unwrap();
        path
    }
}

/// A recording outside the repository; `None`, with a message, where it is not there.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: `{name}` is not beside the checkout (../shared/data)");
    None
}

/// Checks both sums of a `replay --json`, and returns it.
#[track_caller]
pub(crate) fn closed(report: Value) -> Value {
    let figure = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no `{name}` in {report}"));
    assert_eq!(figure("lines_read"), figure("events_parsed") + figure("dead_letters"), "{report}");
    assert_eq!(
        figure("events_parsed"),
        figure("calls_stored") + figure("events_folded") + figure("events_not_calls") + figure("calls_lost"),
        "{report}"
    );
    report
}

/// Lines of made-up work in Rocha's format: `threads` loops through a few routines, seeded.
pub(crate) fn made_up_log(lines: usize, seed: u64) -> Vec<u8> {
    let routines: [&[&str]; 3] = [
        &["accept", "recvfrom", "stat", "open", "fstat", "read", "sendto", "close", "close"],
        &["futex", "clock_gettime", "epoll_wait"],
        &["open", "lseek", "read", "lseek", "read", "close"],
    ];
    let mut random = seed | 1;
    let mut log = Vec::new();
    let (mut routine, mut step) = (0, 0);
    for line in 0..lines {
        let name = routines[routine][step];
        step += 1;
        if step == routines[routine].len() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            routine = random as usize % routines.len();
            step = 0;
        }
        let (second, nanosecond) = (line / 100_000, line % 100_000 * 10_000);
        writeln!(
            log,
            "{} 2026-11-21T07:{:02}:{:02}.{nanosecond:09}+0000 < other {name} 120 0  res=0 ",
            line + 1,
            second / 60,
            second % 60
        )
        .unwrap();
    }
    log
}

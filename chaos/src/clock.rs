//! Clocks that jump: `libfaketime` between a process and the system, where it is installed.
//!
//! Only the time of day jumps; what measures durations goes on, as when an administrator or NTP sets a machine's clock.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where Debian and others put it.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The library, if there is one.
pub fn library() -> Option<PathBuf> {
    LIBRARIES.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// A process' clock.
#[derive(Debug, Clone)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock that is right, kept in `file`.
    pub fn new(file: &Path) -> std::io::Result<Self> {
        let clock = Self { file: file.to_owned() };
        clock.set(0)?;
        Ok(clock)
    }

    /// Lets a process that is about to be started go by this clock.
    pub fn give(&self, command: &mut Command, library: &Path) {
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }

    /// Sets it, seconds ahead of the time or behind it.
    pub fn set(&self, ahead: i64) -> std::io::Result<()> {
        let beside = self.file.with_extension("new");
        fs::write(&beside, format!("{ahead:+}\n"))?;
        fs::rename(&beside, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::now_ns;

    #[test]
    fn a_process_sees_the_time_that_its_clock_shows() {
        let Some(library) = library() else {
            eprintln!("skipped: libfaketime is not installed");
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::new(&folder.path().join("clock")).unwrap();
        clock.set(-100_000).unwrap();
        let mut command = Command::new("date");
        clock.give(command.arg("+%s"), &library);
        let printed = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let off = printed.trim().parse::<i64>().unwrap() - now_ns() / 1_000_000_000;
        assert!((-100_005..=-99_995).contains(&off), "{off}");
    }
}

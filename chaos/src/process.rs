//! A process that is killed, frozen and started again.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a process may take to end when it is asked to.
const END: Duration = Duration::from_secs(20);

/// Makes the command each time the process is started.
type Make = Box<dyn Fn() -> Command + Send>;

/// A process, running or not. It runs in a group of its own, with everything that it starts itself; signals go to the group.
pub struct Process {
    name: String,
    make: Make,
    log: PathBuf,
    child: Option<Child>,
    /// How often it ended without being told to.
    unexpected_ends: u32,
    peak_bytes: u64,
}

impl Process {
    /// A process that does not run yet; what it prints is appended to `log`.
    pub fn new(name: &str, log: &Path, make: impl Fn() -> Command + Send + 'static) -> Self {
        Self {
            name: name.to_owned(),
            make: Box::new(make),
            log: log.to_owned(),
            child: None,
            unexpected_ends: 0,
            peak_bytes: 0,
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it, if it does not run.
    pub fn start(&mut self) -> anyhow::Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let mut command = (self.make)();
        let log = File::options().create(true).append(true).open(&self.log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {} (`{}`)", self.name, command.get_program().display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether it runs; one that has ended by itself is taken note of.
    pub fn is_running(&mut self) -> bool {
        let has_ended = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
        if has_ended {
            self.signal(Signal::KILL);
            self.child = None;
            self.unexpected_ends += 1;
        }
        self.child.is_some()
    }

    /// How often it ended without being told to.
    pub const fn unexpected_ends(&self) -> u32 {
        self.unexpected_ends
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Asks it to end, and kills it if it does not; returns whether it ended by itself and well.
    pub fn stop(&mut self) -> bool {
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < END {
            match self.child.as_mut().map(Child::try_wait) {
                None => return true,
                Some(Ok(Some(status))) => {
                    self.child = None;
                    return status.success();
                }
                Some(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        self.kill();
        false
    }

    /// Stops all its threads where they are.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Resident memory of the process and of what it has started, bytes.
    pub fn memory_bytes(&mut self) -> u64 {
        let Some(child) = &self.child else { return 0 };
        let bytes = resident_bytes(child.id());
        self.peak_bytes = self.peak_bytes.max(bytes);
        bytes
    }

    /// The highest that [`Process::memory_bytes`] has been.
    pub const fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// The end of what it has printed.
    pub fn last_words(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(2048)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(text
                .lines()
                .rev()
                .take(3)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n"))
        };
        read().unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(child.id() as i32));
        if let Some(pid) = pid {
            // An error means that nobody of the group is left.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Resident memory of a process, and of its children: a launcher's is that of what it launched.
fn resident_bytes(pid: u32) -> u64 {
    let own = fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:").map(str::to_owned))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    // Each thread has the children that it started.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children: String = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .collect::<Vec<_>>()
        .join(" ");
    let children: u64 =
        children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).map(resident_bytes).sum();
    own.unwrap_or(0) * 1024 + children
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Process {
        Process::new("sleeper", &folder.join("log"), || {
            let mut command = Command::new("sleep");
            command.arg("60");
            command
        })
    }

    #[test]
    fn what_was_killed_is_not_running_and_can_be_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sleeper(folder.path());
        for _ in 0..2 {
            process.start().unwrap();
            assert!(process.is_running());
            assert!(process.memory_bytes() > 0);
            process.kill();
            assert!(!process.is_running());
        }
        assert_eq!(process.unexpected_ends(), 0);
    }

    #[test]
    fn an_end_that_nobody_asked_for_is_counted_with_the_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::new("speaker", &folder.path().join("log"), || {
            let mut command = Command::new("sh");
            command.args(["-c", "echo so long >&2; exit 3"]);
            command
        });
        process.start().unwrap();
        let begun = Instant::now();
        while process.is_running() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!((process.unexpected_ends(), process.last_words().as_str()), (1, "so long"));
    }
}

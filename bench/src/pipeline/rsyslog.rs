//! rsyslog as a peer: `imfile` to a server, configured as its documentation advises for throughput.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

/// Longest time that it may take.
const LIMIT: Duration = Duration::from_mins(5);

/// Whether rsyslog with both of its outputs is installed.
pub(super) fn is_installed() -> bool {
    let has = |module: &str| {
        ["/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog", "/usr/lib/rsyslog"]
            .iter()
            .any(|folder| Path::new(folder).join(module).is_file())
    };
    has("omhiredis.so") && has("omelasticsearch.so")
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Time that rsyslog takes to bring `file` to where `action` says, until `is_done`.
pub(super) fn time(
    folder: &Path,
    file: &Path,
    action: &str,
    is_done: impl Fn() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let work = tempfile::tempdir_in(folder)?;
    let configuration = work.path().join("rsyslog.conf");
    fs::write(
        &configuration,
        format!(
            "global(workDirectory=\"{work}\" maxMessageSize=\"64k\")\n\
             module(load=\"imfile\" mode=\"inotify\")\nmodule(load=\"omhiredis\")\nmodule(load=\"omelasticsearch\")\n\
             template(name=\"line\" type=\"list\") {{ property(name=\"msg\") }}\n\
             template(name=\"document\" type=\"list\") {{\n\
               constant(value=\"{{\\\"@timestamp\\\":\\\"\") property(name=\"timereported\" dateFormat=\"rfc3339\")\n\
               constant(value=\"\\\",\\\"host\\\":\\\"\") property(name=\"hostname\")\n\
               constant(value=\"\\\",\\\"message\\\":\\\"\") property(name=\"msg\" format=\"json\") constant(value=\"\\\"}}\")\n\
             }}\n\
             input(type=\"imfile\" file=\"{file}\" tag=\"calls\" freshStartTail=\"off\" ruleset=\"out\")\n\
             ruleset(name=\"out\" queue.type=\"LinkedList\" queue.size=\"200000\" queue.dequeueBatchSize=\"4096\") {{\n\
               action({action})\n\
             }}\n",
            work = work.path().display(),
            file = file.display(),
        ),
    )?;
    let said = work.path().join("said");
    let begun = Instant::now();
    let child = Command::new("rsyslogd")
        .arg("-n")
        .arg("-f")
        .arg(&configuration)
        .arg("-i")
        .arg(work.path().join("pid"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said)?)
        .spawn()
        .context("cannot start rsyslogd")?;
    let mut running = Running(child);
    while !is_done()? {
        ensure!(begun.elapsed() < LIMIT, "rsyslog has not brought everything within {} s", LIMIT.as_secs());
        if let Some(status) = running.0.try_wait()? {
            bail!("rsyslogd has ended ({status}): {}", fs::read_to_string(&said).unwrap_or_default());
        }
        std::thread::sleep(super::LOOK);
    }
    Ok(begun.elapsed())
}

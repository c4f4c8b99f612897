//! Captures of sysdig, printed by an installed sysdig.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
};

use super::{RecordingOptions, parse_format, text::TextSource};
use crate::{AgentError, Lines, Progress, Source, error::IoContext, input::Input};

/// How sysdig prints a capture: all that a line can hold, so that calls are routed by container and told apart by thread.
const FORMAT: &str = "sysdig-rich";

/// So much of the end of what sysdig complains about is kept, bytes.
const KEPT_COMPLAINT: usize = 4096;

pub(super) struct ScapSource {
    path: PathBuf,
    text: TextSource,
    child: Child,
    complaint: Option<JoinHandle<Vec<u8>>>,
    is_finished: bool,
}

impl ScapSource {
    pub(super) fn open(path: &Path, options: &RecordingOptions) -> Result<Self, AgentError> {
        let format =
            rastro_format::PRESETS.iter().find(|(name, _)| *name == FORMAT).map_or("", |(_, text)| text);
        let program = options.sysdig.clone().unwrap_or_else(|| "sysdig".into());
        let total = std::fs::metadata(path).context("open", path)?.len();
        let mut child = Command::new(&program)
            .arg("-r")
            .arg(path)
            .arg("-p")
            .arg(format)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => {
                    AgentError::SysdigMissing { path: path.to_owned(), program: program.clone() }
                }
                _ => AgentError::Io { action: "run", path: program.clone(), source },
            })?;
        // Read beside the text, or sysdig would wait for ever once the pipe is full.
        let complaint = child.stderr.take().map(|stderr| std::thread::spawn(move || end_of(stderr)));
        let Some(stdout) = child.stdout.take() else {
            return Err(AgentError::Io {
                action: "run",
                path: program,
                source: io::ErrorKind::BrokenPipe.into(),
            });
        };
        let text =
            TextSource::new(path, Input::from_reader(stdout, total), parse_format(path, format)?, options)?;
        Ok(Self { path: path.to_owned(), text, child, complaint, is_finished: false })
    }

    /// sysdig has closed its output: whether that is the end of the capture or a failure, its exit status says.
    fn finish(&mut self) -> Result<(), AgentError> {
        self.is_finished = true;
        let status = self.child.wait().context("read", &self.path)?;
        let complaint = self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&complaint).trim().replace('\n', "; ");
        Err(AgentError::Sysdig { path: self.path.clone(), status: status.to_string(), message })
    }
}

impl Source for ScapSource {
    fn next_lines(&mut self) -> Result<Option<Lines<'_>>, AgentError> {
        if self.is_finished {
            return Ok(None);
        }
        if self.text.is_at_end()? {
            self.finish()?;
            return Ok(None);
        }
        self.text.next_lines()
    }

    fn progress(&self) -> Progress {
        self.text.progress()
    }

    fn cut_lines(&self) -> u64 {
        self.text.cut_lines()
    }
}

impl Drop for ScapSource {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn end_of(mut stderr: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut block = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut block) {
        kept.extend_from_slice(&block[..read]);
        let excess = kept.len().saturating_sub(KEPT_COMPLAINT);
        kept.drain(..excess);
    }
    kept
}

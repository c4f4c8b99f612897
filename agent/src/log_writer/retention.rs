//! Which rotated files may go, and what is lost when one goes unread.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rastro_model::log_header;
use serde::Serialize;

use super::{LogWriterConfig, Shipped, WhenFull};
use crate::{AgentError, error::IoContext, input::read_up_to};

/// What was deleted before the shipper had read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Files.
    pub files: u64,
    /// Their bytes that were not shipped.
    pub bytes: u64,
    /// Lines in these bytes; a line of which a part was not shipped counts.
    pub lines: u64,
}

pub(super) struct Retention {
    pub(super) shipped: Shipped,
    pub(super) lost: Lost,
    /// The limit is exceeded and only unread files are left.
    pub(super) is_full: bool,
}

struct Rotated {
    log: PathBuf,
    number: u64,
    path: PathBuf,
    bytes: u64,
    modified: SystemTime,
}

impl Retention {
    pub(super) fn new() -> Self {
        Self { shipped: Box::new(|_| 0), lost: Lost::default(), is_full: false }
    }

    pub(super) fn enforce(&mut self, directory: &Path, config: &LogWriterConfig) -> Result<(), AgentError> {
        let (mut rotated, mut total) = list(directory)?;
        // The oldest first: within a log by number, over all logs by the time of the last write.
        rotated.sort_by(|a, b| (a.modified, &a.log, a.number).cmp(&(b.modified, &b.log, b.number)));

        let mut kept = std::collections::HashMap::new();
        for file in &rotated {
            *kept.entry(file.log.clone()).or_insert(0_usize) += 1;
        }
        let mut remaining = Vec::new();
        for file in rotated {
            let is_over_limit = total > config.max_total_bytes;
            let siblings = kept.entry(file.log.clone()).or_default();
            if (*siblings > config.keep_files || is_over_limit) && self.is_shipped(&file) {
                remove(&file.path)?;
                *siblings -= 1;
                total -= file.bytes;
            } else {
                remaining.push(file);
            }
        }
        let mut unread = remaining.into_iter();
        while total > config.max_total_bytes && config.when_full == WhenFull::DropOldest {
            let Some(file) = unread.next() else { break };
            self.count_lost(&file)?;
            remove(&file.path)?;
            total -= file.bytes;
        }
        self.is_full = total > config.max_total_bytes && unread.next().is_some();
        metrics::gauge!("rastro_agent_log_bytes").set(total as f64);
        Ok(())
    }

    fn is_shipped(&self, file: &Rotated) -> bool {
        (self.shipped)(&file.path) >= file.bytes
    }

    fn count_lost(&mut self, file: &Rotated) -> Result<(), AgentError> {
        let shipped = (self.shipped)(&file.path).min(file.bytes);
        let unread = Unread::of(&file.path, shipped).context("read", &file.path)?;
        if unread.bytes == 0 {
            return Ok(());
        }
        self.lost.files += 1;
        self.lost.bytes += unread.bytes;
        self.lost.lines += unread.lines;
        metrics::counter!("rastro_agent_lost_bytes_total").increment(unread.bytes);
        metrics::counter!("rastro_agent_lost_lines_total").increment(unread.lines);
        tracing::error!(
            file = %file.path.display(),
            bytes = unread.bytes,
            lines = unread.lines,
            "the limit of the log files forced a file out that the shipper had not read"
        );
        Ok(())
    }
}

struct Unread {
    bytes: u64,
    lines: u64,
}

impl Unread {
    /// What lies behind `shipped`, without the header.
    fn of(path: &Path, shipped: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut magic = [0; log_header::MAGIC.len()];
        let has_header = read_up_to(&mut file, &mut magic)? == magic.len() && magic == *log_header::MAGIC;
        file.seek(SeekFrom::Start(shipped))?;
        let mut unread = Self { bytes: 0, lines: 0 };
        let mut block = vec![0; 256 * 1024];
        let mut in_line = false;
        let mut in_header = has_header && shipped == 0;
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                unread.lines += u64::from(in_line);
                return Ok(unread);
            }
            let mut bytes = &block[..read];
            if in_header {
                let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
                in_header = !bytes[..end].ends_with(b"\n");
                bytes = &bytes[end..];
            }
            unread.bytes += bytes.len() as u64;
            unread.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
            in_line = bytes.last().map_or(in_line, |&byte| byte != b'\n');
        }
    }
}

/// The rotated files of a folder, and the size of all its log files.
fn list(directory: &Path) -> Result<(Vec<Rotated>, u64), AgentError> {
    let mut rotated = Vec::new();
    let mut total = 0;
    for entry in fs::read_dir(directory).context("read", directory)? {
        let entry = entry.context("read", directory)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let metadata = match entry.metadata() {
            Ok(metadata) if metadata.is_file() => metadata,
            _ => continue,
        };
        if is_log(name) {
            total += metadata.len();
        } else if let Some((log, number)) = name.rsplit_once('.')
            && is_log(log)
            && let Ok(number) = number.parse()
        {
            total += metadata.len();
            rotated.push(Rotated {
                log: directory.join(log),
                number,
                path: entry.path(),
                bytes: metadata.len(),
                modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    Ok((rotated, total))
}

/// Names are our own, so their case is ours as well.
fn is_log(name: &str) -> bool {
    name.as_bytes().ends_with(b".log")
}

fn remove(path: &Path) -> Result<(), AgentError> {
    fs::remove_file(path).context("delete", path)?;
    metrics::counter!("rastro_agent_files_deleted_total").increment(1);
    tracing::debug!(file = %path.display(), "log file deleted");
    Ok(())
}

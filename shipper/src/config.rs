//! How a shipper is set up.

use std::{path::PathBuf, time::Duration};

use rastro_broker::chunk::MAX_PAYLOAD;

use crate::ShipperError;

/// How a [`Shipper`](crate::Shipper) is set up. Every value has a default but the node, the state directory and what to follow.
#[derive(Debug, Clone)]
pub struct ShipperConfig {
    /// Glob patterns of the files to follow (`*` does not cross a `/`, `**` does). Relative ones count from the working directory.
    pub include: Vec<String>,
    /// Glob patterns of files that are left alone although they are included. A pattern without a `/` is compared with the name.
    pub exclude: Vec<String>,
    /// Files to follow by their exact path, whatever bytes it holds.
    pub files: Vec<PathBuf>,
    /// Name of the node; a part of every stream's identity.
    pub node: String,
    /// Directory of the checkpoint; made if it is not there.
    pub state_dir: PathBuf,
    /// Longest content of a line, bytes. What exceeds it is cut, and the line is counted in `cut_lines`.
    pub max_line_bytes: usize,
    /// Size at which a chunk is full, bytes. A longer line is a chunk of its own.
    pub chunk_bytes: usize,
    /// Longest time from a byte's being seen to its leaving: a chunk that is not full waits this long for more. µDetector's
    /// `syscalls_window` (`SPEC` 2.2) sets it.
    pub flush_interval: Duration,
    /// How often everything is looked at whether or not anything was reported: the safety net.
    pub poll_interval: Duration,
    /// Shortest time between two looks at reported changes. While a file is written without pause, this is the pace.
    pub wake_interval: Duration,
    /// How long a file that was rotated away or deleted is watched for late writes after all of it is read and its successor
    /// holds data.
    pub rotation_grace: Duration,
    /// Files held open at most; those that rest at their end are closed first. A file that is closed and deleted before its last
    /// bytes are read is lost, so set it above the number of files written at once.
    pub max_open_files: usize,
    /// Chunks that may be on their way between a file and the broker.
    pub chunks_in_flight: usize,
    /// Bytes of lines in these at most, but for one chunk, which may always be on its way. It bounds what the shipper needs of memory.
    pub bytes_in_flight: usize,
    /// How often the checkpoint is written while things move.
    pub checkpoint_interval: Duration,
    /// Longest time that [`run`](crate::Shipper::run) waits for the broker after it was told to stop.
    pub shutdown_timeout: Duration,
}

impl Default for ShipperConfig {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            files: Vec::new(),
            node: "localhost".to_owned(),
            state_dir: PathBuf::from("shipper"),
            max_line_bytes: 1024 * 1024,
            chunk_bytes: 512 * 1024,
            flush_interval: Duration::from_millis(200),
            poll_interval: Duration::from_secs(2),
            wake_interval: Duration::from_millis(50),
            rotation_grace: Duration::from_millis(250),
            max_open_files: 512,
            chunks_in_flight: 32,
            bytes_in_flight: 4 * 1024 * 1024,
            checkpoint_interval: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

impl ShipperConfig {
    /// Refuses values that no shipper can work with; the message names the key.
    pub(crate) fn check(&self) -> Result<(), ShipperError> {
        let refuse = |key, message: String| Err(ShipperError::Config { key, message });
        let largest = MAX_PAYLOAD / 2;
        if self.include.is_empty() && self.files.is_empty() {
            return refuse("include", "nothing is to be followed; give at least one pattern".to_owned());
        }
        if !(1..=largest).contains(&self.chunk_bytes) {
            return refuse("chunk_bytes", format!("{} is not within 1..={largest}", self.chunk_bytes));
        }
        if !(1..=largest).contains(&self.max_line_bytes) {
            return refuse("max_line_bytes", format!("{} is not within 1..={largest}", self.max_line_bytes));
        }
        if self.chunks_in_flight == 0 {
            return refuse("chunks_in_flight", "0 would ship nothing; give at least 1".to_owned());
        }
        if self.bytes_in_flight == 0 {
            return refuse("bytes_in_flight", "0 would ship nothing; give at least 1".to_owned());
        }
        if self.max_open_files == 0 {
            return refuse("max_open_files", "0 would read nothing; give at least 1".to_owned());
        }
        if self.poll_interval.is_zero() {
            return refuse("poll_interval", "0 would never rest; give at least a millisecond".to_owned());
        }
        Ok(())
    }
}

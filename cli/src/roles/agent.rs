//! The agent's role: until live sources come, it keeps the folder of log files within its limits.

use std::{path::Path, time::Duration};

use rastro_agent::{LogWriter, LogWriterConfig};
use rastro_shipper::Checkpoint;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, data_dir::DataDir};

/// How often age and size of the log files are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn run(
    config: Config,
    data_dir: DataDir,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut writer =
        LogWriter::open(&config.log_dir(), writer_config(&config))?.with_shipped(shipped(&data_dir));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(INTERVAL) => {}
        }
        writer = tokio::task::spawn_blocking(move || writer.maintain().map(|()| writer)).await??;
    }
}

/// How the agent writes log files, as configured.
pub(crate) fn writer_config(config: &Config) -> LogWriterConfig {
    LogWriterConfig {
        max_file_bytes: config.agent.rotate_bytes.0,
        max_file_age: Some(config.agent.rotate_age),
        keep_files: config.agent.keep_files,
        max_total_bytes: config.agent.disk_limit.0,
        ..LogWriterConfig::default()
    }
}

/// How many bytes of a log file the shipper's checkpoint says are shipped. What cannot be told counts as unread.
pub(crate) fn shipped(data_dir: &DataDir) -> Box<dyn Fn(&Path) -> u64 + Send> {
    let state_dir = data_dir.shipper();
    Box::new(move |path| {
        Checkpoint::load(&state_dir)
            .ok()
            .and_then(|checkpoint| checkpoint.shipped_bytes(path).ok())
            .unwrap_or(0)
    })
}

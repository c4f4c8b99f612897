//! Sources of system calls, and one rotated log file a container. Knows neither broker nor store.
//!
//! | module | idea |
//! |---|---|
//! | [`source`] | the one trait: whole lines, and which log they belong to |
//! | [`recording`] | recordings as sources: what a file is, and how it is read |
//! | [`log_writer`] | one log file a container: header, rotation, retention, resuming |
//! | [`plan`], [`replay`](mod@replay), [`pace`] | recordings into log files, as if they happened now |
//! | [`error`] | what can fail |
//!
//! ```no_run
//! # use std::{path::Path, sync::atomic::AtomicBool};
//! # use rastro_agent::{LogWriter, LogWriterConfig, RecordingOptions, ReplayPlan, Speed, finish_replay, replay};
//! # fn main() -> Result<(), rastro_agent::AgentError> {
//! let logs = Path::new("rastro-data/logs");
//! let plan = ReplayPlan::new(&["web.log.gz".into()], RecordingOptions::default(), Speed::Max)?;
//! let mut writer = LogWriter::open(logs, LogWriterConfig::default())?;
//! let report = replay(&plan, &mut writer, &mut |_| (), &AtomicBool::new(false))?;
//! println!("{} lines of {} containers", report.lines, report.containers.len());
//! // … once the shipper has read all of it:
//! finish_replay(logs)?;
//! # Ok(())
//! # }
//! ```

mod civil_date;
mod container;
pub mod error;
mod input;
mod line_blocks;
pub mod log_writer;
pub mod pace;
pub mod plan;
pub mod recording;
pub mod replay;
pub mod source;

pub use error::AgentError;
pub use log_writer::{LogWriter, LogWriterConfig, Lost, WhenFull, finish_replay};
pub use pace::Speed;
pub use plan::{PlannedRecording, ReplayPlan};
pub use recording::{RecordingKind, RecordingOptions};
pub use replay::{ReplayReport, replay};
pub use source::{Label, Lines, Progress, Source};

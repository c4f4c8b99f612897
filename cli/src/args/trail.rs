//! Options of the commands that move calls through the trail, or show them passing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where /metrics, /healthz and /readyz answer.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recordings, plain or gzipped: sysdig text, .scap, LID-DS, traces of numbers, UNM's pairs of numbers, strace text.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// sysdig format of the lines: a format string, or rastro, rocha, sysdig-default, sysdig-container, sysdig-basic, sysdig-rich,
    /// lidds-2019, lidds-2021, traces, unm, strace, lttng [default: told by the file, or recognised beyond doubt].
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// How fast: 1 as it happened, N times as fast, or max.
    #[arg(long, default_value = "max")]
    pub(crate) speed: String,
    /// Dataset that the calls go to [default: the configuration's].
    #[arg(long)]
    pub(crate) dataset: Option<String>,
    /// Image that the recorded container ran, where the recording does not say; profiles are keyed by it.
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Table that names the numbers of traces; without one they are opaque symbols.
    #[arg(long, value_enum)]
    pub(crate) table: Option<Table>,
    /// Day (yyyy-mm-dd) of recordings that give a time of day only.
    #[arg(long, value_name = "DAY")]
    pub(crate) date: Option<String>,
    /// Ends when all of it is stored and scored (the default).
    #[arg(long, overrides_with = "no_drain")]
    pub(crate) drain: bool,
    /// Ends when all of it is in the queue; the next command that runs the roles does the rest.
    #[arg(long)]
    pub(crate) no_drain: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Table {
    I386,
    #[value(name = "x86_64")]
    X8664,
    Aarch64,
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Files, or containers by id or name [default: every log file of the data directory].
    #[arg(value_name = "FILE|CONTAINER")]
    pub(crate) what: Vec<String>,
    /// sysdig format of files without a header.
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Shows the last N calls of each file first.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub(crate) lines: usize,
    /// Ends at the end of the files instead of following them.
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Profile to colour by [default: that of the container's image].
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub(crate) profile: Option<String>,
    /// Prints JSON, one object a call.
    #[arg(long)]
    pub(crate) json: bool,
}

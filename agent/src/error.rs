//! What an agent cannot do.

use std::{io, path::PathBuf};

use rastro_format::FormatError;
use rastro_model::log_header::HeaderError;

/// What an agent cannot do: what, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The operating system refused something.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing says beyond doubt what a recording is.
    #[error(
        "`{path}`: {reason}; say what it is with --format (a sysdig format string, rastro, rocha, sysdig-basic, \
             sysdig-rich, sysdig-default, sysdig-container, lidds-2019, lidds-2021, scap, traces, unm, strace or lttng)"
    )]
    UnknownKind {
        /// The recording.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A recording does not hold what its kind must hold.
    #[error("`{path}`: {message}")]
    Recording {
        /// The recording.
        path: PathBuf,
        /// What is wrong and what to do.
        message: String,
    },
    /// The declared format of a recording cannot be used.
    #[error("`{path}`: {source}")]
    Format {
        /// The recording.
        path: PathBuf,
        /// Why not.
        source: FormatError,
    },
    /// The header line of a recording or a log file cannot be used.
    #[error("first line of `{path}`: {source}")]
    Header {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: HeaderError,
    },
    /// An option has a value that it cannot have.
    #[error("{option} is `{value}`: expected {expected}")]
    Option {
        /// The option, as on the command line.
        option: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        expected: &'static str,
    },
    /// `.scap` files need an installed sysdig.
    #[error(
        "`{path}` is a capture, and reading it needs sysdig, which is not installed (`{program}` was not found): \
             install the package `sysdig`, or print the capture elsewhere with `sysdig -r FILE -p FORMAT` and replay the text"
    )]
    SysdigMissing {
        /// The capture.
        path: PathBuf,
        /// What was looked for.
        program: PathBuf,
    },
    /// sysdig could not read a capture.
    #[error("sysdig could not read `{path}` ({status}): {message}")]
    Sysdig {
        /// The capture.
        path: PathBuf,
        /// How it ended.
        status: String,
        /// The end of what it wrote to its standard error.
        message: String,
    },
    /// A recording names more containers than any node runs.
    #[error("`{path}` names more than {limit} containers: its format is probably not the declared one")]
    TooManyContainers {
        /// The recording.
        path: PathBuf,
        /// How many are accepted.
        limit: usize,
    },
    /// What the agent keeps beside its log files is damaged.
    #[error(
        "`{path}` is damaged ({message}): remove the log files of this container and this file, and replay again"
    )]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// Names the file in an error of the operating system.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: &std::path::Path) -> Result<T, AgentError>;
}

impl<T> IoContext<T> for Result<T, io::Error> {
    fn context(self, action: &'static str, path: &std::path::Path) -> Result<T, AgentError> {
        self.map_err(|source| AgentError::Io { action, path: path.to_owned(), source })
    }
}

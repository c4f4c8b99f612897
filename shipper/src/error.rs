//! What a shipper cannot do.

use std::{io, path::PathBuf};

use rastro_broker::BrokerError;

/// What a shipper cannot do. A file that cannot be read is no such thing: it is warned of and tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShipperError {
    /// A value of the configuration cannot be used.
    #[error("shipper configuration, `{key}`: {message}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The state directory or a file in it cannot be used.
    #[error("shipper state `{}`: {source}", path.display())]
    State {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The checkpoint was written by a later Rastro.
    #[error("checkpoint `{}` has version {version}, this Rastro reads version 1: use the Rastro that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The broker refuses.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A part of the shipper ended by a panic or with the runtime.
    #[error("the shipper stopped in its middle: {0}; start it again, it resumes where the broker stands")]
    Interrupted(String),
}

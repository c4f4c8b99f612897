//! The roles: what each runs, and how they are started and stopped together.

pub(crate) mod agent;
pub(crate) mod analyzer;
mod broker;
mod conservation;
mod patience;
mod pipeline;
mod retention;
pub(crate) mod store;

pub(crate) use broker::redis_config;
pub(crate) use pipeline::{Pipeline, glob_of};

use crate::{config::Config, data_dir::Part};

/// Which roles a process runs.
#[expect(clippy::struct_excessive_bools, reason = "four roles, each of which runs or does not")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Log files: rotation and retention.
    pub(crate) agent: bool,
    /// Log files to chunks.
    pub(crate) shipper: bool,
    /// Chunks to segments.
    pub(crate) transformer: bool,
    /// Segments to scores.
    pub(crate) analyzer: bool,
}

impl Roles {
    const NONE: Self = Self { agent: false, shipper: false, transformer: false, analyzer: false };
    /// All of them: `rastro run`.
    pub(crate) const ALL: Self = Self { agent: true, shipper: true, transformer: true, analyzer: true };
    /// Everything behind the log files: `rastro replay` is the agent itself.
    pub(crate) const BEHIND_LOGS: Self = Self { agent: false, ..Self::ALL };
    /// `rastro agent`
    pub(crate) const AGENT: Self = Self { agent: true, ..Self::NONE };
    /// `rastro shipper`
    pub(crate) const SHIPPER: Self = Self { shipper: true, ..Self::NONE };
    /// `rastro transformer`
    pub(crate) const TRANSFORMER: Self = Self { transformer: true, ..Self::NONE };
    /// `rastro analyzer`
    pub(crate) const ANALYZER: Self = Self { analyzer: true, ..Self::NONE };

    /// Whether they write to the store or read from it.
    pub(crate) const fn needs_store(self) -> bool {
        self.transformer || self.analyzer
    }

    /// Whether they write to the queue or read from it.
    pub(crate) const fn needs_broker(self) -> bool {
        self.shipper || self.transformer
    }

    /// Parts of the data directory that they work with alone.
    pub(crate) fn parts(self, config: &Config) -> Vec<Part> {
        let has_queue = self.needs_broker() && config.broker.urls.is_empty();
        let has_store = self.needs_store() && config.store.is_embedded();
        let parts = [
            (has_queue || has_store, Part::Embedded),
            (self.shipper, Part::Checkpoint),
            (self.agent, Part::Logs),
        ];
        parts.into_iter().filter(|(is_used, _)| *is_used).map(|(_, part)| part).collect()
    }

    /// The word of the command that runs these roles.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ALL => "run",
            Self::AGENT => "agent",
            Self::SHIPPER => "shipper",
            Self::TRANSFORMER => "transformer",
            Self::ANALYZER => "analyzer",
            _ => "replay",
        }
    }
}

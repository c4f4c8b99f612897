//! What can be configured.

use std::time::Duration;

use rastro_format::Format;

/// Which calls' arguments are kept in segments, for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeepArguments {
    /// Of the calls that matter to security: programs started, files named, addresses, rights.
    #[default]
    Relevant,
    /// Of every call.
    All,
    /// Of none.
    None,
}

/// How a [`Transformer`](crate::Transformer) is set up.
#[derive(Debug, Clone)]
pub struct TransformerConfig {
    /// Format of files that have no header.
    pub default_format: Format,
    /// Dataset of files that name none.
    pub default_dataset: String,
    /// Interval of the rollup documents; less than a millisecond counts as one.
    pub rollup_interval: Duration,
    /// Whose arguments are kept.
    pub keep_arguments: KeepArguments,
    /// Arguments of one call are cut at this length, bytes.
    pub detail_limit: usize,
    /// The text of a dead letter is cut at this length, bytes.
    pub dead_letter_limit: usize,
    /// Most dead letters of one chunk that are kept with their text; the last one says how many more there were.
    pub dead_letters_per_chunk: usize,
}

impl TransformerConfig {
    /// The defaults, for files without a header in `default_format` that belong to `default_dataset`.
    pub fn new(default_format: Format, default_dataset: impl Into<String>) -> Self {
        Self {
            default_format,
            default_dataset: default_dataset.into(),
            rollup_interval: Duration::from_secs(10),
            keep_arguments: KeepArguments::default(),
            detail_limit: 256,
            dead_letter_limit: 4 * 1024,
            dead_letters_per_chunk: 4096,
        }
    }
}

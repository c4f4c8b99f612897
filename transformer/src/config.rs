//! What can be configured.

use std::time::Duration;

use rastro_format::Format;
use rastro_model::dataset::index_of_day;

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

/// How the indices of a dataset are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexNames {
    /// `<dataset>-<yyyy.mm.dd>` of the first call.
    Daily,
    /// `<dataset>-<yyyy.mm.dd.hh>` of the beginning of the interval that the first call falls into: so many hours, a divisor
    /// of 24.
    Hourly(u8),
    /// The dataset's bare name: the store gives numbers, by the documents that it counts.
    ByStore,
}

impl IndexNames {
    /// Name of the index of a segment whose first call was at `time_ns`.
    pub fn of(self, dataset: &str, time_ns: i64) -> String {
        const HOUR_NS: i64 = 3_600_000_000_000;
        match self {
            Self::Daily => index_of_day(dataset, time_ns),
            Self::Hourly(hours) => {
                let hours = i64::from(hours.clamp(1, 24));
                let hour = time_ns.div_euclid(HOUR_NS).rem_euclid(24);
                format!("{}.{:02}", index_of_day(dataset, time_ns), hour - hour % hours)
            }
            Self::ByStore => dataset.to_owned(),
        }
    }
}

/// Documents beside the segments, for people and for learners outside. A store that keeps no JSON refuses them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents {
    /// One document a call (`SPEC` 1.4).
    pub calls: bool,
    /// Numbers of per-call documents are JSON strings, as they were published.
    pub numbers_as_strings: bool,
    /// Sizes of windows of which there is one document each.
    pub windows: Vec<u32>,
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
    /// Whether there are rollup documents at all.
    pub rollups: bool,
    /// What is made beside segments and rollups.
    pub documents: Documents,
    /// How indices are named.
    pub index_names: IndexNames,
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
            rollups: true,
            documents: Documents::default(),
            index_names: IndexNames::Daily,
            keep_arguments: KeepArguments::default(),
            detail_limit: 256,
            dead_letter_limit: 4 * 1024,
            dead_letters_per_chunk: 4096,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_named_by_the_beginning_of_its_interval() {
        // 2022-03-31T18:13:16Z
        let time_ns = 1_648_750_396_977_633_722;
        assert_eq!(IndexNames::Daily.of("test-app", time_ns), "test-app-2022.03.31");
        assert_eq!(IndexNames::Hourly(1).of("test-app", time_ns), "test-app-2022.03.31.18");
        assert_eq!(IndexNames::Hourly(12).of("test-app", time_ns), "test-app-2022.03.31.12");
        assert_eq!(IndexNames::Hourly(12).of("test-app", -1), "test-app-1969.12.31.12");
        assert_eq!(IndexNames::ByStore.of("test-app", time_ns), "test-app");
    }
}

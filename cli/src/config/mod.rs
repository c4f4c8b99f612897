//! Configuration: one TOML file, every key overridable by environment and flag.
//!
//! Layers, the later over the earlier: defaults, `rastro.toml`, environment (`RASTRO_ANALYZER__WINDOWS=[6,10]`), flags
//! (`--set analyzer.windows=[6,10]` and the named ones). All of it is read and checked before any role starts.

mod check;
mod default_file;
mod load;
mod roll;
mod store;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

pub(crate) use check::format_of;
pub(crate) use default_file::DEFAULT_FILE;
pub(crate) use load::{Sources, load};
pub(crate) use roll::Roll;
pub(crate) use store::StoreConfig;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Folder of everything that Rastro keeps: logs, checkpoint, queue, store.
    pub(crate) data_dir: PathBuf,
    /// Name of this node in documents; the host's name where empty.
    pub(crate) node: String,
    /// Which dataset calls belong to, and how its indices are named.
    pub(crate) dataset: DatasetConfig,
    /// Logs of Rastro itself.
    pub(crate) log: LogConfig,
    /// Metrics and health.
    pub(crate) observability: ObservabilityConfig,
    /// Capture and log files.
    pub(crate) agent: AgentConfig,
    /// Following files.
    pub(crate) shipper: ShipperConfig,
    /// The queue between shipper and transformer.
    pub(crate) broker: BrokerConfig,
    /// Lines to segments.
    pub(crate) transformer: TransformerConfig,
    /// Where everything ends up.
    pub(crate) store: StoreConfig,
    /// Segments to scores.
    pub(crate) analyzer: AnalyzerConfig,
    /// For those who come from other systems.
    pub(crate) compat: CompatConfig,
}

/// `[dataset]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatasetConfig {
    /// Name of the dataset where a log file names none.
    pub(crate) name: String,
    /// When a dataset gets its next index: `1d`, `1h` (any divisor of a day), or `5000000 docs`.
    pub(crate) roll: String,
}

/// `[compat]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CompatConfig {
    /// Numbers of per-call documents are JSON strings, as Rocha et al. published them.
    pub(crate) numbers_as_strings: bool,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,rastro_shipper=debug`.
    pub(crate) level: String,
    /// For people or for machines.
    pub(crate) format: LogFormat,
}

/// Form of Rastro's own logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One readable line an entry.
    Text,
    /// One JSON object an entry.
    Json,
}

/// `[observability]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ObservabilityConfig {
    /// Whether to listen at all.
    pub(crate) enabled: bool,
    /// Where `/metrics`, `/healthz` and `/readyz` answer; port 0 takes a free one and logs it.
    pub(crate) listen: SocketAddr,
}

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentConfig {
    /// Folder of the log files; `<data_dir>/logs` where empty.
    pub(crate) log_dir: PathBuf,
    /// A file is rotated when it is this large.
    pub(crate) rotate_bytes: ByteSize,
    /// A file is rotated when it is this old.
    #[serde(with = "humantime_serde")]
    pub(crate) rotate_age: Duration,
    /// Rotated files to keep for each container.
    pub(crate) keep_files: usize,
    /// Bytes of rotated files to keep, all containers together.
    pub(crate) keep_bytes: ByteSize,
    /// Bytes of log files at which the oldest is removed even if it was not shipped.
    pub(crate) disk_limit: ByteSize,
}

/// `[shipper]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShipperConfig {
    /// Globs of the files to follow; `<log_dir>/*.log` where empty.
    pub(crate) include: Vec<String>,
    /// Globs of files to leave alone.
    pub(crate) exclude: Vec<String>,
    /// A longer line is cut to this length, and counted.
    pub(crate) max_line_bytes: ByteSize,
    /// Lines of a chunk before compression, bytes.
    pub(crate) chunk_bytes: ByteSize,
    /// The longest time that lines wait for a chunk to fill (µDetector's `syscalls_window`).
    #[serde(with = "humantime_serde")]
    pub(crate) flush_interval: Duration,
    /// The safety net behind file notifications.
    #[serde(with = "humantime_serde")]
    pub(crate) poll_interval: Duration,
    /// Into what lines are shipped.
    pub(crate) output: QueueForm,
}

/// In what form lines lie between shipper and transformer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum QueueForm {
    /// Chunks, in the queue.
    Stream,
    /// One JSON document a line as Filebeat writes them, in a list of Redis.
    List,
}

/// `[broker]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BrokerConfig {
    /// Addresses of a Redis (`redis://` or, with TLS, `rediss://`); none means the embedded queue in the data directory.
    pub(crate) urls: Vec<String>,
    /// Name of the master that Sentinels at `urls` watch.
    pub(crate) sentinel_master: String,
    /// User of Redis' access control list.
    pub(crate) username: String,
    /// Password, best given by environment (`RASTRO_BROKER__PASSWORD`); never printed.
    #[serde(skip_serializing)]
    pub(crate) password: String,
    /// File that holds the password and nothing else.
    pub(crate) password_file: PathBuf,
    /// Certificates (PEM) that may vouch for a `rediss://` server; those of the machine where empty.
    pub(crate) ca_file: PathBuf,
    /// Begins all keys in Redis.
    pub(crate) prefix: String,
    /// Partitions of a new queue in Redis: at most so many transformers share the work.
    pub(crate) partitions: u32,
    /// Bytes of compressed chunks, on disk or in Redis, at which the shipper stops reading.
    pub(crate) limit_bytes: ByteSize,
    /// Key of the list of `output = "list"` and `input = "list"`.
    pub(crate) list_key: String,
    /// Documents in the list at which the shipper stops reading; 0 means never.
    pub(crate) list_limit: u64,
}

/// `[transformer]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TransformerConfig {
    /// From what lines are taken.
    pub(crate) input: QueueForm,
    /// sysdig format of files that have no header.
    pub(crate) format: String,
    /// Interval of the rollup documents.
    #[serde(with = "humantime_serde")]
    pub(crate) rollup_interval: Duration,
    /// Whose arguments are kept for people: of calls that matter to security, of all, of none.
    pub(crate) keep_arguments: KeepArguments,
    /// Which documents are made.
    pub(crate) documents: Vec<Document>,
    /// Sizes of the windows of `window` documents, calls.
    pub(crate) windows: Vec<u32>,
}

/// A kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Document {
    /// An ordered run of calls of one container: what is analysed.
    Segment,
    /// Sums by container, call and interval.
    Rollup,
    /// One call.
    Call,
    /// One window of calls as numbers.
    Window,
}

/// Which calls' arguments are kept in segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeepArguments {
    /// Of the calls that matter to security.
    Relevant,
    /// Of every call.
    All,
    /// Of none.
    None,
}

/// `[analyzer]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AnalyzerConfig {
    /// Detectors to run; `stide:n=6` fixes the window, a bare name runs with every size of `windows`.
    pub(crate) detectors: Vec<String>,
    /// Window sizes, calls.
    pub(crate) windows: Vec<u32>,
    /// Most calls that one score is about.
    pub(crate) frame: u32,
    /// Budget of false alarms a container a day.
    pub(crate) false_alarms_per_day: f64,
    /// Alarming frames of a container that lie this close together are one alarm.
    #[serde(with = "humantime_serde")]
    pub(crate) alarm_gap: Duration,
    /// What to do with a workload that has no profile.
    pub(crate) learning: Learning,
    /// Learning ends when at most `1 − completeness` of the windows are expected to be new.
    pub(crate) completeness: f64,
    /// … and after at least so many calls,
    pub(crate) learning_min_calls: u64,
    /// … over at least so long a time.
    #[serde(with = "humantime_serde")]
    pub(crate) learning_min_time: Duration,
}

/// What to do with a workload that has no profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Learning {
    /// Learn until it is complete, then publish the profile and detect.
    Auto,
    /// Wait for `rastro train`; scores until then are figures of novelty.
    Manual,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("rastro-data"),
            node: String::new(),
            dataset: DatasetConfig::default(),
            log: LogConfig::default(),
            observability: ObservabilityConfig::default(),
            agent: AgentConfig::default(),
            shipper: ShipperConfig::default(),
            broker: BrokerConfig::default(),
            transformer: TransformerConfig::default(),
            store: StoreConfig::default(),
            analyzer: AnalyzerConfig::default(),
            compat: CompatConfig::default(),
        }
    }
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self { name: "default".to_owned(), roll: "1d".to_owned() }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Default for ObservabilityConfig {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            log_dir: PathBuf::new(),
            rotate_bytes: ByteSize::mib(64),
            rotate_age: Duration::from_hours(1),
            keep_files: 4,
            keep_bytes: ByteSize::gib(1),
            disk_limit: ByteSize::gib(4),
        }
    }
}

impl Default for ShipperConfig {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            max_line_bytes: ByteSize::mib(1),
            chunk_bytes: ByteSize::kib(512),
            flush_interval: Duration::from_millis(200),
            poll_interval: Duration::from_secs(2),
            output: QueueForm::Stream,
        }
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            sentinel_master: String::new(),
            username: String::new(),
            password: String::new(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            prefix: "rastro".to_owned(),
            partitions: 16,
            limit_bytes: ByteSize::mib(256),
            list_key: "k8s".to_owned(),
            list_limit: 1_000_000,
        }
    }
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self {
            input: QueueForm::Stream,
            format: "rocha".to_owned(),
            rollup_interval: Duration::from_secs(10),
            keep_arguments: KeepArguments::Relevant,
            documents: vec![Document::Segment, Document::Rollup],
            windows: vec![100],
        }
    }
}

impl Default for AnalyzerConfig {
    fn default() -> Self {
        Self {
            detectors: vec!["stide".to_owned(), "bosc".to_owned()],
            windows: vec![6, 10],
            frame: 256,
            false_alarms_per_day: 1.0,
            alarm_gap: Duration::from_mins(1),
            learning: Learning::Auto,
            completeness: 0.999,
            learning_min_calls: 100_000,
            learning_min_time: Duration::from_hours(1),
        }
    }
}

impl Config {
    /// Folder of the agent's log files.
    pub(crate) fn log_dir(&self) -> PathBuf {
        if self.agent.log_dir.as_os_str().is_empty() {
            self.data_dir.join("logs")
        } else {
            self.agent.log_dir.clone()
        }
    }

    /// Name of this node in documents.
    pub(crate) fn node(&self) -> String {
        if self.node.is_empty() {
            rustix::system::uname().nodename().to_string_lossy().into_owned()
        } else {
            self.node.clone()
        }
    }

    /// When a dataset gets its next index. The configuration has been checked, so that every day is what is left to assume.
    pub(crate) fn roll(&self) -> Roll {
        Roll::parse(&self.dataset.roll).unwrap_or(Roll::ByTime(rastro_transformer::IndexNames::Daily))
    }

    /// Specifications of the models that the detectors and window sizes make: `stide:n=6`, `stide:n=10`, …
    pub(crate) fn models(&self) -> Vec<String> {
        let mut models = Vec::new();
        for detector in &self.analyzer.detectors {
            if detector.contains(':') {
                models.push(detector.clone());
            } else {
                models
                    .extend(self.analyzer.windows.iter().map(|window| format!("{detector}:window={window}")));
            }
        }
        models
    }
}

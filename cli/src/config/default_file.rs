//! `rastro config default`: a file in which every key stands with its default and its meaning.

/// The file. A test holds it against [`Config::default`](super::Config).
pub(crate) const DEFAULT_FILE: &str = r#"# Rastro's configuration. Every key is optional; what stands here is its default.
# Each can be overridden by environment (RASTRO_ANALYZER__WINDOWS='[6,10]') and by flag (--set analyzer.windows=[6,10]).
# `rastro config check` says whether a file is right.

# Everything that Rastro keeps: logs, checkpoint, queue, store.
data_dir = "rastro-data"
# Name of this node in documents; "" takes the host's name.
node = ""

[dataset]
# Dataset of the calls whose log file names none.
name = "default"
# When a dataset gets its next index: every day ("1d": <name>-<yyyy.mm.dd>), every few hours ("1h", "12h": any divisor of a day,
# <name>-<yyyy.mm.dd.hh>), or by the number of its calls ("5000000 docs": <name>-<nnnnnn>).
roll = "1d"

[log]
# error, warn, info, debug, trace, or a filter such as "info,rastro_shipper=debug"
level = "info"
# "text" for people, "json" for machines
format = "text"

[observability]
# /metrics (Prometheus), /healthz and /readyz. Port 0 takes a free port and logs it.
enabled = true
listen = "127.0.0.1:9464"

[agent]
# Folder of the log files, one a container; "" is <data_dir>/logs.
log_dir = ""
# A file is rotated when it is this large or this old.
rotate_bytes = "64.0 MiB"
rotate_age = "1h"
# Rotated files to keep: for each container, and bytes of all together. What was not shipped is kept …
keep_files = 4
keep_bytes = "1.0 GiB"
# … until all log files together reach this; then the oldest goes, and what is lost is counted.
disk_limit = "4.0 GiB"

[shipper]
# Files to follow; [] is <log_dir>/*.log. Rotated siblings are found by themselves.
include = []
exclude = []
# A longer line is cut to this length, and counted.
max_line_bytes = "1.0 MiB"
# Size of a chunk of lines before compression, and the longest time that lines wait for it to fill (SPEC 2.2: this, not a
# detector's window, is what µDetector calls syscalls_window).
chunk_bytes = "512.0 KiB"
flush_interval = "200ms"
# The safety net behind file notifications.
poll_interval = "2s"
# "stream": chunks in the queue. "list": one JSON document a line in a list of Redis, as Filebeat 7.13 writes them, for a Logstash.
output = "stream"

[broker]
# Redis between shippers and transformers, as in ["redis://10.0.0.4:6379"] ("rediss://" for TLS; several for a cluster or for
# Sentinels); [] is the embedded queue in the data directory.
urls = []
sentinel_master = ""
username = ""
# The password comes from a file, or from the environment: RASTRO_BROKER__PASSWORD. Neither is ever printed.
password_file = ""
# Certificates (PEM) that may vouch for a rediss:// server; "" takes the machine's.
ca_file = ""
# Begins all keys in Redis; partitions of a new queue: at most so many transformers share the work.
prefix = "rastro"
partitions = 16
# Compressed chunks at which the shipper stops reading: the log files are then the buffer.
limit_bytes = "256.0 MiB"
# Key of the list of `output = "list"` and `input = "list"`, and how many documents the shipper lets lie there (0: any number).
list_key = "k8s"
list_limit = 1000000

[transformer]
# "stream": chunks from Rastro's shippers. "list": documents from the list of Redis that a Filebeat fills.
input = "stream"
# sysdig format of log files without a header: a name (rastro, rocha, sysdig-basic, sysdig-rich, sysdig-default,
# sysdig-container, lidds-2019, lidds-2021) or a format string.
format = "rocha"
# Interval of the rollup documents.
rollup_interval = "10s"
# Whose arguments are kept for people: "relevant" (calls that matter to security), "all", "none".
keep_arguments = "relevant"
# Which documents are made: "segment" (calls in columns: what is analysed, so always there), "rollup" (sums by container, call and
# interval: what dashboards draw), "call" (one document a call, in <index>-events) and "window" (one document of numbers for every
# window, in <index>-windows, for learners outside). The last two need an Elasticsearch.
documents = ["segment", "rollup"]
# Sizes of the windows of "window" documents: consecutive calls of one thread of one segment; what is left over is a shorter window.
windows = [100]

[store]
# Nodes of an Elasticsearch, as in ["https://10.0.0.2:9200"]; [] is the embedded store in the data directory.
urls = []
username = ""
# The password comes from a file, or from the environment: RASTRO_STORE__PASSWORD. An API key from a file (as id:api_key, or as
# Elasticsearch prints it under "encoded") takes the place of both user and password. None is ever printed.
password_file = ""
api_key_file = ""
# Certificates (PEM) that may vouch for an https:// server; those of the public authorities always may.
ca_file = ""
# Begins the names of the indices that are Rastro's own (rastro-alarms, rastro-profiles, …).
prefix = "rastro"
# Copies of every index beside the first: 0 for one node, 1 where a node may be lost.
replicas = 0
# Size of one bulk write, and how many are underway at a time.
bulk_bytes = "5.0 MiB"
bulk_concurrency = 4
# Whether what is sent is gzipped: true where the network to Elasticsearch is slower than a processor.
compress = false

[store.retention]
# Indices whose last call is older than max_age ("30days") are removed with everything that belongs to them, and the oldest ones
# while all together are larger than max_size ("500 GiB"); never a dataset's newest. Refused lines and documents (`rastro
# dead-letters`) go by the same rule, day by day, as old as the day on which they were stored. "" keeps everything.
max_age = ""
max_size = ""

[analyzer]
# Detectors, each run with every window size (calls); "stide:n=6" fixes its own.
detectors = ["stide", "bosc"]
windows = [6, 10]
# Most calls that one score is about.
frame = 256
# Budget of false alarms a container a day; thresholds are set for it on held-out normal data.
false_alarms_per_day = 1.0
# Alarming frames of one container this close together are one alarm.
alarm_gap = "1m"
# A workload without a profile: "auto" learns until complete, then detects; "manual" waits for `rastro train`.
learning = "auto"
# Learning is complete when at most 1 − completeness of the windows are expected to be new, after at least so many calls
# over at least so long a time.
completeness = 0.999
learning_min_calls = 100000
learning_min_time = "1h"

[compat]
# Numbers of "call" documents are JSON strings, as Rocha et al. published them.
numbers_as_strings = false
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_default_file_holds_exactly_the_defaults() {
        let parsed: Config = toml::from_str(DEFAULT_FILE).unwrap();
        assert_eq!(parsed, Config::default());
        let keys = |text: &str| {
            let mut keys: Vec<String> = text
                .lines()
                .filter_map(|line| line.split_once(" = ").map(|(key, _)| key.to_owned()))
                .filter(|key| !key.starts_with('#'))
                .collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(DEFAULT_FILE), keys(&toml::to_string(&Config::default()).unwrap()));
    }
}

//! What the indices look like: mappings, templates, and the version that both carry.
//!
//! | index | alias | holds |
//! |---|---|---|
//! | `<dataset>-<yyyy.mm.dd>` or `<dataset>-<nnnnnn>` | `<prefix>-segments` | segments |
//! | `…-rollup` | `<prefix>-rollup` | aggregates of calls |
//! | `…-events` | `<prefix>-events` | one call a document |
//! | `…-windows` | `<prefix>-windows` | one window a document |
//! | `…-anomaly` | `<prefix>-anomaly` | one scored frame a document |
//! | `<prefix>-streams` … | | Rastro's own |
//!
//! A dataset's name is free, so its templates are its own, made when its first index is. The longer a name, the higher the priority: of
//! `web` and `web-shop`, an index of the latter follows the latter.

use serde_json::{Value, json};

/// Version of mappings and templates.
pub(super) const VERSION: u64 = 1;

/// Beside the segments' own index: the others of a dataset index, by what is appended to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Segments,
    Rollup,
    Events,
    Windows,
    Anomaly,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Segments, Self::Rollup, Self::Events, Self::Windows, Self::Anomaly];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Rollup => "rollup",
            Self::Events => "events",
            Self::Windows => "windows",
            Self::Anomaly => "anomaly",
        }
    }

    /// Name of the index of this kind that belongs to a dataset index.
    pub(super) fn index(self, dataset_index: &str) -> String {
        match self {
            Self::Segments => dataset_index.to_owned(),
            other => format!("{dataset_index}-{}", other.name()),
        }
    }

    /// The dataset index that an index of this kind belongs to.
    pub(super) fn dataset_index(self, index: &str) -> Option<&str> {
        match self {
            Self::Segments => Some(index),
            other => index.strip_suffix(other.name())?.strip_suffix('-'),
        }
    }

    fn properties(self) -> Value {
        let mut properties = common();
        let own = match self {
            Self::Segments => segments(),
            Self::Rollup => rollup(),
            Self::Events => events(),
            Self::Windows => windows(),
            Self::Anomaly => anomaly(),
        };
        merge(&mut properties, own);
        properties
    }

    /// Settings of an index of this kind.
    fn settings(self, replicas: u32) -> Value {
        let mut settings = settings(replicas);
        if matches!(self, Self::Events | Self::Windows) {
            // Nothing waits for these, and to make them visible is work for each of the many.
            settings["index"]["refresh_interval"] = "5s".into();
        }
        settings
    }

    /// Mappings of an index of this kind.
    pub(super) fn mappings(self, dataset: &str) -> Value {
        json!({
            "dynamic": false,
            "_meta": { "rastro": { "version": VERSION, "kind": self.name(), "dataset": dataset } },
            "properties": self.properties(),
        })
    }
}

/// Rastro's own indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Streams,
    Assignments,
    Alarms,
    Places,
    Claims,
    Profiles,
    Labels,
    DeadLetters,
}

impl Own {
    pub(super) const ALL: [Self; 8] = [
        Self::Streams,
        Self::Assignments,
        Self::Alarms,
        Self::Places,
        Self::Claims,
        Self::Profiles,
        Self::Labels,
        Self::DeadLetters,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Assignments => "assignments",
            Self::Alarms => "alarms",
            Self::Places => "places",
            Self::Claims => "claims",
            Self::Profiles => "profiles",
            Self::Labels => "labels",
            Self::DeadLetters => "dead-letters",
        }
    }

    pub(super) fn index(self, prefix: &str) -> String {
        format!("{prefix}-{}", self.name())
    }

    pub(super) fn mappings(self) -> Value {
        let properties = match self {
            Self::Streams => json!({
                "log.file.path": keyword(), "generation": long(), "offset": long(), "next_line": long(),
                "tallies": { "type": "object", "enabled": false }, "ledger": binary(), "writer": keyword(),
                "datasets": keyword(),
            }),
            Self::Assignments => json!({
                "dataset": keyword(), "index": keyword(), "number": long(), "documents": long(), "writer": keyword(),
            }),
            Self::Alarms => {
                let mut properties = common();
                merge(
                    &mut properties,
                    json!({
                        "message": { "type": "text" },
                        "rastro": { "properties": {
                            "alarm": { "properties": {
                                "id": keyword(), "frames": integer(), "lossy": boolean(), "peak": keyword(), "first": keyword(),
                                "content": { "type": "object", "enabled": false },
                            } },
                            "index": keyword(), "job": keyword(), "detector": keyword(), "window": integer(),
                            "profile": { "properties": { "name": keyword(), "version": integer() } },
                            "score": double(), "threshold": double(), "reasons": { "type": "text" },
                        } },
                    }),
                );
                properties
            }
            Self::Places => json!({
                "job": keyword(), "index": keyword(), "place": long(), "state": binary(), "writer": keyword(),
            }),
            Self::Claims => {
                json!({ "job": keyword(), "index": keyword(), "owner": keyword(), "beat": long() })
            }
            Self::Profiles => json!({
                "kind": keyword(), "name": keyword(), "version": integer(), "@timestamp": date(), "models": keyword(),
                "calls": long(), "bytes": long(), "highest": integer(), "content": binary(),
            }),
            Self::Labels => json!({
                "dataset": keyword(), "container": keyword(), "thread": long(), "start": date(), "end": date(), "label": keyword(),
                "content": { "type": "object", "enabled": false },
            }),
            Self::DeadLetters => json!({
                "dataset": keyword(), "stream": keyword(), "line": long(), "generation": long(), "offset": long(),
                "reason": { "type": "text", "fields": { "keyword": keyword() } }, "message": { "type": "text" }, "text": binary(),
                "event": { "properties": { "ingested": date() } },
            }),
        };
        json!({
            "dynamic": false,
            "_meta": { "rastro": { "version": VERSION, "kind": self.name() } },
            "properties": properties,
        })
    }
}

/// Settings of every index. One shard: the order of writing, by which an index is read, is a shard's own.
pub(super) fn settings(replicas: u32) -> Value {
    json!({
        "index": {
            "number_of_shards": 1,
            "number_of_replicas": replicas,
            "codec": "best_compression",
        }
    })
}

/// The index template of one kind of a dataset's indices.
pub(super) fn template(prefix: &str, dataset: &str, kind: Kind, replicas: u32) -> Value {
    let suffix = if kind == Kind::Segments { String::new() } else { format!("-{}", kind.name()) };
    // By time and by number; no more, so that `shop-orders` of someone else is not taken for an index of the dataset `shop`.
    let patterns = ["*.*.*", "0*"].map(|body| format!("{dataset}-{body}{suffix}"));
    // Names grow no longer than 255 bytes, so that priorities of kinds and of lengths do not mix.
    let priority = 1_000 + 10 * dataset.len() as u64 + u64::from(kind != Kind::Segments) * 5;
    json!({
        "index_patterns": patterns,
        "priority": priority,
        "version": VERSION,
        "_meta": { "rastro": { "version": VERSION, "kind": kind.name(), "dataset": dataset } },
        "template": {
            "settings": kind.settings(replicas),
            "mappings": kind.mappings(dataset),
            "aliases": { alias(prefix, kind): {} },
        },
    })
}

/// Name of the template.
pub(super) fn template_name(prefix: &str, dataset: &str, kind: Kind) -> String {
    format!("{prefix}-{}-{dataset}", kind.name())
}

/// The alias over all indices of a kind.
pub(super) fn alias(prefix: &str, kind: Kind) -> String {
    format!("{prefix}-{}", kind.name())
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        for (key, value) in from {
            match into.get_mut(&key) {
                Some(existing) if existing.is_object() && value.is_object() => merge(existing, value),
                _ => {
                    into.insert(key, value);
                }
            }
        }
    }
}

fn keyword() -> Value {
    json!({ "type": "keyword", "ignore_above": 1024 })
}

fn date() -> Value {
    json!({ "type": "date_nanos" })
}

fn long() -> Value {
    json!({ "type": "long" })
}

fn integer() -> Value {
    json!({ "type": "integer" })
}

fn short() -> Value {
    json!({ "type": "short" })
}

/// A number that is sorted by, summed and compared through its column alone.
fn column(kind: &str) -> Value {
    json!({ "type": kind, "index": false })
}

fn double() -> Value {
    json!({ "type": "double" })
}

fn float() -> Value {
    json!({ "type": "float" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn binary() -> Value {
    json!({ "type": "binary" })
}

/// What all documents about calls share.
fn common() -> Value {
    json!({
        "@timestamp": date(),
        "event": { "properties": {
            "created": date(), "ingested": date(), "start": date(), "end": date(),
            "kind": keyword(), "module": keyword(), "dataset": keyword(),
        } },
        "container": { "properties": {
            "id": keyword(), "name": keyword(),
            "image": { "properties": { "name": keyword() } },
        } },
        "host": { "properties": { "name": keyword(), "architecture": keyword() } },
        "log": { "properties": { "file": { "properties": { "path": keyword() } }, "offset": long() } },
    })
}

fn segments() -> Value {
    json!({
        "rastro": { "properties": {
            "stream": keyword(), "generation": long(), "part": integer(),
            "end": { "properties": { "generation": long(), "offset": long() } },
            "calls": long(), "bytes": long(),
            "gap": { "properties": { "bytes": long(), "lines": long(), "reason": keyword(), "content": binary() } },
            "sequence": binary(), "rest": binary(), "chunk": binary(),
        } },
    })
}

fn rollup() -> Value {
    json!({
        "systemcall_name": keyword(),
        "systemcall_type": short(),
        "systemcall_type_name": keyword(),
        "rastro": { "properties": {
            "calls": long(), "errors": long(), "arguments": long(),
            "latency": { "properties": { "sum": long(), "max": long() } },
            "interval": date(),
        } },
    })
}

/// `SPEC` 1.4. Numbers are mapped as numbers even where they are published as strings. What is summed and compared, but hardly ever looked
/// up, has columns and no search tree: a tree is a third of what a number costs the server.
fn events() -> Value {
    json!({
        // As the line has it, for reading; `@timestamp` is the one to search and sort by.
        "timestamp": { "type": "keyword", "index": false, "ignore_above": 1024 },
        "event_number": column("long"),
        "event_direction": column("byte"),
        "systemcall_type": short(),
        "systemcall_type_name": keyword(),
        "systemcall": integer(),
        "systemcall_name": keyword(),
        "latency": column("long"),
        "return_value": column("long"),
        "argc": column("integer"),
        "args_length": column("integer"),
        "argv": { "type": "flattened", "ignore_above": 1024 },
        // Lines are found, not ranked.
        "message": { "type": "text", "norms": false },
        "process": { "properties": {
            "pid": long(), "name": keyword(), "thread": { "properties": { "id": long() } },
        } },
        "orchestrator": { "properties": { "resource": { "properties": { "name": keyword() } } } },
    })
}

fn windows() -> Value {
    json!({
        "process": { "properties": {
            "pid": long(), "name": keyword(), "thread": { "properties": { "id": long() } },
        } },
        "orchestrator": { "properties": { "resource": { "properties": { "name": keyword() } } } },
        "rastro": { "properties": {
            "segment": keyword(),
            "window": { "properties": { "size": integer(), "calls": integer(), "first_call": long() } },
        } },
        "systemcalls": { "type": "integer", "index": false },
        "counts": { "type": "flattened" },
        "distinct_calls": integer(), "errors": integer(), "error_rate": float(),
        "latency_sum": long(), "latency_mean": double(), "latency_max": long(),
        "argc_mean": float(), "args_length_mean": float(),
    })
}

fn anomaly() -> Value {
    json!({
        "rastro": { "properties": {
            "segment": keyword(), "place": long(), "job": keyword(), "detector": keyword(), "window": integer(),
            "profile": { "properties": { "name": keyword(), "version": integer() } },
            "score": double(), "raw": double(), "threshold": double(),
            "alarm": boolean(), "lossy": boolean(), "learning": boolean(),
            "index": keyword(), "first_call": long(), "calls": long(), "windows": long(), "unseen": long(),
            "reasons": { "type": "text" }, "frame": binary(),
        } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_a_longer_name_follows_its_own_template() {
        let priority = |dataset, kind| template("rastro", dataset, kind, 0)["priority"].as_u64().unwrap();
        assert!(priority("web-shop", Kind::Segments) > priority("web", Kind::Anomaly));
        assert!(priority("web", Kind::Anomaly) > priority("web", Kind::Segments));
    }

    #[test]
    fn the_index_of_a_kind_names_its_dataset_index() {
        for kind in Kind::ALL {
            let index = kind.index("web-2026.11.21");
            assert_eq!(kind.dataset_index(&index), Some("web-2026.11.21"));
        }
        assert_eq!(Kind::Anomaly.dataset_index("web-2026.11.21"), None);
    }

    #[test]
    fn every_mapping_carries_the_version() {
        for mappings in
            Kind::ALL.map(|kind| kind.mappings("web")).into_iter().chain(Own::ALL.map(Own::mappings))
        {
            assert_eq!(mappings["_meta"]["rastro"]["version"], VERSION);
        }
    }
}

//! What can be said of an Elasticsearch before it is relied upon.

use elasticsearch::http::Method;
use serde::Serialize;
use serde_json::Value;

use super::{
    ElasticStore, Inner,
    client::Body,
    config::ElasticConfig,
    schema::{self, Own},
};
use crate::StoreError;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// As it should be.
    Fine,
    /// It works, but not as well or as safely as it could.
    Warning,
    /// It does not work.
    Fault,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How grave it is.
    pub gravity: Gravity,
    /// What was found, and what to do.
    pub message: String,
}

impl ElasticStore {
    /// Looks at the server: whether it answers and takes the credentials, how it is, whether its disks are too full to write, and
    /// whether the layout is this Rastro's.
    pub async fn checks(config: ElasticConfig) -> Vec<Finding> {
        let store = match Self::unchecked(config) {
            Ok(store) => store,
            Err(error) => return vec![finding("connection", Gravity::Fault, error.to_string())],
        };
        let inner = &store.inner;
        let health: Result<Value, StoreError> =
            inner.client.json(Method::Get, "/_cluster/health", &[], Body::None).await;
        let health = match health {
            Ok(health) => health,
            Err(error) => return vec![finding("connection", Gravity::Fault, error.to_string())],
        };
        let mut findings = vec![finding(
            "connection",
            Gravity::Fine,
            format!(
                "{} answers; cluster `{}` with {} nodes",
                inner.client.server(),
                health["cluster_name"].as_str().unwrap_or("?"),
                health["number_of_nodes"].as_u64().unwrap_or(0)
            ),
        )];
        findings.push(match health["status"].as_str() {
            Some("green") => finding("health", Gravity::Fine, "green".to_owned()),
            Some("yellow") => finding(
                "health",
                Gravity::Warning,
                "yellow: copies of indices have no node to live on; add nodes or set `store.replicas = 0`"
                    .to_owned(),
            ),
            other => finding(
                "health",
                Gravity::Fault,
                format!("{}: some indices cannot be read or written", other.unwrap_or("unknown")),
            ),
        });
        findings.push(
            match inner
                .client
                .json::<Value>(Method::Get, "/_all/_settings/index.blocks.*", &[], Body::None)
                .await
            {
                Ok(blocked) => {
                    match blocked.as_object().map(|indices| indices.keys().cloned().collect::<Vec<_>>()) {
                        Some(indices) if !indices.is_empty() => finding(
                            "disk",
                            Gravity::Fault,
                            format!(
                                "{} cannot be written, most often because a disk was too full; make room",
                                indices.join(", ")
                            ),
                        ),
                        _ => finding("disk", Gravity::Fine, "every index can be written".to_owned()),
                    }
                }
                Err(error) => {
                    finding("disk", Gravity::Warning, format!("blocks cannot be looked at: {error}"))
                }
            },
        );
        findings.extend(server_findings(inner).await);
        let streams = inner.own(Own::Streams);
        findings.push(match inner.check_owner(&streams, Own::Streams.name()).await {
            Ok(()) => finding("layout", Gravity::Fine, "that of this Rastro".to_owned()),
            Err(StoreError::Refused { message, .. }) if message.contains("404") => {
                finding("layout", Gravity::Fine, "none yet; it is made when something is stored".to_owned())
            }
            Err(error) => finding("layout", Gravity::Fault, error.to_string()),
        });
        findings.push(match inner.template_versions().await {
            Ok(templates) => {
                let other: Vec<&str> = templates
                    .iter()
                    .filter(|(_, version)| *version != schema::VERSION)
                    .map(|(name, _)| name.as_str())
                    .collect();
                if other.is_empty() {
                    finding(
                        "templates",
                        Gravity::Fine,
                        format!("{}, all of this Rastro's version", templates.len()),
                    )
                } else {
                    let message =
                        format!("{} are of another version; run `rastro migrate`", other.join(", "));
                    finding("templates", Gravity::Fault, message)
                }
            }
            Err(error) => {
                finding("templates", Gravity::Warning, format!("they cannot be looked at: {error}"))
            }
        });
        findings
    }
}

/// What the nodes say of themselves: version, room, and how much they take at a time. What a user may not see is left out.
async fn server_findings(inner: &Inner) -> Vec<Finding> {
    let mut findings = Vec::new();
    let ask = |path: &'static str, query: &'static [(&'static str, &'static str)]| async move {
        inner.client.json::<Value>(Method::Get, path, query, Body::None).await.unwrap_or_default()
    };
    let nodes = ask(
        "/_nodes/http",
        &[("filter_path", "nodes.*.name,nodes.*.version,nodes.*.http.max_content_length_in_bytes")],
    )
    .await;
    let bulk_bytes = inner.config.bulk_bytes as u64;
    for node in nodes["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values()) {
        let (name, version) = (node["name"].as_str().unwrap_or("?"), node["version"].as_str().unwrap_or("?"));
        let message = format!("node `{name}` has version {version}");
        findings.push(if is_new_enough(version) {
            finding("version", Gravity::Fine, message)
        } else {
            finding(
                "version",
                Gravity::Warning,
                format!("{message}, older than Rastro is tested with (8.19): upgrade it"),
            )
        });
        let most = node["http"]["max_content_length_in_bytes"].as_u64().unwrap_or(u64::MAX);
        if most < bulk_bytes.saturating_mul(2) {
            let message = format!(
                "node `{name}` takes {most} bytes at a time (http.max_content_length), `store.bulk_bytes` is {bulk_bytes}: lower it to \
                 half of that"
            );
            findings.push(finding("request size", Gravity::Warning, message));
        }
    }
    let settings = ask(
        "/_cluster/settings",
        &[
            ("include_defaults", "true"),
            ("flat_settings", "true"),
            ("filter_path", "*.cluster.routing.allocation.disk.watermark*"),
        ],
    )
    .await;
    let watermark = |name: &str| {
        let key = format!("cluster.routing.allocation.disk.watermark.{name}");
        let set = ["transient", "persistent", "defaults"]
            .into_iter()
            .find_map(|group| settings[group][&key].as_str());
        set.and_then(Watermark::parse)
    };
    let stats = ask("/_nodes/stats/fs", &[("filter_path", "nodes.*.name,nodes.*.fs.total.*_in_bytes")]).await;
    for node in stats["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values()) {
        let total = &node["fs"]["total"];
        if let (Some(all), Some(left)) =
            (total["total_in_bytes"].as_u64(), total["available_in_bytes"].as_u64())
        {
            let name = node["name"].as_str().unwrap_or("?");
            findings.push(room(name, all, left, watermark("low"), watermark("flood_stage")));
        }
    }
    findings
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u64>().ok());
    // OpenSearch counts from 1 again; its second is as Elasticsearch 8 in what is asked of it.
    numbers.next().is_none_or(|major| major >= 8 || major == 2 || major == 3)
}

/// How full a disk may be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Watermark {
    /// So much of it may be used, as a part of 1.
    Used(f64),
    /// So many bytes must be left.
    Left(u64),
}

impl Watermark {
    /// Reads `85%`, `0.85` or `500mb`.
    fn parse(text: &str) -> Option<Self> {
        if let Some(percent) = text.strip_suffix('%') {
            return percent.trim().parse::<f64>().ok().map(|percent| Self::Used(percent / 100.0));
        }
        let units = [("kb", 10), ("mb", 20), ("gb", 30), ("tb", 40), ("pb", 50), ("b", 0)];
        for (unit, shift) in units {
            if let Some(number) = text.strip_suffix(unit) {
                let number: f64 = number.trim().parse().ok()?;
                return Some(Self::Left((number * (1_u64 << shift) as f64) as u64));
            }
        }
        text.parse().ok().map(Self::Used)
    }

    fn is_reached(self, all: u64, left: u64) -> bool {
        match self {
            Self::Used(part) => all.saturating_sub(left) as f64 >= part * all as f64,
            Self::Left(bytes) => left <= bytes,
        }
    }
}

fn room(node: &str, all: u64, left: u64, low: Option<Watermark>, flood: Option<Watermark>) -> Finding {
    let reached =
        |watermark: Option<Watermark>| watermark.is_some_and(|watermark| watermark.is_reached(all, left));
    let message = format!("node `{node}` has {} MiB of {} MiB left", left >> 20, all >> 20);
    if reached(flood) {
        let advice = "its indices become read-only; make room: chunks wait in the broker, and Elasticsearch lifts the block by itself";
        finding("room", Gravity::Fault, format!("{message}: {advice}"))
    } else if reached(low) {
        finding(
            "room",
            Gravity::Warning,
            format!("{message}: make room, or set `store.retention`, before its indices become read-only"),
        )
    } else {
        finding("room", Gravity::Fine, message)
    }
}

const fn finding(subject: &'static str, gravity: Gravity, message: String) -> Finding {
    Finding { subject, gravity, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_is_read_in_each_of_its_forms() {
        assert_eq!(Watermark::parse("85%"), Some(Watermark::Used(0.85)));
        assert_eq!(Watermark::parse("0.5"), Some(Watermark::Used(0.5)));
        assert_eq!(Watermark::parse("500mb"), Some(Watermark::Left(500 << 20)));
        assert_eq!(Watermark::parse("12b"), Some(Watermark::Left(12)));
        assert_eq!(Watermark::parse("much"), None);
    }

    #[test]
    fn a_disk_is_told_of_before_it_is_full() {
        let gravity =
            |left| room("a", 1_000, left, Some(Watermark::Used(0.85)), Some(Watermark::Left(50))).gravity;
        assert_eq!(
            [gravity(500), gravity(150), gravity(50)],
            [Gravity::Fine, Gravity::Warning, Gravity::Fault]
        );
        assert_eq!(room("a", 1_000, 0, None, None).gravity, Gravity::Fine);
    }

    #[test]
    fn an_old_server_is_told_of() {
        assert!(is_new_enough("8.19.21") && is_new_enough("9.0.0") && is_new_enough("2.19.1"));
        assert!(!is_new_enough("7.17.0"));
    }
}

//! What can be said of an Elasticsearch before it is relied upon.

use elasticsearch::http::Method;
use serde::Serialize;
use serde_json::Value;

use super::{
    ElasticStore,
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

const fn finding(subject: &'static str, gravity: Gravity, message: String) -> Finding {
    Finding { subject, gravity, message }
}

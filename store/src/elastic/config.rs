//! How to reach an Elasticsearch, and how to use it.

use std::{fmt, path::PathBuf, time::Duration};

use crate::Roll;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How to reach an Elasticsearch, and how to use it.
#[derive(Debug, Clone)]
pub struct ElasticConfig {
    /// Addresses of its nodes (`https://10.0.0.2:9200`). One that does not answer is left out for a while.
    pub urls: Vec<String>,
    /// User, for a password.
    pub username: String,
    /// Password.
    pub password: Option<Secret>,
    /// File that holds the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// API key, as `id:api_key` or encoded (`base64(id:api_key)`); it takes the place of user and password.
    pub api_key: Option<Secret>,
    /// File that holds the API key and nothing else.
    pub api_key_file: Option<PathBuf>,
    /// Certificates (PEM) that may vouch for an `https://` server, beside those of the public authorities.
    pub ca_file: Option<PathBuf>,
    /// Begins the names of the indices that are Rastro's own (`rastro-alarms`), and of its templates and aliases.
    pub prefix: String,
    /// When a dataset goes on in its next index.
    pub roll: Roll,
    /// Size of one bulk request, bytes. A document that is larger travels alone.
    pub bulk_bytes: usize,
    /// Bulk requests that are underway at a time.
    pub bulk_concurrency: usize,
    /// Whether what is sent is gzipped: for a network that is slower than a processor.
    pub compress: bool,
    /// Longest time for one request.
    pub request_timeout: Duration,
    /// Copies of every index beside the first.
    pub replicas: u32,
}

impl Default for ElasticConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            username: String::new(),
            password: None,
            password_file: None,
            api_key: None,
            api_key_file: None,
            ca_file: None,
            prefix: "rastro".to_owned(),
            roll: Roll::ByTime,
            bulk_bytes: 5 * 1024 * 1024,
            bulk_concurrency: 4,
            compress: false,
            request_timeout: Duration::from_secs(30),
            replicas: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let config = ElasticConfig { password: Some(Secret::new("s3cret")), ..ElasticConfig::default() };
        assert!(!format!("{config:?}").contains("s3cret"));
    }
}

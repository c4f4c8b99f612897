//! `[store]`: where everything ends up, and how long it stays.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// `[store]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreConfig {
    /// Addresses of the nodes of an Elasticsearch; none means the embedded store in the data directory.
    pub(crate) urls: Vec<String>,
    /// User.
    pub(crate) username: String,
    /// Password, given by environment (`RASTRO_STORE__PASSWORD`); never printed.
    #[serde(skip_serializing)]
    pub(crate) password: String,
    /// File that holds the password and nothing else.
    pub(crate) password_file: PathBuf,
    /// File that holds an API key (encoded, or as `id:api_key`) and nothing else; it takes the place of user and password.
    pub(crate) api_key_file: PathBuf,
    /// Certificates (PEM) that may vouch for an `https://` server, beside those of the public authorities.
    pub(crate) ca_file: PathBuf,
    /// Begins the names of the indices that are Rastro's own (`rastro-alarms`).
    pub(crate) prefix: String,
    /// Copies that Elasticsearch keeps of every index beside the first.
    pub(crate) replicas: u32,
    /// Size of one bulk write.
    pub(crate) bulk_bytes: ByteSize,
    /// Bulk writes that are underway at a time.
    pub(crate) bulk_concurrency: usize,
    /// Whether what is sent is gzipped.
    pub(crate) compress: bool,
    /// How long it stays.
    pub(crate) retention: RetentionConfig,
}

/// `[store.retention]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionConfig {
    /// Indices whose last call is older than this are removed; kept for ever where empty or 0.
    pub(crate) max_age: String,
    /// The oldest indices are removed while all are larger than this together; without limit where empty or 0.
    pub(crate) max_size: String,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            username: String::new(),
            password: String::new(),
            password_file: PathBuf::new(),
            api_key_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            prefix: "rastro".to_owned(),
            replicas: 0,
            bulk_bytes: ByteSize::mib(5),
            bulk_concurrency: 4,
            compress: false,
            retention: RetentionConfig::default(),
        }
    }
}

impl StoreConfig {
    /// Whether the store is the one in the data directory.
    pub(crate) fn is_embedded(&self) -> bool {
        self.urls.is_empty()
    }

    /// One sentence about the first value that cannot be used, naming its key.
    pub(super) fn check(&self) -> Result<(), String> {
        let ensure = |holds: bool, key: &str, expected: &str| {
            if holds { Ok(()) } else { Err(format!("configuration key `store.{key}`: expected {expected}")) }
        };
        let is_address = |url: &String| {
            let place = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            place.is_some_and(|place| !place.is_empty())
        };
        ensure(self.urls.iter().all(is_address), "urls", "addresses such as https://10.0.0.2:9200")?;
        ensure(
            self.urls.iter().all(|url| !url.contains('@')),
            "urls",
            "addresses without a password: it comes from RASTRO_STORE__PASSWORD, `store.password_file` or `store.api_key_file`",
        )?;
        let is_prefix = rastro_model::dataset::check_name(&self.prefix).is_ok();
        ensure(is_prefix, "prefix", "lower-case letters, digits, `-`, `_`, `.`, as in `rastro`")?;
        ensure(self.replicas <= 16, "replicas", "0 to 16")?;
        ensure(
            (64 * 1024..=64 * 1024 * 1024).contains(&self.bulk_bytes.0),
            "bulk_bytes",
            "64 KiB to 64 MiB",
        )?;
        ensure((1..=64).contains(&self.bulk_concurrency), "bulk_concurrency", "1 to 64")?;
        self.retention.max_age().map(drop)?;
        self.retention.max_bytes().map(drop)
    }
}

impl RetentionConfig {
    /// The age at which an index goes, if there is one.
    pub(crate) fn max_age(&self) -> Result<Option<Duration>, String> {
        if matches!(self.max_age.trim(), "" | "0") {
            return Ok(None);
        }
        let age = humantime::parse_duration(self.max_age.trim())
            .map_err(|_| "configuration key `store.retention.max_age`: expected a time such as \"30days\", or \"\" to keep everything".to_owned())?;
        Ok((!age.is_zero()).then_some(age))
    }

    /// The size of everything together at which the oldest goes, if there is one.
    pub(crate) fn max_bytes(&self) -> Result<Option<u64>, String> {
        if matches!(self.max_size.trim(), "" | "0") {
            return Ok(None);
        }
        let size: ByteSize = self.max_size.trim().parse().map_err(|_| {
            "configuration key `store.retention.max_size`: expected a size such as \"500 GiB\", or \"\" to keep everything"
                .to_owned()
        })?;
        Ok((size.0 > 0).then_some(size.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_limited_stays_for_ever() {
        for nothing in ["", " ", "0", "0s"] {
            let retention = RetentionConfig { max_age: nothing.to_owned(), max_size: String::new() };
            assert_eq!((retention.max_age(), retention.max_bytes()), (Ok(None), Ok(None)), "{nothing:?}");
        }
        let retention = RetentionConfig { max_age: "30days".to_owned(), max_size: "5 GiB".to_owned() };
        assert_eq!(retention.max_age(), Ok(Some(Duration::from_hours(720))));
        assert_eq!(retention.max_bytes(), Ok(Some(5 << 30)));
        for wrong in ["soon", "30"] {
            let retention = RetentionConfig { max_age: wrong.to_owned(), max_size: "many".to_owned() };
            assert!(retention.max_age().unwrap_err().contains("store.retention.max_age"));
            assert!(retention.max_bytes().unwrap_err().contains("store.retention.max_size"));
        }
    }

    #[test]
    fn an_address_holds_no_password() {
        let with = |url: &str| StoreConfig { urls: vec![url.to_owned()], ..StoreConfig::default() }.check();
        assert_eq!(with("https://10.0.0.2:9200"), Ok(()));
        for wrong in ["10.0.0.2:9200", "redis://10.0.0.2", "http://", "https://elastic:s3cret@10.0.0.2:9200"]
        {
            let error = with(wrong).unwrap_err();
            assert!(error.contains("store.urls") && !error.contains("s3cret"), "{error}");
        }
    }
}

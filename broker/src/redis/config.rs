//! How a [`RedisBroker`](super::RedisBroker) is set up.

use std::{fmt, path::PathBuf, time::Duration};

use super::error::RedisError;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How a [`RedisBroker`](super::RedisBroker) is set up.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS. Several are the nodes of one Redis Cluster of which
    /// any may be asked first, or, with [`sentinel_master`](Self::sentinel_master), the Sentinels.
    pub addresses: Vec<String>,
    /// Name of the master that the Sentinels at [`addresses`](Self::addresses) watch. A user and password inside their addresses is
    /// for the Sentinels, the database and `rediss` for the master.
    pub sentinel_master: Option<String>,
    /// User of Redis' access control list; without it the password is that of the user `default`.
    pub username: Option<String>,
    /// Password; [`password_file`](Self::password_file) wins over it, and both over one in the address.
    pub password: Option<Secret>,
    /// File that holds the password and nothing else. Read again for every connection, so that it can be changed at any time.
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that may vouch for a `rediss://` server; without it those of the machine.
    pub ca_file: Option<PathBuf>,
    /// Begins all keys: `{prefix}:…`. The braces keep all of them on one node of a cluster.
    pub prefix: String,
    /// The consumer group. One group drains the queue: what it has acknowledged is removed.
    pub group: String,
    /// Name of this consumer, for people; made unique by what is appended to it.
    pub consumer: String,
    /// How many partitions to lay out when the namespace is new; afterwards what Redis says counts. At most so many consumers work.
    pub partitions: u32,
    /// Bound of the chunks kept, bytes as stored; appending waits at it. A single larger chunk is accepted into an empty queue.
    pub limit_bytes: u64,
    /// How long a consumer that has gone silent keeps its partitions.
    pub lease: Duration,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for an answer before the connection is given up and made anew.
    pub command_timeout: Duration,
    /// How long accepted chunks are remembered here, to be sent again if a Redis that came back no longer has them. Longer than Redis
    /// may keep a write from its disk: with `appendfsync everysec` that is two seconds.
    pub resend_window: Duration,
    /// How many bytes of them at most.
    pub resend_limit_bytes: usize,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            addresses: vec!["redis://127.0.0.1:6379".to_owned()],
            sentinel_master: None,
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            prefix: "rastro".to_owned(),
            group: "transformers".to_owned(),
            consumer: "rastro".to_owned(),
            partitions: 16,
            limit_bytes: 1024 * 1024 * 1024,
            lease: Duration::from_secs(6),
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(10),
            resend_window: Duration::from_secs(3),
            resend_limit_bytes: 16 * 1024 * 1024,
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.addresses.iter().map(|address| redact(address)).collect();
        f.debug_struct("RedisConfig")
            .field("addresses", &addresses)
            .field("sentinel_master", &self.sentinel_master)
            .field("username", &self.username)
            .field("password", &self.password)
            .field("password_file", &self.password_file)
            .field("ca_file", &self.ca_file)
            .field("prefix", &self.prefix)
            .field("group", &self.group)
            .field("consumer", &self.consumer)
            .field("partitions", &self.partitions)
            .field("limit_bytes", &self.limit_bytes)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// An address without its user and password.
pub(super) fn redact(address: &str) -> String {
    // The last `@`: a password that was not percent-encoded may hold one, too.
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://***@{place}"),
        (None, Some((_, place))) => format!("***@{place}"),
        _ => address.to_owned(),
    }
}

/// Most partitions that a namespace may have: each take looks at all that it owns.
pub(super) const MAX_PARTITIONS: u32 = 1024;

impl RedisConfig {
    /// Refuses what cannot work, before anything is tried.
    pub(super) fn check(&self) -> Result<(), RedisError> {
        let is_word = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"{}".contains(&b))
        };
        let refuse = |key: &'static str, message: String| Err(RedisError::Config { key, message });
        if self.addresses.is_empty() {
            return refuse(
                "addresses",
                "is empty: give at least one, such as redis://127.0.0.1:6379".to_owned(),
            );
        }
        for (key, text) in [("prefix", &self.prefix), ("group", &self.group), ("consumer", &self.consumer)] {
            if !is_word(text) {
                return refuse(key, format!("`{text}` is no word of printable characters without braces"));
            }
        }
        if self.partitions == 0 || self.partitions > MAX_PARTITIONS {
            return refuse("partitions", format!("{} is not in 1..={MAX_PARTITIONS}", self.partitions));
        }
        if self.limit_bytes == 0 {
            return refuse("limit_bytes", "is 0: nothing could ever be appended".to_owned());
        }
        if self.lease < Duration::from_millis(100) {
            return refuse("lease", format!("{:?} is shorter than 100 ms", self.lease));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_ever_printed() {
        let config = RedisConfig {
            addresses: vec!["rediss://me:s3cret@host:1/0".to_owned(), "redis://:s3cret@x@other".to_owned()],
            password: Some(Secret::new("s3cret")),
            ..RedisConfig::default()
        };
        let printed = format!("{config:?}");
        assert!(!printed.contains("s3cret"), "{printed}");
        assert!(
            printed.contains("rediss://***@host:1/0") && printed.contains("redis://***@other"),
            "{printed}"
        );
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let good = RedisConfig::default();
        good.check().unwrap();
        for (config, key) in [
            (RedisConfig { addresses: vec![], ..good.clone() }, "addresses"),
            (RedisConfig { prefix: "{x}".to_owned(), ..good.clone() }, "prefix"),
            (RedisConfig { consumer: "a b".to_owned(), ..good.clone() }, "consumer"),
            (RedisConfig { partitions: 0, ..good.clone() }, "partitions"),
            (RedisConfig { limit_bytes: 0, ..good.clone() }, "limit_bytes"),
            (RedisConfig { lease: Duration::ZERO, ..good.clone() }, "lease"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}

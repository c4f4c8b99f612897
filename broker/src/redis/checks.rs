//! What `doctor` says about a Redis: whether what it has accepted survives.

use std::collections::HashMap;

use super::{
    core::{Core, Live},
    error::RedisError,
};

/// How good a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckLevel {
    /// As it should be.
    Good,
    /// Works, and can lose chunks or stop.
    Warning,
    /// Does not work.
    Bad,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisCheck {
    /// What was looked at, in a word.
    pub name: &'static str,
    /// How good it is.
    pub level: CheckLevel,
    /// What was found, and what to do where it is not good.
    pub message: String,
}

/// Oldest Redis whose streams and scripts do what the broker needs.
const OLDEST_MAJOR: u32 = 7;

pub(super) async fn checks(core: &Core, live: &Live) -> Result<Vec<RedisCheck>, RedisError> {
    core.check_types(live).await?;
    let info: String = live.ask(&redis::cmd("INFO")).await?;
    // Managed servers keep their configuration to themselves.
    let config: HashMap<String, String> =
        live.ask(redis::cmd("CONFIG").arg("GET").arg("appendfsync").arg("save")).await.unwrap_or_default();
    let info = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    Ok(judge(&info, &config, core.config.limit_bytes))
}

fn judge(info: &HashMap<&str, &str>, config: &HashMap<String, String>, limit_bytes: u64) -> Vec<RedisCheck> {
    let field = |name: &str| info.get(name).copied().unwrap_or_default();
    let mut found = Vec::new();
    let mut say = |name, level, message: String| found.push(RedisCheck { name, level, message });

    let version = field("redis_version");
    let major = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major >= OLDEST_MAJOR {
        say("version", CheckLevel::Good, format!("Redis {version}"));
    } else {
        say(
            "version",
            CheckLevel::Bad,
            format!("Redis {version} is older than {OLDEST_MAJOR}.0: upgrade it"),
        );
    }

    if field("role") == "slave" {
        let message = "this server is a replica and cannot be written to: give the address of the master, or the Sentinels";
        say("role", CheckLevel::Bad, message.to_owned());
    }

    let snapshots = config.get("save").is_none_or(|save| !save.is_empty());
    if field("aof_enabled") == "1" {
        match config.get("appendfsync").map(String::as_str) {
            Some("no") => say(
                "persistence",
                CheckLevel::Warning,
                "append-only file with appendfsync no: a power loss takes up to half a minute; set appendfsync everysec".to_owned(),
            ),
            Some(when) => say("persistence", CheckLevel::Good, format!("append-only file, appendfsync {when}")),
            None => say("persistence", CheckLevel::Good, "append-only file".to_owned()),
        }
        if field("aof_last_write_status") == "err" {
            let message = "the last write to the append-only file failed: look at Redis' log and its disk";
            say("disk", CheckLevel::Bad, message.to_owned());
        }
    } else if snapshots {
        say(
            "persistence",
            CheckLevel::Warning,
            "snapshots only: a restart loses what came after the last one; set appendonly yes".to_owned(),
        );
    } else {
        say(
            "persistence",
            CheckLevel::Warning,
            "none: a restart loses every chunk that waits and where each stream stands; set appendonly yes"
                .to_owned(),
        );
    }
    if field("rdb_last_bgsave_status") == "err" {
        let message = "the last snapshot failed, Redis may refuse writes: look at its log and its disk";
        say("disk", CheckLevel::Bad, message.to_owned());
    }

    match field("maxmemory_policy") {
        "noeviction" | "" => say("eviction", CheckLevel::Good, "none".to_owned()),
        policy => say(
            "eviction",
            CheckLevel::Warning,
            format!("maxmemory-policy {policy} may throw chunks away: set noeviction"),
        ),
    }

    let maxmemory: u64 = field("maxmemory").parse().unwrap_or(0);
    // Redis needs room beside the chunks: its copy while it rewrites files, buffers, the ends of streams.
    if maxmemory > 0 && limit_bytes > maxmemory / 4 * 3 {
        say(
            "memory",
            CheckLevel::Warning,
            format!(
                "maxmemory is {maxmemory} bytes and the queue may grow to {limit_bytes}: raise the one or lower the other, to three quarters of it"
            ),
        );
    } else if maxmemory == 0 {
        let total: u64 = field("total_system_memory").parse().unwrap_or(0);
        if total > 0 && limit_bytes > total / 4 * 3 {
            say(
                "memory",
                CheckLevel::Warning,
                format!(
                    "the queue may grow to {limit_bytes} bytes, the machine has {total}: lower its bound"
                ),
            );
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(info: &str, config: &[(&str, &str)], limit_bytes: u64) -> HashMap<&'static str, RedisCheck> {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let info = info.split(' ').filter_map(|pair| pair.split_once(':')).collect();
        judge(&info, &config, limit_bytes).into_iter().map(|check| (check.name, check)).collect()
    }

    #[test]
    fn a_redis_that_forgets_or_evicts_is_warned_of() {
        let found = judged(
            "redis_version:7.0.15 role:master aof_enabled:0 maxmemory_policy:allkeys-lru maxmemory:1000",
            &[("save", "")],
            900,
        );
        for name in ["persistence", "eviction", "memory"] {
            assert_eq!(found[name].level, CheckLevel::Warning, "{found:?}");
        }
        assert!(found["persistence"].message.starts_with("none"));
        let snapshots = judged("redis_version:7.0.15 aof_enabled:0", &[("save", "3600 1")], 900);
        assert!(snapshots["persistence"].message.starts_with("snapshots only"));
    }

    #[test]
    fn a_redis_as_it_should_be_is_good_all_over() {
        let found = judged(
            "redis_version:7.0.15 role:master aof_enabled:1 aof_last_write_status:ok maxmemory_policy:noeviction maxmemory:0 total_system_memory:8000",
            &[("appendfsync", "everysec"), ("save", "")],
            900,
        );
        assert!(found.values().all(|check| check.level == CheckLevel::Good), "{found:?}");
    }

    #[test]
    fn a_replica_an_old_version_and_a_failing_disk_are_bad() {
        let found =
            judged("redis_version:6.2.1 role:slave aof_enabled:1 aof_last_write_status:err", &[], 900);
        for name in ["version", "role", "disk"] {
            assert_eq!(found[name].level, CheckLevel::Bad, "{found:?}");
        }
    }
}

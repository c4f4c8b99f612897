//! The servers that are configured: Redis between shippers and transformers, Elasticsearch behind them.

use rastro_broker::{
    RedisBroker,
    redis::{CheckLevel, RedisCheck},
};
use rastro_store::elastic::{ElasticStore, Finding, Gravity};

use super::{Context, check::Check};
use crate::roles::{redis_config, store::elastic_config};

/// What there is to say of the Redis that is configured; nothing if none is.
pub(super) async fn redis(context: &Context) -> Vec<Check> {
    const NAME: &str = "redis";
    if context.config.broker.urls.is_empty() {
        return Vec::new();
    }
    let broker = match RedisBroker::connect(redis_config(&context.config)).await {
        Ok(broker) => broker,
        Err(error) => return vec![unreachable(NAME, &error)],
    };
    let checks = match broker.checks().await {
        Ok(found) => found.iter().map(of_redis).collect(),
        Err(error) => vec![unreachable(NAME, &error)],
    };
    broker.close().await;
    checks
}

/// What there is to say of the Elasticsearch that is configured; nothing if none is.
pub(super) async fn elasticsearch(context: &Context) -> Vec<Check> {
    if context.config.store.is_embedded() {
        return Vec::new();
    }
    let findings = ElasticStore::checks(elastic_config(&context.config)).await;
    findings.iter().map(of_elasticsearch).collect()
}

fn of_elasticsearch(finding: &Finding) -> Check {
    let name = match finding.subject {
        "connection" => "elasticsearch",
        "health" => "elasticsearch health",
        "disk" => "elasticsearch disk",
        "layout" => "elasticsearch layout",
        other => other,
    };
    judged(name, finding.gravity == Gravity::Fine, finding.gravity == Gravity::Fault, &finding.message)
}

fn unreachable(name: &'static str, error: &dyn std::error::Error) -> Check {
    Check::broken(name, error.to_string(), "until then shippers keep their lines in the log files")
}

fn of_redis(check: &RedisCheck) -> Check {
    let name = match check.name {
        "version" => "redis version",
        "role" => "redis role",
        "persistence" => "redis persistence",
        "disk" => "redis disk",
        "memory" => "redis memory",
        "eviction" => "redis eviction",
        other => other,
    };
    judged(name, check.level == CheckLevel::Good, check.level == CheckLevel::Bad, &check.message)
}

/// A message that says what was found and, where it is not good, what to do: parted at the last colon or semicolon.
fn judged(name: &'static str, is_good: bool, is_bad: bool, message: &str) -> Check {
    if is_good {
        return Check::ok(name, message);
    }
    let (found, advice) =
        message.rsplit_once("; ").or_else(|| message.rsplit_once(": ")).unwrap_or((message, ""));
    if is_bad { Check::broken(name, found, advice) } else { Check::warn(name, found, advice) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::check::State;

    #[test]
    fn what_was_found_and_what_to_do_are_told_apart() {
        let message = "append-only file with appendfsync no: a power loss takes up to half a minute; set appendfsync everysec";
        let check = judged("redis persistence", false, false, message);
        assert_eq!(check.state, State::Warn);
        assert_eq!(check.advice, "set appendfsync everysec");
        let check = judged("redis version", false, true, "Redis 6.0 is older than 7.0: upgrade it");
        assert_eq!((check.state, check.found.as_str()), (State::Broken, "Redis 6.0 is older than 7.0"));
        assert_eq!(judged("redis version", true, false, "Redis 7.0.15").advice, "");
    }
}

//! A file into Redis.

use std::{path::Path, sync::Arc, time::Instant};

use anyhow::{Context as _, ensure};
use rastro_broker::{Broker, RedisBroker, RedisConfig, redis::Secret};

use super::{Bench, rsyslog};
use crate::{
    Settings,
    measure::rate,
    report::Report,
    shipping::{ship, write_log},
};

/// Begins the keys of what is measured here.
const PREFIX: &str = "bench-shipping";

pub(super) fn run(bench: &mut Bench, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let lines: u64 = if settings.quick { 300_000 } else { 2_000_000 };
    bench.clear()?;
    let folder = bench.rig.parts.folder.clone();
    let path = folder.join("shipped.log");
    let written = write_log(&path, 51, lines, 10_000)?;
    let memory = || used_memory(bench);

    let before = memory()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let state = tempfile::tempdir_in(&folder)?;
    let redis = &bench.rig.redis.server;
    let config = RedisConfig {
        addresses: vec![format!("redis://127.0.0.1:{}", redis.port)],
        password: Some(Secret::new(redis.password.clone())),
        prefix: PREFIX.to_owned(),
        consumer: "bench".to_owned(),
        limit_bytes: u64::MAX / 4,
        ..RedisConfig::default()
    };
    let broker: Arc<dyn Broker> = Arc::new(runtime.block_on(RedisBroker::connect(config))?);
    let begun = Instant::now();
    ship(&runtime, state.path(), &path, Arc::clone(&broker), &written)?;
    let ours = begun.elapsed();
    let our_memory = memory()? - before;
    drop(broker);

    let documents: u64 = document_bytes(&path)?;
    if rsyslog::is_installed() {
        bench.rig.redis.server.ask_redis(&["FLUSHALL"])?;
        let before = used_memory(bench)?;
        let redis = &bench.rig.redis.server;
        let action = format!(
            "type=\"omhiredis\" server=\"127.0.0.1\" serverport=\"{}\" serverpassword=\"{}\" mode=\"queue\" key=\"calls\" template=\"line\"",
            redis.port, redis.password
        );
        // The header is a line to rsyslog.
        let theirs = rsyslog::time(&folder, &path, &action, || {
            let length: u64 = redis.ask_redis(&["LLEN", "calls"])?.parse().context("LLEN")?;
            ensure!(length <= lines + 1, "{length} of {lines} lines arrived");
            Ok(length == lines + 1)
        })?;
        let their_memory = used_memory(bench)? - before;
        report.add(
            "pipeline: file to Redis",
            rate(lines, ours),
            "lines/s",
            "rsyslog, imfile to omhiredis, the same file",
            rate(lines, theirs),
        );
        report.add(
            "pipeline: memory of Redis",
            our_memory as f64 / lines as f64,
            "bytes/call",
            "rsyslog's list of lines",
            their_memory as f64 / lines as f64,
        );
    } else {
        eprintln!("    rsyslog is left out: apt-get install rsyslog rsyslog-hiredis rsyslog-elasticsearch");
    }
    report.add(
        "pipeline: memory of Redis",
        our_memory as f64 / lines as f64,
        "bytes/call",
        "one JSON document a line",
        documents as f64 / lines as f64,
    );
    bench.rig.redis.server.ask_redis(&["FLUSHALL"])?;
    std::fs::remove_file(&path)?;
    Ok(())
}

/// What Redis has set aside for data and what belongs to it, bytes.
fn used_memory(bench: &Bench) -> anyhow::Result<u64> {
    let text = bench.rig.redis.server.ask_redis(&["INFO", "memory"])?;
    let value = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
    value.and_then(|value| value.trim().parse().ok()).context("Redis does not say what it uses")
}

/// Size of a recording's lines as Filebeat's documents hold them: message, file and offset.
pub(super) fn document_bytes(path: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read(path)?;
    let mut offset = 0;
    let mut bytes = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let document = serde_json::json!({
            "@timestamp": "2022-03-31T07:00:00.000Z",
            "host": {"name": "node"},
            "log": {"file": {"path": "/var/log/rastro/0123456789ab.log"}, "offset": offset},
            "message": String::from_utf8_lossy(line.trim_ascii_end()),
        });
        bytes += document.to_string().len() as u64 + 1;
        offset += line.len();
    }
    Ok(bytes)
}

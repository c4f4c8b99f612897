//! A file through Redis into Elasticsearch, as segments and as one document a call.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rastro_chaos::plan::Target;

use super::{Bench, rsyslog, shipping::document_bytes, size_of};
use crate::{Settings, measure::rate, report::Report, shipping::write_log};

/// Longest time that a measurement may take.
const LIMIT: Duration = Duration::from_mins(10);

/// The aim: calls a second in segment form, both servers on the same machine.
const AIM: f64 = 500_000.0;

/// Indices of the recording's segments and of nothing else.
const SEGMENTS: &str = "bench-*,-*-rollup,-*-anomaly,-*-events,-*-windows";

/// Calls that are stored before the clock runs: a server that has just started is still compiling its own code.
const WARM_UP: u64 = 250_000;

pub(super) const fn stored_calls(settings: &Settings) -> u64 {
    if settings.quick { 1_000_000 } else { 10_000_000 }
}

pub(super) fn segments(bench: &mut Bench, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let calls = stored_calls(settings);
    bench.clear()?;
    bench.rig.configure(vec!["broker.limit_bytes=\"1 GiB\"".to_owned()])?;
    let stored = |bench: &Bench| bench.count(SEGMENTS, Some("rastro.calls"));
    bench.start_roles(&[Target::Shipper, Target::Transformer(0)])?;
    appear(bench, 50, WARM_UP)?;
    bench.wait(WARM_UP, LIMIT, stored)?;
    let begun = appear(bench, 52, calls - WARM_UP)?;
    bench.wait(calls, LIMIT, stored)?;
    let time = begun.elapsed();
    bench.rig.stop_roles();
    report.add(
        "pipeline: file to Redis to Elasticsearch, segments",
        rate(calls - WARM_UP, time),
        "calls/s",
        "aim, with both servers on this machine",
        AIM,
    );
    let sample = bench.rig.parts.folder.join("sample.log");
    write_log(&sample, 52, 100_000, 10_000)?;
    report.add(
        "pipeline: disk of Elasticsearch, segments",
        index_bytes(bench, SEGMENTS)? as f64 / calls as f64,
        "bytes/call",
        "one JSON document a line",
        document_bytes(&sample)? as f64 / 100_000.0,
    );
    Ok(())
}

pub(super) fn calls(bench: &mut Bench, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let calls: u64 = if settings.quick { 50_000 } else { 400_000 };
    bench.clear()?;
    bench.rig.configure(vec!["transformer.documents=[\"segment\",\"rollup\",\"call\"]".to_owned()])?;
    let stored = |bench: &Bench| bench.count("bench-*-events", None);
    bench.start_roles(&[Target::Shipper, Target::Transformer(0)])?;
    let warm_up = calls / 5;
    appear(bench, 51, warm_up)?;
    bench.wait(warm_up, LIMIT, stored)?;
    let begun = appear(bench, 53, calls)?;
    bench.wait(warm_up + calls, LIMIT, stored)?;
    let ours = begun.elapsed();
    bench.rig.stop_roles();
    let path = log_path(bench, 53);
    let file_bytes = size_of(&path)?;
    let our_bytes = index_bytes(bench, "bench-*-events")? * calls / (warm_up + calls);
    if rsyslog::is_installed() {
        let server = &bench.rig.elasticsearch.as_ref().context("no Elasticsearch")?.server;
        let action = format!(
            "type=\"omelasticsearch\" server=\"127.0.0.1\" serverport=\"{}\" uid=\"elastic\" pwd=\"{}\" template=\"document\" \
             searchIndex=\"rsyslog-calls\" searchType=\"\" bulkmode=\"on\" maxbytes=\"10m\"",
            server.port, server.password
        );
        let folder = bench.rig.parts.folder.clone();
        let theirs = rsyslog::time(&folder, &path, &action, || {
            let count = bench.count("rsyslog-calls", None)?;
            ensure!(count <= calls + 1, "{count} of {calls} lines arrived");
            Ok(count == calls + 1)
        })?;
        let their_bytes = index_bytes(bench, "rsyslog-calls")?;
        report.add(
            "pipeline: file to Redis to Elasticsearch, one document a call and segments",
            rate(calls, ours),
            "calls/s",
            "rsyslog, imfile to omelasticsearch, the same file, the line as one text",
            rate(calls, theirs),
        );
        report.add(
            "pipeline: disk of Elasticsearch, one document a call",
            our_bytes as f64 / calls as f64,
            "bytes/call",
            "rsyslog's documents",
            their_bytes as f64 / calls as f64,
        );
    }
    report.add(
        "pipeline: disk of Elasticsearch, one document a call",
        our_bytes as f64 / calls as f64,
        "bytes/call",
        "the file's lines",
        file_bytes as f64 / calls as f64,
    );
    Ok(())
}

fn log_path(bench: &Bench, seed: u64) -> PathBuf {
    bench.rig.places.logs.join(format!("recording-{seed}.log"))
}

/// A recording that is there from one moment to the next: when that was.
fn appear(bench: &Bench, seed: u64, calls: u64) -> anyhow::Result<Instant> {
    let written = bench.rig.parts.folder.join("appearing.log");
    write_log(&written, seed, calls, 10_000)?;
    let begun = Instant::now();
    std::fs::rename(&written, log_path(bench, seed))?;
    Ok(begun)
}

/// Bytes on disk of indices whose segments are merged into one, as those of yesterday are.
fn index_bytes(bench: &Bench, indices: &str) -> anyhow::Result<u64> {
    let rest = bench.rig.elasticsearch.as_ref().context("no Elasticsearch")?.server.rest();
    rest.ask("POST", &format!("/{indices}/_forcemerge?max_num_segments=1"), None)?;
    rest.ask("POST", &format!("/{indices}/_flush"), None)?;
    let answer = rest.ask("GET", &format!("/{indices}/_stats/store"), None)?;
    answer["_all"]["primaries"]["store"]["size_in_bytes"].as_u64().context("no size")
}

//! The volume of Rocha's published dataset: 93,291,758 calls in 11 hours, through the trail and scored again from the store.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, ensure};
use flate2::{Compression, write::GzEncoder};
use rastro_store::{
    Columns, Store,
    columns::{ColumnSizes, encode_measured},
    embedded::EmbeddedStore,
};

use crate::{
    Settings, generate::Layout, measure::rate, naive, parsing::field_names, process::rastro, report::Report,
    shipping::write_log, trail,
};

/// Rocha's dataset.
const PUBLISHED_CALLS: u64 = 93_291_758;
const COLLECTED_SECONDS: u64 = 11 * 3600;
/// What is made with `--quick`.
const QUICK_CALLS: u64 = 2_000_000;

const RESCORING_LIMIT_SECONDS: f64 = 10.0;
const MEMORY_LIMIT_MIB: f64 = 512.0;
const SEQUENCE_LIMIT_BYTES: f64 = 3.0;
const ALL_LIMIT_BYTES: f64 = 8.0;

/// Bytes on disk a call while all this runs: the recording, the agent's copy of it (at most 4 GiB), queue and store.
const ROOM_BYTES_A_CALL: u64 = 200;
const ROOM_BYTES: u64 = 5 << 30;

/// Calls whose sizes are measured column by column, and whose peers are made.
const SAMPLE_CALLS: u64 = 2_000_000;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let calls = if settings.quick { QUICK_CALLS } else { PUBLISHED_CALLS };
    let folder = tempfile::tempdir()?;
    let needed = calls * ROOM_BYTES_A_CALL + if settings.quick { 0 } else { ROOM_BYTES };
    let free = rustix::fs::statvfs(folder.path())?;
    let free = free.f_bavail * free.f_frsize;
    if free < needed {
        eprintln!(
            "    left out: `{}` has {} GiB free, {} GiB are needed; set TMPDIR to a folder with more",
            folder.path().display(),
            free >> 30,
            needed.div_ceil(1 << 30)
        );
        return Ok(());
    }
    let data_dir = folder.path().join("data");
    let interval_ns = COLLECTED_SECONDS * 1_000_000_000 / PUBLISHED_CALLS;
    trail::train(settings, folder.path(), &data_dir, interval_ns)?;
    let recording = folder.path().join("recording.log");
    let written = write_log(&recording, 51, calls, interval_ns)?;
    eprintln!("    {} calls in {:.1} GB of lines", written.lines, written.bytes as f64 / 1e9);

    let replayed = trail::replay(settings, &data_dir, &recording, calls)?;
    let seconds = replayed.time.as_secs_f64();
    let collected = calls as f64 * interval_ns as f64 / 1e9;
    report.add(
        &format!("volume: {calls} calls, recording to scores"),
        seconds,
        "s",
        "time that collecting them took",
        collected,
    );
    report.add(
        "volume: peak memory of the trail",
        replayed.usage.peak_bytes as f64 / f64::from(1 << 20),
        "MiB",
        "limit",
        MEMORY_LIMIT_MIB,
    );
    rescoring(settings, report, &data_dir, calls)?;
    sizes(report, &data_dir, &recording, calls)?;
    Ok(())
}

fn rescoring(settings: &Settings, report: &mut Report, data_dir: &Path, calls: u64) -> anyhow::Result<()> {
    let limit = RESCORING_LIMIT_SECONDS * calls as f64 / PUBLISHED_CALLS as f64;
    let all = ["score", "bench", "--dry-run", "--json"];
    let one = ["score", "bench", "--dry-run", "--json", "--detector", "stide:n=6"];
    let models = trail::models_of(settings, data_dir)?;
    for (arguments, name) in
        [(one.as_slice(), "STIDE n=6".to_owned()), (&all, format!("all {models} models"))]
    {
        let scored = rastro(&settings.rastro, data_dir, arguments)?;
        report.add(
            &format!("volume: scored again from the store, {name}"),
            scored.time.as_secs_f64(),
            "s",
            "limit, 10 s for the published volume",
            limit,
        );
        report.add(
            &format!("volume: peak memory of scoring again, {name}"),
            scored.usage.peak_bytes as f64 / f64::from(1 << 20),
            "MiB",
            "limit",
            MEMORY_LIMIT_MIB,
        );
        eprintln!("    {:.1} M calls/s", rate(calls, scored.time) / 1e6);
    }
    Ok(())
}

fn sizes(report: &mut Report, data_dir: &Path, recording: &Path, calls: u64) -> anyhow::Result<()> {
    let database = data_dir.join("store").join("rastro.db");
    let on_disk: u64 = ["", "-wal"]
        .iter()
        .filter_map(|suffix| fs::metadata(format!("{}{suffix}", database.display())).ok())
        .map(|metadata| metadata.len())
        .sum();
    let (sizes, sample) = column_sizes(&database)?;
    let a_call = |bytes: usize| bytes as f64 / sample as f64;
    let sequence = sizes.sequence;
    let names_and_threads = sequence.dictionaries + sequence.kinds + sequence.threads;
    let rest = sizes.rest;
    let numbers =
        sequence.times + rest.latencies + rest.results + rest.argument_counts + rest.argument_lengths;
    let others = rest.numbers + rest.flags + rest.details + sizes.overhead;
    let peers = Peers::measure(recording, sample)?;
    let json = "one JSON document a call";
    report.add(
        "volume: names and threads",
        a_call(names_and_threads),
        "bytes/call",
        "limit",
        SEQUENCE_LIMIT_BYTES,
    );
    report.add(
        "volume: with time, latency, result, number and length of arguments",
        a_call(names_and_threads + numbers),
        "bytes/call",
        "limit",
        ALL_LIMIT_BYTES,
    );
    let everything = a_call(names_and_threads + numbers + others);
    report.add(
        "volume: with event numbers, flags and kept arguments",
        everything,
        "bytes/call",
        json,
        peers.json_bytes_a_call,
    );
    report.add(
        "volume: the same beside the compressed recording",
        everything,
        "bytes/call",
        "gzip of the recording",
        peers.gzip_bytes_a_call,
    );
    report.add(
        "volume: the store's file with scores and rollups",
        on_disk as f64 / (calls + trail::TRAINING_CALLS) as f64,
        "bytes/call",
        json,
        peers.json_bytes_a_call,
    );
    eprintln!(
        "    bytes/call: dictionaries {:.3}, kinds {:.3}, threads {:.3}, times {:.3}, latencies {:.3}, results {:.3}, \
         argument counts {:.3}, argument lengths {:.3}, event numbers {:.3}, flags {:.3}, details {:.3}, overhead {:.3}",
        a_call(sequence.dictionaries),
        a_call(sequence.kinds),
        a_call(sequence.threads),
        a_call(sequence.times),
        a_call(rest.latencies),
        a_call(rest.results),
        a_call(rest.argument_counts),
        a_call(rest.argument_lengths),
        a_call(rest.numbers),
        a_call(rest.flags),
        a_call(rest.details),
        a_call(sizes.overhead)
    );
    Ok(())
}

/// Sizes of the columns of the first segments, and how many calls these have. A segment's bytes are a function of its content, so
/// that making them again gives the stored ones.
fn column_sizes(database: &Path) -> anyhow::Result<(ColumnSizes, u64)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut sum = ColumnSizes::default();
    let mut calls = 0;
    runtime.block_on(async {
        let store = EmbeddedStore::open(database)?;
        let datasets = store.datasets().await?;
        let dataset =
            datasets.iter().find(|dataset| dataset.name == "bench").context("no dataset `bench`")?;
        for index in &dataset.indices {
            let mut after = 0;
            while calls < SAMPLE_CALLS {
                let page = store.segments(&index.name, after, 100_000, Columns::All).await?;
                let Some(last) = page.last() else { break };
                after = last.place;
                for stored in &page {
                    let (_, sizes) = encode_measured(&stored.segment)?;
                    add(&mut sum, &sizes);
                    calls += stored.segment.calls.len() as u64;
                }
            }
        }
        anyhow::Ok(())
    })?;
    ensure!(calls > 0, "the store holds no calls");
    Ok((sum, calls))
}

fn add(sum: &mut ColumnSizes, sizes: &ColumnSizes) {
    sum.sequence.dictionaries += sizes.sequence.dictionaries;
    sum.sequence.kinds += sizes.sequence.kinds;
    sum.sequence.threads += sizes.sequence.threads;
    sum.sequence.times += sizes.sequence.times;
    sum.rest.numbers += sizes.rest.numbers;
    sum.rest.latencies += sizes.rest.latencies;
    sum.rest.results += sizes.rest.results;
    sum.rest.argument_counts += sizes.rest.argument_counts;
    sum.rest.argument_lengths += sizes.rest.argument_lengths;
    sum.rest.flags += sizes.rest.flags;
    sum.rest.details += sizes.rest.details;
    sum.overhead += sizes.overhead;
}

/// The same calls in the forms that others keep.
struct Peers {
    json_bytes_a_call: f64,
    gzip_bytes_a_call: f64,
}

impl Peers {
    /// Measures about the first `calls` lines of the recording.
    fn measure(recording: &Path, calls: u64) -> anyhow::Result<Self> {
        let mut text = Vec::new();
        File::open(recording)?.take(calls * 100).read_to_end(&mut text)?;
        let text = String::from_utf8(text).context("the recording is not UTF-8")?;
        let mut lines = 0;
        let mut json_bytes = 0;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        for line in text.lines().skip(1) {
            let document = serde_json::to_vec(&naive::fields(field_names(Layout::Default), line))?;
            json_bytes += document.len() + 1;
            encoder.write_all(line.as_bytes())?;
            encoder.write_all(b"\n")?;
            lines += 1;
        }
        let gzip_bytes = encoder.finish()?.len();
        let a_line = |bytes: usize| bytes as f64 / f64::from(lines);
        Ok(Self { json_bytes_a_call: a_line(json_bytes), gzip_bytes_a_call: a_line(gzip_bytes) })
    }
}

//! The whole trail as a process: a recording in a file to scores in the store.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::{
    Settings,
    generate::Layout,
    measure::rate,
    naive::{self, NaiveCall},
    parsing::field_names,
    process::{Finished, rastro},
    report::Report,
    shipping::write_log,
};

/// Calls that the profile is made of.
pub(crate) const TRAINING_CALLS: u64 = 500_000;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let calls: u64 = if settings.quick { 1_000_000 } else { 10_000_000 };
    let folder = tempfile::tempdir()?;
    let data_dir = folder.path().join("data");
    let training = train(settings, folder.path(), &data_dir, 10_000)?;
    let recording = folder.path().join("recording.log");
    write_log(&recording, 42, calls, 10_000)?;

    let replayed = replay(settings, &data_dir, &recording, calls)?;
    let models = models_of(settings, &data_dir)?;
    let ours = rate(calls, replayed.time);
    let naive = naive_pipeline(&training, &recording, &folder.path().join("naive.json"))?;
    report.add(
        &format!("trail: recording to scores, {models} models"),
        ours,
        "calls/s",
        "one process: split into a HashMap, STIDE on a HashSet, one JSON document a call",
        rate(calls, naive),
    );
    let begun = Instant::now();
    let status =
        Command::new("gzip").arg("-1").arg("-c").arg(&recording).stdout(std::process::Stdio::null()).status();
    ensure!(status.context("cannot run `gzip`")?.success(), "gzip failed");
    report.add(
        "trail: the same beside compressing the recording",
        ours,
        "calls/s",
        "gzip -1",
        rate(calls, begun.elapsed()),
    );
    report.add(
        "trail: processor time a call",
        replayed.usage.processor.as_secs_f64() / calls as f64 * 1e9,
        "ns",
        "the pipeline of HashMaps",
        naive.as_secs_f64() / calls as f64 * 1e9,
    );
    Ok(())
}

/// Makes a profile from a recording; returns the recording.
pub(crate) fn train(
    settings: &Settings,
    folder: &Path,
    data_dir: &Path,
    interval_ns: u64,
) -> anyhow::Result<PathBuf> {
    let path = folder.join("training.log");
    write_log(&path, 41, TRAINING_CALLS, interval_ns)?;
    let text = path.to_str().context("the temporary folder's name is not UTF-8")?;
    rastro(&settings.rastro, data_dir, &["replay", text, "--dataset", "training", "--drain", "--json"])?;
    rastro(&settings.rastro, data_dir, &["train", "training", "--json"])?;
    Ok(path)
}

/// Takes a recording through the trail and checks that every call arrived.
pub(crate) fn replay(
    settings: &Settings,
    data_dir: &Path,
    recording: &Path,
    calls: u64,
) -> anyhow::Result<Finished> {
    let text = recording.to_str().context("the temporary folder's name is not UTF-8")?;
    let finished =
        rastro(&settings.rastro, data_dir, &["replay", text, "--dataset", "bench", "--drain", "--json"])?;
    let stored = finished.count("calls_stored")?;
    ensure!(stored == calls, "{stored} of {calls} calls were stored: {}", finished.answer);
    let windows = finished.count("windows_scored")?;
    ensure!(windows > 0, "nothing was scored: {}", finished.answer);
    Ok(finished)
}

/// How many models the profile has, which all score.
pub(crate) fn models_of(settings: &Settings, data_dir: &Path) -> anyhow::Result<usize> {
    let profiles = rastro(&settings.rastro, data_dir, &["profile", "list", "--json"])?.answer;
    profiles[0]["models"].as_array().map(Vec::len).with_context(|| format!("no models in {profiles}"))
}

/// What a first version would do, on one thread; returns how long the second recording took.
fn naive_pipeline(training: &Path, recording: &Path, output: &Path) -> anyhow::Result<Duration> {
    const WINDOW: usize = 6;
    let mut numbers: HashMap<String, u16> = HashMap::new();
    let mut calls: Vec<NaiveCall> = Vec::new();
    each_line(training, |line| {
        calls.push(naive_call(&naive::fields(field_names(Layout::Default), line), &mut numbers));
        Ok(())
    })?;
    let known = naive::learn_stide(&calls, WINDOW);

    let begun = Instant::now();
    let mut documents = BufWriter::new(File::create(output)?);
    let mut recent: HashMap<u32, Vec<u16>> = HashMap::new();
    each_line(recording, |line| {
        let mut fields = naive::fields(field_names(Layout::Default), line);
        let (thread, call) = naive_call(&fields, &mut numbers);
        let window = recent.entry(thread).or_default();
        window.push(call);
        if window.len() > WINDOW {
            window.remove(0);
        }
        let is_unseen = window.len() == WINDOW && !known.contains(window);
        fields.insert("unseen", if is_unseen { "true" } else { "false" });
        serde_json::to_writer(&mut documents, &fields)?;
        documents.write_all(b"\n")?;
        Ok(())
    })?;
    documents.flush()?;
    let time = begun.elapsed();
    fs::remove_file(output)?;
    Ok(time)
}

fn naive_call(fields: &HashMap<&str, &str>, numbers: &mut HashMap<String, u16>) -> NaiveCall {
    let text = |name| fields.get(name).copied().unwrap_or_default();
    let next = numbers.len() as u16;
    let call = *numbers.entry(text("name").to_owned()).or_insert(next);
    (text("thread").parse().unwrap_or_default(), call)
}

fn each_line(path: &Path, mut each: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for line in BufReader::new(File::open(path)?).lines().skip(1) {
        each(&line?)?;
    }
    Ok(())
}

//! `rastro train`: stored calls to profiles.

mod alarmed;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use rastro_analyzer::{Profile, Trainer, TrainingOptions};
use rastro_model::Segment;
use rastro_store::{Columns, Store, StoreError};
use serde::Serialize;

use super::{
    Context,
    analyzer_input::{columns_of, is_wanted, pages, targets, within},
    profile::to_store,
};
use crate::{
    args::TrainArgs,
    output::{self, progress, text},
    roles::analyzer::{Settings, model_specs, workload_name},
};
use alarmed::Alarmed;

/// What was learned of one workload.
#[derive(Debug, Serialize)]
struct Trained {
    profile: String,
    version: u32,
    models: Vec<String>,
    calls: u64,
    /// Calls of containers in alarm, which were not learned.
    left_out: u64,
    /// 1 − the estimated share of windows that are still to be seen for the first time (Good and Turing).
    completeness: f64,
    bytes: u64,
    seconds: f64,
}

pub(super) async fn train(context: &Context, arguments: &TrainArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::new(&context.config)?;
    let options = TrainingOptions { models: models(&settings, context, arguments)?, ..settings.training() };
    let (from_ns, to_ns) =
        (time("--from", arguments.from.as_deref())?, time("--to", arguments.to.as_deref())?);
    let store = context.store_to_write().await?;
    let datasets = store.datasets().await?;
    let begun = Instant::now();

    let mut targets_to_learn = Vec::new();
    for name in &arguments.datasets {
        targets_to_learn.extend(targets(&datasets, name)?);
    }
    let total: u64 = targets_to_learn.iter().map(|target| target.index.calls).sum();
    let bar =
        if context.quiet { indicatif::ProgressBar::hidden() } else { progress::items(total, "learning") };
    // A profile that learns more may have models that were not asked for.
    let columns = if arguments.add { Columns::All } else { columns_of(&options.models) };
    let mut trainers: BTreeMap<String, Trainer> = BTreeMap::new();
    let gap_ns = i64::try_from(context.config.analyzer.alarm_gap.as_nanos()).unwrap_or(i64::MAX);
    let alarmed = if arguments.include_alarms {
        Alarmed::default()
    } else {
        Alarmed::of(store.as_ref(), gap_ns).await?
    };
    let mut left_out: BTreeMap<String, u64> = BTreeMap::new();
    for target in &targets_to_learn {
        let mut pages = pages(&store, &target.index.name, columns);
        while let Some(page) = pages.recv().await {
            for stored in page? {
                bar.inc(stored.segment.calls.len() as u64);
                if !is_wanted(&stored.segment.container, arguments.container.as_deref()) {
                    continue;
                }
                let Some(segment) = &within(stored.segment, from_ns, to_ns) else { continue };
                let name = arguments.profile.as_deref().unwrap_or_else(|| workload_name(segment));
                if alarmed.holds(segment) {
                    *left_out.entry(name.to_owned()).or_default() += segment.calls.len() as u64;
                    continue;
                }
                if !trainers.contains_key(name) {
                    let trainer = trainer(store.as_ref(), name, &options, arguments.add).await?;
                    trainers.insert(name.to_owned(), trainer);
                }
                learn(&mut trainers, name, segment);
            }
        }
    }
    bar.finish_and_clear();
    if trainers.is_empty() && !left_out.is_empty() {
        bail!(
            "all calls are of containers in alarm, from which nothing is learned; if the alarms were false, say so with --include-alarms"
        );
    }
    if trainers.is_empty() {
        bail!(
            "there are no calls to learn from: check --container, --from and --to against `rastro datasets`"
        );
    }

    let mut trained = Vec::new();
    for (name, trainer) in trainers {
        let profile = trainer.finish(now_ns());
        let left_out = left_out.get(&name).copied().unwrap_or(0);
        trained.push(publish(&store, &profile, left_out, begun).await?);
    }
    if arguments.json {
        output::json(&trained)?;
        return Ok(ExitCode::SUCCESS);
    }
    for profile in &trained {
        output::line(format!(
            "profile {}@{}: learned {} calls, {:.2} % complete; {}; {} bytes; {:.1} s",
            text::printable(&profile.profile),
            profile.version,
            text::count(profile.calls),
            profile.completeness * 100.0,
            profile.models.join(", "),
            text::count(profile.bytes),
            profile.seconds
        ))?;
        if profile.left_out > 0 {
            output::line(format!(
                "  {} calls of containers in alarm were left out (--include-alarms learns them too)",
                text::count(profile.left_out)
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn models(
    settings: &Settings,
    context: &Context,
    arguments: &TrainArgs,
) -> anyhow::Result<Vec<rastro_analyzer::ModelSpec>> {
    if arguments.detector.is_empty() && arguments.window.is_empty() {
        return Ok(settings.models.clone());
    }
    let analyzer = &context.config.analyzer;
    let detectors = if arguments.detector.is_empty() { &analyzer.detectors } else { &arguments.detector };
    let windows = if arguments.window.is_empty() { &analyzer.windows } else { &arguments.window };
    model_specs(detectors, windows)
}

/// A trainer that starts anew, or one that goes on with the latest version.
async fn trainer(
    store: &dyn Store,
    name: &str,
    options: &TrainingOptions,
    add: bool,
) -> anyhow::Result<Trainer> {
    if !add {
        return Ok(Trainer::new(name, options));
    }
    match store.profile(name, None).await {
        Ok(stored) => Ok(Trainer::resume(Profile::from_bytes(&stored.bytes)?, options.frame)),
        Err(StoreError::NotFound { .. }) => Ok(Trainer::new(name, options)),
        Err(error) => Err(error.into()),
    }
}

fn learn(trainers: &mut BTreeMap<String, Trainer>, name: &str, segment: &Segment) {
    if let Some(trainer) = trainers.get_mut(name) {
        trainer.learn(segment);
    }
}

async fn publish(
    store: &Arc<dyn Store>,
    profile: &Profile,
    left_out: u64,
    begun: Instant,
) -> anyhow::Result<Trained> {
    let stored = to_store(profile);
    let version = store.put_profile(&stored).await?;
    Ok(Trained {
        profile: profile.name.clone(),
        version,
        models: stored.summary.models,
        calls: stored.summary.calls,
        left_out,
        completeness: profile.completeness(),
        bytes: stored.summary.bytes,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn time(flag: &str, text: Option<&str>) -> anyhow::Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    let timestamp: Timestamp = text
        .parse()
        .with_context(|| format!("`{flag} {text}`: expected a time such as 2026-11-21T08:00:00Z"))?;
    Ok(i64::try_from(timestamp.as_nanosecond()).ok())
}

fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

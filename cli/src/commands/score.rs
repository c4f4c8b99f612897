//! `rastro score`: a stored dataset again, with any detector, window size and profile.

mod diff;
mod profiles;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use anyhow::bail;
use rastro_analyzer::{ModelSpec, Scorer};
use rastro_model::{Alarm, AlarmId, Reason, Segment, SegmentScores};
use rastro_store::{AnalysisBatch, ScoreQuery, Store, StoredSegment};
use serde::Serialize;

use super::{
    Context,
    analyzer_input::{self, Target, pages},
};
use crate::{
    args::{ScoreAction, ScoreArgs},
    output::{self, frames, progress, text},
    roles::analyzer::{LIVE, Settings, StreamCounts, model_specs, workload_name},
};
use profiles::ChosenProfiles;

/// One object for scripts.
#[derive(Debug, Default, Serialize)]
struct Report {
    scoring: String,
    indices: Vec<String>,
    profiles: BTreeSet<String>,
    calls: u64,
    /// Calls of workloads that have no profile.
    calls_without_profile: u64,
    windows_scored: u64,
    frames_scored: u64,
    frames_alarming: u64,
    alarms: u64,
    seconds: f64,
    calls_per_second: f64,
    top: Vec<frames::TopFrame>,
}

pub(super) async fn score(context: &Context, arguments: &ScoreArgs) -> anyhow::Result<ExitCode> {
    if let Some(ScoreAction::Diff { before, after, datasets, top, json }) = &arguments.action {
        let compared = diff::Compared { before, after, datasets, top: *top, json: *json };
        return diff::diff(context, &compared).await;
    }
    if arguments.name == LIVE {
        bail!(
            "`--name live`: that name belongs to the analysis that follows the data as it comes; take another"
        );
    }
    let settings = Settings::new(&context.config)?;
    let store =
        if arguments.dry_run { context.store_to_read().await? } else { context.store_to_write().await? };
    let datasets = store.datasets().await?;
    let mut targets: Vec<Target> = Vec::new();
    for name in &arguments.datasets {
        for target in analyzer_input::targets(&datasets, name)? {
            // An index that was named with its dataset is scored once.
            if !targets.iter().any(|known| known.index.name == target.index.name) {
                targets.push(target);
            }
        }
    }
    let models = models(context, arguments)?;
    let mut profiles = ChosenProfiles::new(&store, &settings, arguments.profile.as_deref(), models).await?;

    let columns = profiles.columns().await?;
    let begun = Instant::now();
    let total: u64 = targets.iter().map(|target| target.index.calls).sum();
    let bar =
        if context.quiet { indicatif::ProgressBar::hidden() } else { progress::items(total, "scoring") };
    let mut report = Report { scoring: arguments.name.clone(), ..Report::default() };
    let mut alarm_ids: BTreeSet<AlarmId> = BTreeSet::new();
    let mut best = BestFrames::new(arguments.top);
    for target in &targets {
        let mut scoring = IndexScoring {
            store: &store,
            target,
            job: (!arguments.dry_run).then_some(arguments.name.as_str()),
            scorers: BTreeMap::new(),
        };
        let mut pages = pages(&store, &target.index.name, columns);
        while let Some(page) = pages.recv().await {
            let page = page?;
            let calls = page.iter().map(|stored| stored.segment.calls.len() as u64).sum();
            scoring.page(page, &mut profiles, &mut report, &mut alarm_ids, &mut best).await?;
            bar.inc(calls);
        }
        report.indices.push(target.index.name.clone());
        report.profiles.extend(scoring.scorers.values().flatten().map(|scorer| {
            let profile = scorer.profile();
            format!("{}@{}", profile.name, profile.version)
        }));
    }
    bar.finish_and_clear();
    report.alarms = alarm_ids.len() as u64;
    report.seconds = begun.elapsed().as_secs_f64();
    report.calls_per_second = report.calls as f64 / report.seconds;
    if report.profiles.is_empty() {
        bail!(
            "no profile fits the containers of `{0}`: `rastro train {0}` makes one, or name one with --profile",
            arguments.datasets.join(" ")
        );
    }
    report.top = if arguments.dry_run {
        best.frames
    } else {
        let mut top = Vec::new();
        for target in &targets {
            let query = ScoreQuery {
                dataset: Some(target.dataset.clone()),
                index: Some(target.index.name.clone()),
                job: Some(arguments.name.clone()),
                ..ScoreQuery::default()
            };
            top.extend(frames::top(store.as_ref(), &query, arguments.top).await?);
        }
        // Stable: among equals the order of the indices holds.
        top.sort_by(|a, b| b.score.total_cmp(&a.score));
        top.truncate(arguments.top);
        top
    };
    if arguments.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(report: &Report) -> anyhow::Result<()> {
    output::line(format!(
        "{}: {} calls against {}: {} windows in {} frames, {} alarming, {}; {:.1} s, {} calls a second",
        report.indices.join(", "),
        text::count(report.calls),
        report.profiles.iter().map(|name| text::printable(name)).collect::<Vec<_>>().join(", "),
        text::count(report.windows_scored),
        text::count(report.frames_scored),
        text::count(report.frames_alarming),
        text::counted(report.alarms, "alarm"),
        report.seconds,
        text::count(report.calls_per_second as u64)
    ))?;
    if report.calls_without_profile > 0 {
        output::line(format!(
            "{} calls belong to workloads without a profile and were not scored",
            text::count(report.calls_without_profile)
        ))?;
    }
    frames::print(&report.top)
}

/// Models that were asked for; none means all of the profile.
fn models(context: &Context, arguments: &ScoreArgs) -> anyhow::Result<Vec<ModelSpec>> {
    if arguments.detector.is_empty() && arguments.window.is_empty() {
        return Ok(Vec::new());
    }
    let analyzer = &context.config.analyzer;
    let detectors = if arguments.detector.is_empty() { &analyzer.detectors } else { &arguments.detector };
    let windows = if arguments.window.is_empty() { &analyzer.windows } else { &arguments.window };
    model_specs(detectors, windows)
}

/// Scoring of one index.
struct IndexScoring<'s> {
    store: &'s Arc<dyn Store>,
    target: &'s Target,
    /// Under which name the scores are kept, if they are.
    job: Option<&'s str>,
    /// By workload; `None` for one without a profile.
    scorers: BTreeMap<String, Option<Scorer>>,
}

impl IndexScoring<'_> {
    async fn page(
        &mut self,
        page: Vec<StoredSegment>,
        profiles: &mut ChosenProfiles,
        report: &mut Report,
        alarm_ids: &mut BTreeSet<AlarmId>,
        best: &mut BestFrames,
    ) -> anyhow::Result<()> {
        for StoredSegment { segment, .. } in &page {
            let name = workload_name(segment);
            if !self.scorers.contains_key(name) {
                let scorer = profiles.scorer(segment).await?;
                self.scorers.insert(name.to_owned(), scorer);
            }
        }
        let mut scorers = std::mem::take(&mut self.scorers);
        let (returned, page, scored) = tokio::task::spawn_blocking(move || {
            let scored: Vec<_> = page.iter().map(|stored| score_one(&mut scorers, &stored.segment)).collect();
            (scorers, page, scored)
        })
        .await?;
        self.scorers = returned;

        let (mut all_scores, mut all_alarms) = (Vec::new(), Vec::<Alarm>::new());
        for (StoredSegment { segment, .. }, scored) in page.iter().zip(scored) {
            report.calls += segment.calls.len() as u64;
            let Some((mut scores, alarms)) = scored else {
                report.calls_without_profile += segment.calls.len() as u64;
                continue;
            };
            self.fill_arguments(segment, &mut scores).await?;
            let mut counts = StreamCounts::default();
            counts.add(&scores);
            report.windows_scored += counts.windows;
            report.frames_scored += counts.frames;
            report.frames_alarming +=
                scores.iter().flat_map(|scores| &scores.frames).filter(|frame| frame.alarm).count() as u64;
            best.take(&self.target.index.name, segment, &scores);
            for alarm in alarms {
                alarm_ids.insert(alarm.id.clone());
                all_alarms.retain(|earlier| earlier.id != alarm.id);
                all_alarms.push(alarm);
            }
            all_scores.extend(scores);
        }
        if let Some(job) = self.job {
            let batch = AnalysisBatch {
                job: job.to_owned(),
                index: self.target.index.name.clone(),
                scores: all_scores,
                alarms: all_alarms,
                place: None,
            };
            self.store.write_analysis(&batch).await?;
        }
        Ok(())
    }

    /// Scoring reads sequences alone; the arguments of rare calls are looked up where they are told.
    async fn fill_arguments(&self, segment: &Segment, scores: &mut [SegmentScores]) -> anyhow::Result<()> {
        let mut missing = scores
            .iter_mut()
            .flat_map(|scores| &mut scores.frames)
            .flat_map(|frame| &mut frame.reasons)
            .filter_map(|reason| match reason {
                Reason::RareCall { call, arguments: arguments @ None, .. } => Some((*call, arguments)),
                _ => None,
            })
            .peekable();
        if missing.peek().is_none() {
            return Ok(());
        }
        let details = self.store.segment(segment.id).await?.details;
        for (call, arguments) in missing {
            if let Ok(found) = details.binary_search_by_key(&call, |detail| detail.call) {
                *arguments = Some(details[found].arguments.clone());
            }
        }
        Ok(())
    }
}

type Scored = Option<(Vec<SegmentScores>, Vec<Alarm>)>;

fn score_one(scorers: &mut BTreeMap<String, Option<Scorer>>, segment: &Segment) -> Scored {
    let scorer = scorers.get_mut(workload_name(segment))?.as_mut()?;
    let scores = scorer.score_segment(segment);
    let alarms = scorer.alarms(segment, &scores);
    Some((scores, alarms))
}

/// The most anomalous frames so far.
struct BestFrames {
    count: usize,
    frames: Vec<frames::TopFrame>,
}

impl BestFrames {
    fn new(count: usize) -> Self {
        Self { count, frames: Vec::new() }
    }

    fn take(&mut self, index: &str, segment: &Segment, scores: &[SegmentScores]) {
        let lowest = if self.frames.len() < self.count {
            0.0
        } else {
            self.frames.last().map_or(0.0, |frame| frame.score)
        };
        // Among equals the store's order holds: by place, then by model.
        let mut by_model: Vec<&SegmentScores> = scores.iter().collect();
        by_model.sort_by(|a, b| (&a.detector, a.window).cmp(&(&b.detector, b.window)));
        for scores in by_model {
            for frame in scores.frames.iter().filter(|frame| frame.score > lowest) {
                let frame = frames::TopFrame::new(index, &segment.container, scores, frame);
                let told = self
                    .frames
                    .iter()
                    .position(|told| told.segment == frame.segment && told.first_call == frame.first_call);
                match told {
                    Some(told) if self.frames[told].score >= frame.score => continue,
                    Some(told) => drop(self.frames.remove(told)),
                    None => {}
                }
                let place = self.frames.partition_point(|other| other.score >= frame.score);
                self.frames.insert(place, frame);
            }
        }
        self.frames.truncate(self.count);
    }
}

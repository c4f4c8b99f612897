//! `rastro explain`: why an alarm was raised, and what to do next.

mod context;
mod find;
mod findings;
mod page;

use std::{path::Path, process::ExitCode};

use rastro_model::{Alarm, ProfileRef, Reason};
use rastro_store::{ScoreQuery, Store, StoredScores};
use serde::Serialize;

use super::Context;
use crate::{
    args::ExplainArgs,
    output::{self, reason, text},
};
use context::ContextCall;
use findings::Finding;

pub(super) async fn explain(context: &Context, arguments: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let store = context.store_to_read().await?;
    let alarm = find::alarm(store.as_ref(), &arguments.alarm).await?;
    let is_followed_here = has_log(&context.config.log_dir(), &alarm.container.id);
    let explanation = Explanation::gather(store.as_ref(), alarm, arguments.context, is_followed_here).await?;
    if arguments.json {
        output::json(&explanation)?;
    } else {
        output::line(page::page(&explanation, output::colours()).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that is known about an alarm.
#[derive(Debug, Serialize)]
struct Explanation {
    alarm: Alarm,
    start: String,
    end: String,
    /// Scores of the frame at which the alarm began, one a model.
    first_frame: Vec<ModelScore>,
    /// Scores of the frame with the highest score, if that is another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peak_frame: Vec<ModelScore>,
    /// The first sequence that the profile has never seen.
    first: Option<Finding>,
    /// Every reason in words.
    reasons: Vec<Sentence>,
    /// Calls around the first unusual one.
    context: Vec<ContextCall>,
    /// Why there is no context, if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_missing: Option<String>,
    /// Commands that lead on.
    next: Vec<Step>,
}

/// What one model said of a frame.
#[derive(Debug, Serialize)]
struct ModelScore {
    detector: String,
    window: u32,
    profile: ProfileRef,
    first_call: u32,
    calls: u32,
    windows: u32,
    unseen: u32,
    raw: f64,
    score: f64,
    threshold: f64,
    alarm: bool,
}

#[derive(Debug, Serialize)]
struct Sentence {
    text: String,
    reason: Reason,
}

#[derive(Debug, Serialize)]
struct Step {
    command: String,
    purpose: String,
}

impl Explanation {
    async fn gather(
        store: &dyn Store,
        alarm: Alarm,
        around: usize,
        is_followed_here: bool,
    ) -> anyhow::Result<Self> {
        let (segment_id, first_call) = alarm.first;
        let first_scores = scores(store, &alarm, segment_id).await?;
        let first_frame = frame_scores(&first_scores, first_call);
        let (peak_frame, mut reasons) = if alarm.peak == alarm.first {
            (Vec::new(), alarm.reasons.clone())
        } else {
            let peak_scores = scores(store, &alarm, alarm.peak.0).await?;
            (frame_scores(&peak_scores, alarm.peak.1), alarm.reasons.clone())
        };
        // Calls that are damaged or gone take nothing from the reasons, which the alarm itself holds.
        let (segment, context_missing) = match store.segment(segment_id).await {
            Ok(segment) => (Some(segment), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let first_reason = findings::first_reason(&first_scores, first_call).or_else(|| {
            (alarm.peak == alarm.first).then(|| findings::strongest(&alarm.reasons)).flatten().cloned()
        });
        let first = first_reason.as_ref().and_then(Finding::of);
        let context = match &segment {
            Some(segment) => {
                context::around(store, segment, first_reason.as_ref(), first_call, around).await?
            }
            None => Vec::new(),
        };
        let peak = if alarm.peak.0 == segment_id { segment } else { store.segment(alarm.peak.0).await.ok() };
        if let Some(peak) = &peak {
            for reason in &mut reasons {
                findings::fill_arguments(reason, peak);
            }
        }
        let sentences =
            reasons.into_iter().map(|reason| Sentence { text: reason::sentence(&reason), reason });
        Ok(Self {
            start: text::rfc3339(alarm.start_ns),
            end: text::rfc3339(alarm.end_ns),
            first_frame,
            peak_frame,
            first,
            reasons: sentences.collect(),
            context,
            context_missing,
            next: next_steps(&alarm, is_followed_here),
            alarm,
        })
    }
}

/// Scores of a segment by the alarm's profile.
async fn scores(
    store: &dyn Store,
    alarm: &Alarm,
    segment: rastro_model::SegmentId,
) -> anyhow::Result<Vec<StoredScores>> {
    let query =
        ScoreQuery { index: Some(alarm.index.clone()), segment: Some(segment), ..ScoreQuery::default() };
    let mut scores = store.scores(&query).await?;
    scores.retain(|scores| scores.scores.profile == alarm.profile);
    // The same model may have scored the segment under several names: the scores are the same.
    scores.sort_by(|a, b| (&a.scores.detector, a.scores.window).cmp(&(&b.scores.detector, b.scores.window)));
    scores.dedup_by(|a, b| (&a.scores.detector, a.scores.window) == (&b.scores.detector, b.scores.window));
    Ok(scores)
}

fn frame_scores(scores: &[StoredScores], first_call: u32) -> Vec<ModelScore> {
    let of_frame = |stored: &StoredScores| {
        let scores = &stored.scores;
        let frame = scores.frames.iter().find(|frame| frame.first_call == first_call)?;
        Some(ModelScore {
            detector: scores.detector.clone(),
            window: scores.window,
            profile: scores.profile.clone(),
            first_call: frame.first_call,
            calls: frame.calls,
            windows: frame.windows,
            unseen: frame.unseen,
            raw: frame.raw,
            score: frame.score,
            threshold: scores.threshold,
            alarm: frame.alarm,
        })
    };
    scores.iter().filter_map(of_frame).collect()
}

/// Whether the container is being followed on this machine: a recording that was replayed has no log file.
fn has_log(log_dir: &Path, container: &str) -> bool {
    log_dir.join(format!("{container}.log")).is_file()
}

/// What an analyst can do now. Names that a container may have chosen are quoted for the shell.
fn next_steps(alarm: &Alarm, is_followed_here: bool) -> Vec<Step> {
    let step = |command: String, purpose: &str| Step { command, purpose: purpose.to_owned() };
    let container = quoted(&alarm.container.id);
    let dataset = quoted(&alarm.dataset);
    let profile = quoted(&alarm.profile.name);
    // The end of a span is exclusive.
    let (from, to) = (text::rfc3339(alarm.start_ns), text::rfc3339(alarm.end_ns.saturating_add(1)));
    let mut steps = vec![
        step(format!("rastro alarms --container {container}"), "what else this container did"),
        step(
            format!("rastro score {} --top 10", quoted(&alarm.index)),
            "the most anomalous frames around, scored again",
        ),
        step(format!("rastro profile show {profile}@{}", alarm.profile.version), "what is known as normal"),
        step(
            format!(
                "rastro train {dataset} --add --profile {profile} --container {container} --from {from} --to {to} \
                 --include-alarms"
            ),
            "if this was normal: teach it to the profile",
        ),
    ];
    if is_followed_here {
        steps.insert(1, step(format!("rastro tail {container}"), "what it does now"));
    }
    steps
}

/// A word for the shell, harmless on a terminal.
fn quoted(word: &str) -> String {
    let word = text::printable(word);
    let is_plain = !word.is_empty()
        && word.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'@')
        });
    if is_plain { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

//! What a replay came to: counted from what is stored, so that it is right after any interruption.

use std::time::Instant;

use rastro_agent::ReplayReport;
use rastro_model::{Alarm, StreamId, Tally};
use rastro_store::{AlarmQuery, Label, ScoreQuery};
use serde::Serialize;

use super::{Context, Pipeline, workspace::Workspace};
use crate::{
    output::{self, frames, text},
    roles::analyzer,
};

/// How many of the most anomalous frames are shown.
const TOP: usize = 3;

/// One object for scripts.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    dataset: String,
    indices: Vec<String>,
    #[serde(flatten)]
    tally: Tally,
    windows_scored: u64,
    frames_scored: u64,
    alarms: u64,
    /// Frames that were scored while a profile was still being learned: they never alarm.
    frames_learning: u64,
    containers: Vec<rastro_model::Container>,
    resumed: bool,
    seconds: f64,
    calls_per_second: f64,
    top: Vec<frames::TopFrame>,
    #[serde(skip)]
    found: Vec<Alarm>,
}

impl Report {
    pub(super) async fn collect(
        context: &Context,
        pipeline: &Pipeline,
        workspace: &Workspace,
        written: &ReplayReport,
        dataset: &str,
        begun: Instant,
    ) -> anyhow::Result<Self> {
        let store = pipeline.store()?;
        let store = store.as_ref();
        let node = context.config.node();
        let streams: Vec<StreamId> =
            workspace.log_files()?.iter().map(|path| rastro_shipper::stream_id(&node, path)).collect();
        let mut tally = Tally::default();
        for stream in &streams {
            tally += store.stream_tally(*stream).await?;
        }
        let mut indices = Vec::new();
        let mut counts = analyzer::StreamCounts::default();
        for summary in store.datasets().await?.iter().filter(|summary| summary.name == dataset) {
            for index in &summary.indices {
                let mut is_ours = false;
                for (stream, of_stream) in analyzer::live_counts(store, &index.name).await? {
                    if streams.contains(&stream) {
                        counts += of_stream;
                        is_ours = true;
                    }
                }
                if is_ours {
                    indices.push(index.name.clone());
                }
            }
        }
        let query = AlarmQuery {
            dataset: Some(dataset.to_owned()),
            job: Some(analyzer::LIVE.to_owned()),
            ..AlarmQuery::default()
        };
        let found: Vec<Alarm> = store
            .alarms(&query)
            .await?
            .into_iter()
            .filter(|alarm| streams.contains(&alarm.first.0.stream))
            .collect();
        let query = ScoreQuery {
            dataset: Some(dataset.to_owned()),
            job: Some(analyzer::LIVE.to_owned()),
            ..ScoreQuery::default()
        };
        let mut top = frames::top(store, &query, TOP * 8).await?;
        top.retain(|frame| streams.contains(&frame.segment.stream));
        top.truncate(TOP);
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Self {
            dataset: dataset.to_owned(),
            indices,
            tally,
            windows_scored: counts.windows,
            frames_scored: counts.frames,
            frames_learning: counts.learning_frames,
            alarms: found.len() as u64,
            containers: written.containers.clone(),
            resumed: workspace.resumed,
            seconds,
            calls_per_second: tally.calls_stored as f64 / seconds,
            top,
            found,
        })
    }

    pub(super) fn print(&self, context: &Context, json: bool) -> anyhow::Result<()> {
        if !context.quiet && self.tally.events_parsed == 0 && self.tally.dead_letters > 0 {
            eprintln!(
                "no line was an event: is the format the right one? `rastro dead-letters {}` has the reasons",
                self.dataset
            );
        }
        if json {
            return output::json(self);
        }
        let tally = &self.tally;
        let indices =
            if self.indices.is_empty() { "nothing to store".to_owned() } else { self.indices.join(", ") };
        output::line(format!("dataset   {} ({indices})", self.dataset))?;
        output::line(format!(
            "lines     {} read: {} events, {} dead letters{}",
            text::count(tally.lines_read),
            text::count(tally.events_parsed),
            text::count(tally.dead_letters),
            if tally.dead_letters > 0 {
                format!(" (`rastro dead-letters {}`)", self.dataset)
            } else {
                String::new()
            }
        ))?;
        output::line(format!(
            "calls     {} stored, {} lost; {} enter events folded, {} events are no calls",
            text::count(tally.calls_stored),
            text::count(tally.calls_lost),
            text::count(tally.events_folded),
            text::count(tally.events_not_calls)
        ))?;
        output::line(format!(
            "windows   {} scored in {} frames, {:.1} s in all ({} calls a second)",
            text::count(self.windows_scored),
            text::count(self.frames_scored),
            self.seconds,
            text::count(self.calls_per_second as u64)
        ))?;
        output::line(format!("alarms    {}", text::count(self.alarms)))?;
        frames::print(&self.top)?;
        for alarm in &self.found {
            output::line(format!("\nalarm {}\n  {}", alarm.id, text::printable(&alarm.message)))?;
        }
        if !context.quiet && self.frames_scored > 0 && self.frames_learning == self.frames_scored {
            eprintln!(
                "\nno profile yet, so nothing could alarm: the scores are figures of novelty. \
                 `rastro train {}` learns these calls as normal",
                self.dataset
            );
        }
        Ok(())
    }
}

/// Keeps what the recordings' companions say of them.
pub(super) async fn keep_labels(
    pipeline: &Pipeline,
    written: &ReplayReport,
    dataset: &str,
) -> anyhow::Result<()> {
    if written.labels.is_empty() {
        return Ok(());
    }
    let labels: Vec<Label> = written
        .labels
        .iter()
        .map(|label| Label {
            container: label.container.clone(),
            thread: label.thread,
            start_ns: label.from_ns,
            end_ns: None,
            label: label.kind.clone(),
        })
        .collect();
    pipeline.store()?.put_labels(dataset, &labels).await?;
    Ok(())
}

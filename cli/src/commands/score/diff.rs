//! `rastro score diff`: two scorings of the same indices side by side.
//!
//! A frame changes sides if one scoring alarms on it and the other does not, whatever its score. Frames are compared once as they are
//! shown to people (the highest score of all models stands for a frame) and once model by model.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

use anyhow::bail;
use rastro_model::{FrameScore, SegmentId};
use rastro_store::{ScoreQuery, Store, StoredScores};
use serde::Serialize;

use crate::{
    commands::{Context, analyzer_input::targets},
    output::{self, frames::TopFrame, text},
};

/// What to compare.
#[derive(Debug)]
pub(super) struct Compared<'a> {
    pub(super) before: &'a str,
    pub(super) after: &'a str,
    /// Datasets or indices; all, if empty.
    pub(super) datasets: &'a [String],
    /// Examples that are told.
    pub(super) top: usize,
    pub(super) json: bool,
}

/// One object for scripts.
#[derive(Debug, Default, Serialize)]
struct Difference {
    before: String,
    after: String,
    indices: Vec<String>,
    /// Frames that both scored.
    all: Counts,
    /// Frames that only one of them scored: other frame sizes, or workloads without a profile.
    frames_only_before: u64,
    frames_only_after: u64,
    by_container: BTreeMap<String, Counts>,
    /// By model, for models that both have.
    by_model: BTreeMap<String, Counts>,
    /// Models that only one of them has.
    models_only_before: BTreeSet<String>,
    models_only_after: BTreeSet<String>,
    /// Frames that changed sides, those with the greatest difference of scores first.
    examples: Vec<Example>,
}

/// How many frames alarm.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
struct Counts {
    frames: u64,
    alarming_before: u64,
    alarming_after: u64,
    /// Alarmed before and no longer.
    calmed: u64,
    /// Did not alarm before and does now.
    roused: u64,
}

/// A frame that changed sides.
#[derive(Debug, Clone, Serialize)]
struct Example {
    score_before: f64,
    score_after: f64,
    /// By the scoring that alarms.
    #[serde(flatten)]
    frame: TopFrame,
}

impl Counts {
    fn add(&mut self, before: bool, after: bool) {
        self.frames += 1;
        self.alarming_before += u64::from(before);
        self.alarming_after += u64::from(after);
        self.calmed += u64::from(before && !after);
        self.roused += u64::from(after && !before);
    }
}

pub(super) async fn diff(context: &Context, compared: &Compared<'_>) -> anyhow::Result<ExitCode> {
    if compared.before == compared.after {
        bail!("both scorings are `{}`: name two, as in `rastro score diff live offline`", compared.before);
    }
    let store = context.store_to_read().await?;
    let datasets = store.datasets().await?;
    let mut indices = Vec::new();
    if compared.datasets.is_empty() {
        indices.extend(datasets.iter().flat_map(|dataset| &dataset.indices).map(|index| index.name.clone()));
    }
    for name in compared.datasets {
        indices.extend(targets(&datasets, name)?.into_iter().map(|target| target.index.name));
    }
    let mut difference = Difference {
        before: compared.before.to_owned(),
        after: compared.after.to_owned(),
        ..Difference::default()
    };
    for index in indices {
        let before = scores(store.as_ref(), &index, compared.before).await?;
        let after = scores(store.as_ref(), &index, compared.after).await?;
        if before.is_empty() || after.is_empty() {
            continue;
        }
        difference.compare(&index, &before, &after, compared.top);
        difference.indices.push(index);
    }
    if difference.indices.is_empty() {
        bail!(
            "no index has scores of both `{}` and `{}`: `rastro score DATASET --name {}` makes some",
            compared.before,
            compared.after,
            compared.after
        );
    }
    if compared.json {
        output::json(&difference)?;
    } else {
        output::line(page(&difference))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn scores(store: &dyn Store, index: &str, job: &str) -> anyhow::Result<Vec<StoredScores>> {
    let query =
        ScoreQuery { index: Some(index.to_owned()), job: Some(job.to_owned()), ..ScoreQuery::default() };
    Ok(store.scores(&query).await?)
}

/// Where a frame is.
type Place = (SegmentId, u32);

/// A frame as one scoring has it.
#[derive(Clone, Copy)]
struct Scored<'s> {
    stored: &'s StoredScores,
    frame: &'s FrameScore,
}

/// The frames of a scoring: by place, the one with the highest score, and whether any model alarms; and by model.
#[derive(Default)]
struct Side<'s> {
    frames: BTreeMap<Place, (Scored<'s>, bool)>,
    by_model: BTreeMap<String, BTreeMap<Place, bool>>,
}

impl<'s> Side<'s> {
    fn of(scores: &'s [StoredScores]) -> Self {
        let mut side = Self::default();
        for stored in scores {
            let model = format!("{}:{}", stored.scores.detector, stored.scores.window);
            let of_model = side.by_model.entry(model).or_default();
            for frame in &stored.scores.frames {
                let place = (stored.scores.segment, frame.first_call);
                of_model.insert(place, frame.alarm);
                let scored = Scored { stored, frame };
                let known = side.frames.entry(place).or_insert((scored, frame.alarm));
                known.1 |= frame.alarm;
                if frame.score > known.0.frame.score {
                    known.0 = scored;
                }
            }
        }
        side
    }
}

impl Difference {
    fn compare(&mut self, index: &str, before: &[StoredScores], after: &[StoredScores], top: usize) {
        let (before, after) = (Side::of(before), Side::of(after));
        for (place, (earlier, alarmed)) in &before.frames {
            let Some((later, alarms)) = after.frames.get(place) else {
                self.frames_only_before += 1;
                continue;
            };
            self.all.add(*alarmed, *alarms);
            let container = &earlier.stored.container;
            let name = container.name.as_ref().unwrap_or(&container.id);
            self.by_container.entry(name.clone()).or_default().add(*alarmed, *alarms);
            if alarmed != alarms {
                let told = if *alarms { later } else { earlier };
                self.examples.push(Example {
                    score_before: earlier.frame.score,
                    score_after: later.frame.score,
                    frame: TopFrame::new(index, container, &told.stored.scores, told.frame),
                });
            }
        }
        self.frames_only_after +=
            after.frames.keys().filter(|place| !before.frames.contains_key(place)).count() as u64;
        for (model, frames) in &before.by_model {
            let Some(others) = after.by_model.get(model) else {
                self.models_only_before.insert(model.clone());
                continue;
            };
            let counts = self.by_model.entry(model.clone()).or_default();
            for (place, alarmed) in frames {
                if let Some(alarms) = others.get(place) {
                    counts.add(*alarmed, *alarms);
                }
            }
        }
        let only_after = after.by_model.into_keys().filter(|model| !before.by_model.contains_key(model));
        self.models_only_after.extend(only_after);
        let distance = |example: &Example| (example.score_after - example.score_before).abs();
        // Stable: among equals the order of the index holds.
        self.examples.sort_by(|a, b| distance(b).total_cmp(&distance(a)));
        self.examples.truncate(top);
    }
}

fn page(difference: &Difference) -> String {
    let Difference { before, after, all, .. } = difference;
    let mut lines = vec![format!(
        "{}: {} frames scored by both `{before}` and `{after}`: {} alarm in both, {} only in `{before}`, {} only in `{after}`",
        difference.indices.join(", "),
        text::count(all.frames),
        text::count(all.alarming_before - all.calmed),
        text::count(all.calmed),
        text::count(all.roused),
    )];
    for (name, frames) in [(before, difference.frames_only_before), (after, difference.frames_only_after)] {
        if frames > 0 {
            lines.push(format!("{} frames were scored by `{name}` alone", text::count(frames)));
        }
    }
    for (title, counts) in [("CONTAINER", &difference.by_container), ("MODEL", &difference.by_model)] {
        let mut table = output::table([title, "FRAMES", "ALARM BEFORE", "ALARM AFTER", "NO LONGER", "NEWLY"]);
        for (name, counts) in counts {
            table.add_row([
                text::printable(name),
                text::count(counts.frames),
                text::count(counts.alarming_before),
                text::count(counts.alarming_after),
                text::count(counts.calmed),
                text::count(counts.roused),
            ]);
        }
        if !counts.is_empty() {
            lines.extend([String::new(), table.to_string()]);
        }
    }
    for (name, models) in [(before, &difference.models_only_before), (after, &difference.models_only_after)] {
        if !models.is_empty() {
            let models: Vec<&str> = models.iter().map(String::as_str).collect();
            lines.push(format!("\nmodels of `{name}` alone: {}", models.join(", ")));
        }
    }
    if !difference.examples.is_empty() {
        let mut table = output::table(["CHANGED SIDES", "CONTAINER", "BEFORE", "AFTER", "BY", "WHY"]);
        for Example { score_before, score_after, frame } in &difference.examples {
            table.add_row([
                frame.time.get(..23).unwrap_or(&frame.time).replace('T', " "),
                text::printable(frame.container.name.as_deref().unwrap_or(&frame.container.id)),
                format!("{score_before:.1}"),
                format!("{score_after:.1}"),
                format!("{}:{}", frame.detector, frame.window),
                frame.why.clone(),
            ]);
        }
        lines.extend([String::new(), table.to_string()]);
    }
    lines.join("\n").lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use rastro_model::{Container, Position, ProfileRef, SegmentScores, StreamId};

    use super::*;

    /// Scores of one segment: for each frame its score, which alarms from 50 on.
    fn scored(job: &str, detector: &str, scores: &[f64]) -> StoredScores {
        let frame = |(place, &score): (usize, &f64)| FrameScore {
            first_call: place as u32 * 100,
            calls: 100,
            windows: 95,
            unseen: 3,
            raw: score / 10.0,
            score,
            alarm: score >= 50.0,
            lossy: false,
            learning: false,
            start_ns: 1_795_000_000_000_000_000 + place as i64 * 1_000_000_000,
            end_ns: 0,
            reasons: Vec::new(),
        };
        StoredScores {
            job: job.to_owned(),
            index: "shop-2026.11.21".to_owned(),
            node: "worker-1".to_owned(),
            container: Container {
                id: "0123456789ab".to_owned(),
                name: Some("shop\x1b".to_owned()),
                image: None,
            },
            scores: SegmentScores {
                segment: SegmentId { stream: StreamId(7), start: Position::START, part: 0 },
                detector: detector.to_owned(),
                window: 6,
                profile: ProfileRef { name: "shop".to_owned(), version: 1 },
                threshold: 50.0,
                frames: scores.iter().enumerate().map(frame).collect(),
            },
        }
    }

    fn difference() -> Difference {
        let before = [scored("live", "stide", &[10.0, 80.0, 60.0, 20.0]), scored("live", "bosc", &[0.0; 4])];
        let after = [
            scored("again", "stide", &[10.0, 90.0, 40.0, 20.0, 5.0]),
            scored("again", "pca", &[0.0, 0.0, 0.0, 99.0]),
        ];
        let mut difference = Difference {
            before: "live".to_owned(),
            after: "again".to_owned(),
            indices: vec!["shop-2026.11.21".to_owned()],
            ..Difference::default()
        };
        difference.compare("shop-2026.11.21", &before, &after, 5);
        difference
    }

    #[test]
    fn frames_that_change_sides_are_counted_by_container_and_by_model() {
        let difference = difference();
        let expected = Counts { frames: 4, alarming_before: 2, alarming_after: 2, calmed: 1, roused: 1 };
        assert_eq!(difference.all, expected);
        assert_eq!(difference.by_container["shop\x1b"], expected);
        let stide = Counts { frames: 4, alarming_before: 2, alarming_after: 1, calmed: 1, roused: 0 };
        assert_eq!(difference.by_model["stide:6"], stide);
        assert_eq!((difference.frames_only_before, difference.frames_only_after), (0, 1));
        assert!(difference.models_only_before.contains("bosc:6"));
        assert!(difference.models_only_after.contains("pca:6"));
        let scores: Vec<_> = difference
            .examples
            .iter()
            .map(|example| (example.score_before, example.score_after, example.frame.detector.as_str()))
            .collect();
        assert_eq!(scores, [(20.0, 99.0, "pca"), (60.0, 40.0, "stide")]);
    }

    #[test]
    fn a_page_shows_both_sides() {
        insta::assert_snapshot!(page(&difference()));
    }
}

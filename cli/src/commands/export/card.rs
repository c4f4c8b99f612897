//! The data card: what a shared dataset is, where it comes from, what was lost on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rastro_model::{Category, Container, Segment, Tally};
use rastro_store::{DatasetSummary, Label};
use serde::Serialize;

use super::{
    column::{COLUMNS, Rows},
    folder::FileFacts,
};
use crate::output::text;

/// Names of calls that are counted one by one; a container that makes names up cannot make the card grow without end.
const MAX_NAMES: usize = 4096;

/// A data card. `datacard.json` is this, `datacard.md` tells it to people.
#[derive(Debug, Serialize)]
pub(super) struct DataCard {
    pub(super) dataset: String,
    pub(super) exported: String,
    pub(super) tool: String,
    pub(super) form: &'static str,
    pub(super) rows: u64,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) indices: Vec<IndexCard>,
    pub(super) nodes: BTreeSet<String>,
    pub(super) architectures: BTreeSet<String>,
    pub(super) containers: Vec<Container>,
    pub(super) tally: Tally,
    pub(super) conservation: Conservation,
    pub(super) lost: Lost,
    /// Rows by label; labels that someone gave and that no row has are listed with 0.
    pub(super) labels: BTreeMap<String, u64>,
    pub(super) unlabelled_rows: u64,
    pub(super) systemcalls: Vec<Count>,
    pub(super) categories: Vec<CategoryCount>,
    pub(super) columns: Vec<ColumnCard>,
    pub(super) notes: Vec<String>,
}

/// An index with its file.
#[derive(Debug, Serialize)]
pub(super) struct IndexCard {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) file: FileFacts,
    pub(super) rows: u64,
    pub(super) segments: u64,
    pub(super) from: String,
    pub(super) to: String,
}

/// Whether every line is accounted for.
#[derive(Debug, Serialize)]
pub(super) struct Conservation {
    /// `lines_read = events_parsed + dead_letters`.
    pub(super) lines_are_accounted_for: bool,
    /// `events_parsed = calls_stored + events_folded + events_not_calls + calls_lost`.
    pub(super) events_are_accounted_for: bool,
    /// Calls that had begun and not returned: they are stored, and in no row.
    pub(super) calls_without_a_row: u64,
}

/// What is missing.
#[derive(Debug, Default, Serialize)]
pub(super) struct Lost {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Segments in front of which something was lost, by reason.
    pub(super) gaps: BTreeMap<String, u64>,
}

/// How often a call occurs.
#[derive(Debug, Serialize)]
pub(super) struct Count {
    pub(super) name: String,
    pub(super) rows: u64,
}

/// A category with its number and its rows.
#[derive(Debug, Serialize)]
pub(super) struct CategoryCount {
    pub(super) number: u8,
    pub(super) name: &'static str,
    pub(super) rows: u64,
}

/// A column.
#[derive(Debug, Serialize)]
pub(super) struct ColumnCard {
    pub(super) name: &'static str,
    pub(super) form: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) unit: &'static str,
    pub(super) meaning: &'static str,
}

/// Counts what passes by.
#[derive(Debug, Default)]
pub(super) struct Counts {
    indices: Vec<IndexCard>,
    index: IndexCounts,
    rows: u64,
    span: Option<(i64, i64)>,
    nodes: BTreeSet<String>,
    architectures: BTreeSet<String>,
    gaps: BTreeMap<String, u64>,
    labels: BTreeMap<String, u64>,
    unlabelled: u64,
    names: HashMap<String, u64>,
    categories: [u64; Category::ALL.len()],
}

#[derive(Debug, Default)]
struct IndexCounts {
    rows: u64,
    segments: u64,
    span: Option<(i64, i64)>,
}

impl Counts {
    /// Counts a segment of the index under way.
    pub(super) fn add(&mut self, segment: &Segment, labels: &[Label]) {
        let calls = &segment.calls;
        let rows = Rows::new(segment, labels);
        self.rows += rows.len() as u64;
        self.index.rows += rows.len() as u64;
        self.index.segments += 1;
        let known = calls.time_ns.iter().filter(|&&time_ns| time_ns != 0);
        let span = known.clone().min().zip(known.max()).map(|(&from, &to)| (from, to));
        self.span = joined(self.span, span);
        self.index.span = joined(self.index.span, span);
        if !self.nodes.contains(&segment.node) {
            self.nodes.insert(segment.node.clone());
        }
        if !self.architectures.contains(&segment.architecture) {
            self.architectures.insert(segment.architecture.clone());
        }
        if let Some(gap) = &segment.gap {
            *self.gaps.entry(gap_reason(gap.reason)).or_default() += 1;
        }
        let mut by_kind = vec![0; calls.kinds.len()];
        for &kind in &calls.kind {
            by_kind[usize::from(kind)] += 1;
        }
        for (kind, count) in calls.kinds.iter().zip(by_kind) {
            self.categories[usize::from(kind.category.number())] += count;
            self.count_name(&kind.name, count);
        }
        if labels.is_empty() {
            self.unlabelled += rows.len() as u64;
            return;
        }
        for call in 0..rows.len() {
            match rows.label(call) {
                Some(label) => match self.labels.get_mut(label) {
                    Some(count) => *count += 1,
                    None => {
                        self.labels.insert(label.to_owned(), 1);
                    }
                },
                None => self.unlabelled += 1,
            }
        }
    }

    fn count_name(&mut self, name: &str, count: u64) {
        if let Some(known) = self.names.get_mut(name) {
            *known += count;
        } else if self.names.len() < MAX_NAMES {
            self.names.insert(name.to_owned(), count);
        } else {
            *self.names.entry("(others)".to_owned()).or_default() += count;
        }
    }

    /// The index under way is complete.
    pub(super) fn finish_index(&mut self, name: &str, file: FileFacts) {
        let index = std::mem::take(&mut self.index);
        let (from, to) = span_text(index.span);
        let name = name.to_owned();
        self.indices.push(IndexCard { name, file, rows: index.rows, segments: index.segments, from, to });
    }

    /// The card of what was counted.
    pub(super) fn into_card(
        self,
        summary: &DatasetSummary,
        labels: &[Label],
        form: &'static str,
        exported: String,
        notes: Vec<String>,
    ) -> DataCard {
        let tally = summary.tally;
        let (from, to) = span_text(self.span);
        let mut containers: Vec<_> =
            summary.indices.iter().flat_map(|index| &index.containers).cloned().collect();
        containers.sort_by(|a, b| (&a.id, &a.name, &a.image).cmp(&(&b.id, &b.name, &b.image)));
        containers.dedup();
        let mut rows_by_label = self.labels;
        for label in labels {
            rows_by_label.entry(label.label.clone()).or_default();
        }
        let mut systemcalls: Vec<_> =
            self.names.into_iter().map(|(name, rows)| Count { name, rows }).collect();
        systemcalls.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.name.cmp(&b.name)));
        let categories = Category::ALL.iter().zip(self.categories);
        DataCard {
            dataset: summary.name.clone(),
            exported,
            tool: format!("rastro {}", env!("CARGO_PKG_VERSION")),
            form,
            rows: self.rows,
            from,
            to,
            indices: self.indices,
            nodes: self.nodes,
            architectures: self.architectures,
            containers,
            tally,
            conservation: Conservation {
                lines_are_accounted_for: tally.lines_read == tally.events_parsed + tally.dead_letters,
                events_are_accounted_for: tally.is_closed(),
                calls_without_a_row: tally.calls_stored.saturating_sub(self.rows),
            },
            lost: Lost { bytes: summary.lost_bytes, lines: summary.lost_lines, gaps: self.gaps },
            labels: rows_by_label,
            unlabelled_rows: self.unlabelled,
            systemcalls,
            categories: categories
                .map(|(category, rows)| CategoryCount {
                    number: category.number(),
                    name: category.name(),
                    rows,
                })
                .collect(),
            columns: COLUMNS
                .iter()
                .map(|column| ColumnCard {
                    name: column.name,
                    form: column.form.name(),
                    unit: column.unit,
                    meaning: column.meaning,
                })
                .collect(),
            notes,
        }
    }
}

fn joined(span: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (span, other) {
        (Some((from, to)), Some((other_from, other_to))) => Some((from.min(other_from), to.max(other_to))),
        (one, other) => one.or(other),
    }
}

fn span_text(span: Option<(i64, i64)>) -> (String, String) {
    span.map(|(from, to)| (text::rfc3339(from), text::rfc3339(to))).unwrap_or_default()
}

fn gap_reason(reason: rastro_model::GapReason) -> String {
    let name = serde_json::to_value(reason).ok().and_then(|name| name.as_str().map(str::to_owned));
    name.unwrap_or_else(|| format!("{reason:?}"))
}

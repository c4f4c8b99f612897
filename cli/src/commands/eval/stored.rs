//! Labelled datasets of the store, as recordings and as traces.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::bail;
use rastro_analyzer::evaluation::{Part, TraceSets};
use rastro_store::{Columns, DatasetSummary, Label, Store};

use super::layout::Unit;

/// The label of what is no attack.
const NORMAL: &str = "normal";

/// Calls that are read at once.
const PAGE_CALLS: usize = 400_000;

/// A dataset and what it is for; `None` for one that is to be parted by its labels.
pub(super) struct StoredDataset {
    summary: DatasetSummary,
    part: Option<Part>,
    labels: Vec<Label>,
}

/// A container as a recording.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredContainer {
    pub(super) id: String,
    /// The indices that hold calls of it, in order.
    pub(super) indices: Vec<String>,
    pub(super) part: Part,
    pub(super) kind: Option<String>,
    pub(super) since_ns: Option<i64>,
}

impl StoredDataset {
    /// The dataset of that name with its labels.
    pub(super) async fn open(store: &dyn Store, name: &str, part: Option<Part>) -> anyhow::Result<Self> {
        let Some(summary) = store.datasets().await?.into_iter().find(|summary| summary.name == name) else {
            bail!(
                "`{name}` is no file, no folder and no dataset of the store; `rastro datasets` lists what there is"
            );
        };
        let labels = store.labels(name).await?.into_iter().filter(|label| label.label != NORMAL).collect();
        let dataset = Self { summary, part, labels };
        if dataset.part.is_none() && dataset.labels.is_empty() {
            bail!(
                "dataset `{name}` has no labels, so nothing says what in it is an attack: replay recordings that have labels, or say what it is \
                 with --train, --normal or --attack"
            );
        }
        Ok(dataset)
    }

    /// What is judged as a whole where nothing else is said: threads, if labels name them.
    pub(super) fn unit(&self) -> Unit {
        let names_threads = self.labels.iter().any(|label| label.thread.is_some());
        if names_threads { Unit::Trace } else { Unit::Recording }
    }

    pub(super) fn name(&self) -> &str {
        &self.summary.name
    }

    /// The containers as recordings.
    pub(super) fn containers(&self) -> Vec<StoredContainer> {
        let mut indices: BTreeMap<&str, (i64, Vec<String>)> = BTreeMap::new();
        for index in &self.summary.indices {
            for container in &index.containers {
                let known = indices.entry(&container.id).or_insert((index.start_ns, Vec::new()));
                if !known.1.contains(&index.name) {
                    known.1.push(index.name.clone());
                }
            }
        }
        let mut containers: Vec<_> = indices.into_iter().collect();
        // What came first is learned, what came later is judged.
        containers.sort_by_key(|(id, (start_ns, _))| (*start_ns, *id));
        let is_attack = |id: &str| self.labels.iter().any(|label| label.container == id);
        let normals = containers.iter().filter(|(id, _)| !is_attack(id)).count();
        let mut normal = 0;
        containers
            .into_iter()
            .filter_map(|(id, (_, indices))| {
                let of_container = || self.labels.iter().filter(|label| label.container == id);
                let labelled = is_attack(id);
                let place = normal;
                normal += usize::from(!labelled);
                let part = self.part_of(labelled, place, normals)?;
                let first =
                    of_container().min_by_key(|label| label.start_ns).filter(|_| part == Part::Attack);
                Some(StoredContainer {
                    id: id.to_owned(),
                    indices,
                    part,
                    kind: first.map(|label| label.label.clone()),
                    since_ns: first.and_then(|label| label.start_ns),
                })
            })
            .collect()
    }

    /// What a unit is for: with labels it is an attack; of `normals` units without, number `place` is learned if it is of the first half.
    /// `None` leaves it out: an attack is never learned, and never counts as normal.
    fn part_of(&self, labelled: bool, place: usize, normals: usize) -> Option<Part> {
        match (self.part, labelled) {
            (Some(Part::Attack) | None, true) => Some(Part::Attack),
            // A dataset of attacks without any label is one as a whole.
            (Some(Part::Attack), false) if self.labels.is_empty() => Some(Part::Attack),
            (Some(Part::Attack), false) => Some(Part::Normal),
            (Some(_), true) => None,
            (Some(part), false) => Some(part),
            (None, false) => Some(if place < normals.div_ceil(2) { Part::Train } else { Part::Normal }),
        }
    }

    /// Adds the calls of each thread of each container as a trace.
    pub(super) async fn add_traces(&self, store: &dyn Store, sets: &mut TraceSets) -> anyhow::Result<()> {
        let mut names: Vec<String> = Vec::new();
        let mut places: HashMap<String, u32> = HashMap::new();
        let mut traces: Vec<(Vec<u32>, Option<&str>)> = Vec::new();
        let mut by_thread: HashMap<(String, Option<i64>), usize> = HashMap::new();
        for index in &self.summary.indices {
            let mut after = 0;
            loop {
                let page = store.segments(&index.name, after, PAGE_CALLS, Columns::Sequence).await?;
                let Some(last) = page.last() else { break };
                after = last.place;
                for stored in &page {
                    let (calls, container) = (&stored.segment.calls, &stored.segment.container.id);
                    let symbols: Vec<u32> = calls
                        .kinds
                        .iter()
                        .map(|kind| {
                            *places.entry(kind.name.clone()).or_insert_with(|| {
                                names.push(kind.name.clone());
                                names.len() as u32 - 1
                            })
                        })
                        .collect();
                    let of_threads: Vec<usize> = calls
                        .threads
                        .iter()
                        .map(|thread| {
                            *by_thread.entry((container.clone(), thread.id)).or_insert_with(|| {
                                traces.push((Vec::new(), None));
                                traces.len() - 1
                            })
                        })
                        .collect();
                    let labels: Vec<&Label> =
                        self.labels.iter().filter(|label| label.container == *container).collect();
                    for (call, (&kind, &thread)) in calls.kind.iter().zip(&calls.thread).enumerate() {
                        let id = calls.threads[thread as usize].id;
                        let trace = &mut traces[of_threads[thread as usize]];
                        trace.0.push(symbols[usize::from(kind)]);
                        if trace.1.is_none() {
                            trace.1 = labels
                                .iter()
                                .find(|label| holds(label, id, calls.time_ns[call]))
                                .map(|label| label.label.as_str());
                        }
                    }
                }
            }
        }
        let labelled: BTreeSet<usize> =
            (0..traces.len()).filter(|&place| traces[place].1.is_some()).collect();
        let normals = traces.len() - labelled.len();
        let mut normal = 0;
        for (calls, kind) in traces {
            let place = normal;
            normal += usize::from(kind.is_none());
            let Some(part) = self.part_of(kind.is_some(), place, normals) else { continue };
            sets.add(part, calls.iter().map(|&call| names[call as usize].as_str()), kind);
        }
        Ok(())
    }
}

/// Whether a label is about a call of this thread at this time; its container is the right one.
fn holds(label: &Label, thread: Option<i64>, time_ns: i64) -> bool {
    label.thread.is_none_or(|labelled| thread == Some(labelled))
        && label.start_ns.is_none_or(|start_ns| time_ns >= start_ns)
        && label.end_ns.is_none_or(|end_ns| time_ns < end_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(part: Option<Part>, labels: Vec<Label>) -> StoredDataset {
        let summary = serde_json::json!({
            "name": "shop", "indices": [], "tally": rastro_model::Tally::default(), "lost_bytes": 0, "lost_lines": 0,
        });
        StoredDataset { summary: serde_json::from_value(summary).unwrap(), part, labels }
    }

    fn label(thread: Option<i64>) -> Label {
        Label {
            container: "a".to_owned(),
            thread,
            start_ns: Some(5),
            end_ns: Some(9),
            label: "shell".to_owned(),
        }
    }

    #[test]
    fn an_attack_is_never_learned_and_the_first_half_of_the_rest_is() {
        let whole = dataset(None, vec![label(None)]);
        assert_eq!(whole.part_of(true, 0, 4), Some(Part::Attack));
        let parts: Vec<_> = (0..5).map(|place| whole.part_of(false, place, 5).unwrap()).collect();
        assert_eq!(parts, [Part::Train, Part::Train, Part::Train, Part::Normal, Part::Normal]);
        assert_eq!(dataset(Some(Part::Train), vec![label(None)]).part_of(true, 0, 1), None);
        assert_eq!(dataset(Some(Part::Attack), vec![label(None)]).part_of(false, 0, 1), Some(Part::Normal));
        assert_eq!(dataset(Some(Part::Attack), Vec::new()).part_of(false, 0, 1), Some(Part::Attack));
    }

    #[test]
    fn labels_of_threads_make_threads_the_unit() {
        assert_eq!(dataset(None, vec![label(Some(1))]).unit(), Unit::Trace);
        assert_eq!(dataset(None, vec![label(None)]).unit(), Unit::Recording);
        assert!(holds(&label(None), Some(3), 5) && !holds(&label(None), Some(3), 9));
        assert!(!holds(&label(Some(1)), Some(3), 5) && holds(&label(Some(1)), Some(1), 8));
    }
}

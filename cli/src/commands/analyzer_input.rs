//! Stored segments as input of training and scoring: which indices are meant, and their pages read ahead.

use std::sync::Arc;

use anyhow::bail;
use rastro_analyzer::{ModelSpec, behaviour::reads_all_columns};
use rastro_model::{Container, Segment};
use rastro_store::{Columns, DatasetSummary, IndexSummary, Store, StoredSegment};
use tokio::sync::mpsc;

/// Calls of a page.
const PAGE_CALLS: usize = 400_000;

/// Pages read ahead.
const PAGES_AHEAD: usize = 2;

/// An index with the dataset that it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Name of the dataset.
    pub(super) dataset: String,
    /// The index.
    pub(super) index: IndexSummary,
}

/// The indices that a name means: those of a dataset, or one index.
pub(super) fn targets(datasets: &[DatasetSummary], name: &str) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for dataset in datasets {
        for index in &dataset.indices {
            if dataset.name == name || index.name == name {
                targets.push(Target { dataset: dataset.name.clone(), index: index.clone() });
            }
        }
    }
    if targets.is_empty() {
        bail!("no dataset or index `{name}`; `rastro datasets` lists what there is");
    }
    Ok(targets)
}

/// What these models read of a segment.
pub(super) fn columns_of(models: &[ModelSpec]) -> Columns {
    if models.iter().any(reads_all_columns) { Columns::All } else { Columns::Sequence }
}

/// The segments of an index, a page at a time, read ahead while the last page is worked on.
pub(super) fn pages(
    store: &Arc<dyn Store>,
    index: &str,
    columns: Columns,
) -> mpsc::Receiver<anyhow::Result<Vec<StoredSegment>>> {
    let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
    let (store, index) = (Arc::clone(store), index.to_owned());
    tokio::spawn(async move {
        let mut after = 0;
        loop {
            let page = store.segments(&index, after, PAGE_CALLS, columns).await;
            let is_last = match &page {
                Ok(page) => match page.last() {
                    Some(last) => {
                        after = last.place;
                        false
                    }
                    None => return,
                },
                Err(_) => true,
            };
            if sender.send(page.map_err(Into::into)).await.is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// Whether `wanted` (an id or a name) is this container; no wish means any.
pub(super) fn is_wanted(container: &Container, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| container.id == wanted || container.name.as_deref() == Some(wanted))
}

/// Whether a segment lies inside a time span, nanoseconds since the epoch, the end excluded.
pub(super) fn is_within(segment: &Segment, from_ns: Option<i64>, to_ns: Option<i64>) -> bool {
    let times = &segment.calls.time_ns;
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return true };
    from_ns.is_none_or(|from| first >= from) && to_ns.is_none_or(|to| last < to)
}

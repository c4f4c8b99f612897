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

/// The calls of a segment inside a time span, nanoseconds since the epoch, the end excluded; `None` if there are none.
pub(super) fn within(mut segment: Segment, from_ns: Option<i64>, to_ns: Option<i64>) -> Option<Segment> {
    let is_inside = |time: i64| from_ns.is_none_or(|from| time >= from) && to_ns.is_none_or(|to| time < to);
    if segment.calls.time_ns.iter().all(|&time| is_inside(time)) {
        return Some(segment);
    }
    let kept: Vec<bool> = segment.calls.time_ns.iter().map(|&time| is_inside(time)).collect();
    if !kept.contains(&true) {
        return None;
    }
    let calls = &mut segment.calls;
    retain(&mut calls.kind, &kept);
    retain(&mut calls.thread, &kept);
    retain(&mut calls.number, &kept);
    retain(&mut calls.time_ns, &kept);
    retain(&mut calls.latency_ns, &kept);
    retain(&mut calls.result, &kept);
    retain(&mut calls.argc, &kept);
    retain(&mut calls.args_length, &kept);
    retain(&mut calls.flags, &kept);
    segment.unfinished.retain(|call| is_inside(call.time_ns));
    // How many calls before each one stay: its place then.
    let places: Vec<u32> = kept
        .iter()
        .scan(0, |next, &is_kept| {
            let place = *next;
            *next += u32::from(is_kept);
            Some(place)
        })
        .collect();
    segment.details.retain_mut(|detail| {
        let call = detail.call as usize;
        let is_kept = kept.get(call).copied().unwrap_or(false);
        if is_kept {
            detail.call = places[call];
        }
        is_kept
    });
    Some(segment)
}

/// Keeps the places of a column that `kept` names. A column that was not read has none.
fn retain<T>(column: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    column.retain(|_| kept.next().is_some_and(|&kept| kept));
}

#[cfg(test)]
mod tests {
    use rastro_model::{
        CallKind, Calls, Category, Detail, Position, SegmentId, StreamId, Tally, Thread, Unfinished,
    };

    use super::*;

    #[test]
    fn a_span_takes_the_calls_inside_it_out_of_the_middle_of_a_segment() {
        let kind = |name: &str| CallKind { name: name.to_owned(), category: Category::File };
        let unfinished = |time_ns| Unfinished { name: "futex".to_owned(), thread: None, time_ns };
        let detail = |call: u32| Detail { call, arguments: call.to_string() };
        let segment = Segment {
            id: SegmentId { stream: StreamId(1), start: Position::START, part: 0 },
            dataset: "web".to_owned(),
            index: "web-1".to_owned(),
            node: "n".to_owned(),
            architecture: "x86_64".to_owned(),
            container: Container::default(),
            end: Position::new(0, 1),
            gap: None,
            read_ns: 0,
            tally: Tally::default(),
            calls: Calls {
                kinds: vec![kind("read"), kind("write")],
                threads: vec![Thread { id: None, process: None, process_name: None }],
                kind: vec![0, 1, 0, 1],
                thread: vec![0; 4],
                time_ns: vec![10, 20, 30, 40],
                // As it comes from a page of sequences: what was not asked for is not there.
                ..Calls::default()
            },
            unfinished: vec![unfinished(15), unfinished(25)],
            details: vec![detail(0), detail(2), detail(3)],
        };
        let middle = within(segment.clone(), Some(20), Some(40)).unwrap();
        assert_eq!((middle.calls.kind, middle.calls.time_ns), (vec![1, 0], vec![20, 30]));
        assert_eq!(middle.details, [Detail { call: 1, arguments: "2".to_owned() }]);
        assert_eq!(middle.unfinished, [unfinished(25)]);
        assert_eq!(middle.calls.flags.len(), 0);
        assert_eq!(within(segment.clone(), None, None).as_ref(), Some(&segment));
        assert_eq!(within(segment.clone(), Some(41), None), None);
        assert_eq!(within(segment, None, Some(10)), None);
    }
}

//! Which index the segments of a chunk go to.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    Inner,
    bulk::{Action, Item, Outcome},
    documents::source,
    schema::Own,
    write::Accepted,
};
use crate::{Roll, StoreError, roll::numbered_index};

/// Where a dataset has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Current {
    /// Number of the index that is filled now.
    number: u64,
    /// Calls that it was given.
    documents: u64,
}

/// Where the calls of a segment belong.
#[derive(Debug, Serialize, Deserialize)]
struct Assignment {
    dataset: String,
    index: String,
}

impl Current {
    const FIRST: Self = Self { number: 1, documents: 0 };

    fn add(&mut self, calls: u64, limit: u64) {
        self.documents += calls;
        if self.documents >= limit {
            *self = Self { number: self.number + 1, documents: 0 };
        }
    }
}

impl Inner {
    /// Chooses the index of every segment. Where indices are counted, the choice is written down before anything else, so that a repeat
    /// goes to the same index whatever has been written since.
    pub(super) async fn choose_indices(&self, accepted: &mut [Accepted<'_>]) -> Result<(), StoreError> {
        let Roll::Documents(limit) = self.config.roll else {
            for chunk in accepted {
                chunk.indices =
                    chunk.chunk.output.segments.iter().map(|segment| segment.index.clone()).collect();
            }
            return Ok(());
        };
        let mut items = Vec::new();
        let mut calls: Vec<(String, u64)> = Vec::new();
        let mut chosen: HashMap<String, String> = HashMap::new();
        let mut counters: BTreeMap<String, Current> = BTreeMap::new();
        for segment in accepted.iter().flat_map(|chunk| &chunk.chunk.output.segments) {
            let dataset = &segment.dataset;
            if segment.index != *dataset {
                // Named by time, it stays where it is.
                continue;
            }
            if !counters.contains_key(dataset) {
                let found =
                    self.client.get::<Current>(&self.own(Own::Assignments), &count_id(dataset)).await?;
                counters.insert(dataset.clone(), found.map_or(Current::FIRST, |hit| hit.source));
            }
            let Some(current) = counters.get_mut(dataset) else { continue };
            let index = numbered_index(dataset, current.number);
            current.add(segment.calls.len() as u64, limit);
            let id = segment.id.to_string();
            chosen.insert(id.clone(), index.clone());
            calls.push((dataset.clone(), segment.calls.len() as u64));
            items.push(Item {
                index: self.own(Own::Assignments),
                id,
                action: Action::Create,
                source: source(&Assignment { dataset: dataset.clone(), index }, "assignment", dataset)?,
            });
        }
        let outcomes = self.client.bulk(&items, self.config.bulk_bytes).await?;
        let mut repeated = Vec::new();
        let mut counted: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for ((item, outcome), (dataset, calls)) in items.into_iter().zip(&outcomes).zip(calls) {
            if *outcome == Outcome::Conflict {
                repeated.push(item.id);
            } else {
                counted.entry(dataset).or_default().push(calls);
            }
        }
        for hit in self.client.get_many::<Assignment>(&self.own(Own::Assignments), &repeated, "").await? {
            chosen.insert(hit.id, hit.source.index);
        }
        for (dataset, calls) in counted {
            self.count(&dataset, &calls, limit).await?;
        }
        for chunk in accepted {
            let segments = &chunk.chunk.output.segments;
            chunk.indices = segments
                .iter()
                .map(|segment| chosen.get(&segment.id.to_string()).unwrap_or(&segment.index).clone())
                .collect();
        }
        Ok(())
    }

    /// Adds the calls of segments to a dataset's count.
    async fn count(&self, dataset: &str, calls: &[u64], limit: u64) -> Result<(), StoreError> {
        let (index, id) = (self.own(Own::Assignments), count_id(dataset));
        loop {
            let found = self.client.get::<Current>(&index, &id).await?;
            let mut current = found.as_ref().map_or(Current::FIRST, |hit| hit.source.clone());
            for &calls in calls {
                current.add(calls, limit);
            }
            let item = Item {
                index: index.clone(),
                id: id.clone(),
                action: found
                    .map_or(Action::Create, |hit| Action::Replace { sequence: hit.sequence, term: hit.term }),
                source: source(&current, "count of dataset", dataset)?,
            };
            if let [Outcome::Written { .. }] = self.client.bulk(&[item], usize::MAX).await?.as_slice() {
                return Ok(());
            }
        }
    }
}

/// Id of the document that counts a dataset; no segment's id has a blank.
fn count_id(dataset: &str) -> String {
    format!("dataset {dataset}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_full_is_followed_by_the_next() {
        let mut current = Current::FIRST;
        for (calls, number) in [(40, 1), (59, 1), (1, 2), (250, 3), (99, 3), (2, 4)] {
            current.add(calls, 100);
            assert_eq!(current.number, number, "{current:?}");
        }
    }
}

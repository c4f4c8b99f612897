//! The removal of what has been kept for long enough: whole indices, and dead letters day by day.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Inner,
    schema::{Kind, Own},
};
use crate::{
    Retention, RetentionReport, StoreError,
    retention::{Held, HeldWhat},
};

const NS_PER_MS: i64 = 1_000_000;

impl Inner {
    pub(super) async fn retain(&self, policy: &Retention) -> Result<RetentionReport, StoreError> {
        let mut report = RetentionReport::default();
        if policy.keeps_everything() {
            return Ok(report);
        }
        let indices = self.held_indices().await?;
        let sizes = self.sizes().await?;
        let ends = self.index_summaries().await?;
        let mut candidates: BTreeMap<&str, Held> = BTreeMap::new();
        for (name, of) in &indices {
            if let (Kind::Segments, Some(summary)) = (of.kind, ends.get(name)) {
                let what = HeldWhat::Index { dataset: of.dataset.clone(), name: name.clone() };
                candidates.insert(name, Held { what, end_ns: summary.end_ns, bytes: 0 });
            }
        }
        for (name, of) in &indices {
            if let Some(candidate) = candidates.get_mut(of.dataset_index.as_str()) {
                candidate.bytes = candidate.bytes.saturating_add(sizes.get(name).copied().unwrap_or(0));
            }
        }
        let letters_bytes = sizes.get(&self.own(Own::DeadLetters)).copied().unwrap_or(0);
        let mut candidates: Vec<Held> = candidates.into_values().collect();
        candidates.extend(self.held_dead_letters(letters_bytes).await?);
        let now_ns = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        for one in policy.choose(candidates, now_ns) {
            match one.what {
                HeldWhat::Index { name, .. } => {
                    let names: Vec<String> = indices
                        .iter()
                        .filter(|(_, held)| held.dataset_index == name)
                        .map(|(name, _)| name.clone())
                        .collect();
                    self.delete_indices(&names).await?;
                    self.delete_what_hangs_on(&BTreeSet::from([name.clone()])).await?;
                    report.index_gone(name, one.bytes);
                }
                HeldWhat::DeadLetters { start_ns } => {
                    let removed = self.remove_dead_letters(start_ns, one.end_ns).await?;
                    report.dead_letters_gone(removed, one.bytes);
                }
            }
        }
        Ok(report)
    }

    /// Dead letters by the day on which they were stored. Each is taken to be as large as any other.
    async fn held_dead_letters(&self, all_bytes: u64) -> Result<Vec<Held>, StoreError> {
        let index = self.own(Own::DeadLetters);
        self.client.refresh(&index).await?;
        let everything = json!({ "match_all": {} });
        let aggregation = json!({ "days": {
            "date_histogram": { "field": "event.ingested", "fixed_interval": "1d", "min_doc_count": 1 },
            "aggs": { "last": { "max": { "field": "event.ingested" } } },
        } });
        let answer = self.client.aggregate(&index, &everything, aggregation).await?;
        Ok(days(&answer["days"], all_bytes))
    }

    /// Removes the dead letters that were stored in a time; returns how many.
    async fn remove_dead_letters(&self, start_ns: i64, end_ns: i64) -> Result<u64, StoreError> {
        let stored = json!({ "range": { "event.ingested": {
            "gte": start_ns / NS_PER_MS, "lte": end_ns / NS_PER_MS, "format": "epoch_millis",
        } } });
        self.delete_found(&self.own(Own::DeadLetters), &stored).await
    }
}

/// What a histogram over days tells.
fn days(histogram: &Value, all_bytes: u64) -> Vec<Held> {
    let buckets: Vec<(i64, i64, u64)> = histogram["buckets"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|bucket| {
            let start_ms = bucket["key"].as_i64()?;
            // A whole number of milliseconds, as a floating-point number.
            let last_ms = bucket["last"]["value"].as_f64()? as i64;
            Some((start_ms, last_ms, bucket["doc_count"].as_u64()?))
        })
        .collect();
    let all: u64 = buckets.iter().map(|(.., count)| count).sum();
    buckets
        .into_iter()
        .map(|(start_ms, last_ms, count)| Held {
            what: HeldWhat::DeadLetters { start_ns: start_ms.saturating_mul(NS_PER_MS) },
            end_ns: last_ms.saturating_add(1).saturating_mul(NS_PER_MS) - 1,
            bytes: (u128::from(all_bytes) * u128::from(count) / u128::from(all.max(1))) as u64,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_of_dead_letters_takes_its_share_of_their_index() {
        let histogram = json!({ "buckets": [
            { "key": 86_400_000, "doc_count": 3, "last": { "value": 86_400_007.0 } },
            { "key": 172_800_000, "doc_count": 1, "last": { "value": 172_800_001.0 } },
        ] });
        let day = |start_ms: i64, last_ms: i64, bytes| Held {
            what: HeldWhat::DeadLetters { start_ns: start_ms * NS_PER_MS },
            end_ns: last_ms * NS_PER_MS + 999_999,
            bytes,
        };
        assert_eq!(
            days(&histogram, 1_000),
            [day(86_400_000, 86_400_007, 750), day(172_800_000, 172_800_001, 250)]
        );
        assert_eq!(days(&Value::Null, 1_000), []);
    }
}

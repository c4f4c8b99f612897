//! Datasets and their indices: what there is, how much of it, and its removal.
//!
//! Which dataset an index belongs to stands in its mapping (`_meta`). What became of lines is the sum over the ledgers of the streams.

use std::collections::{BTreeMap, BTreeSet};

use elasticsearch::http::Method;
use rastro_model::{Container, Position, StreamId, Tally};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Inner,
    bulk::{Action, Item, Outcome},
    client::{Body, encode},
    documents::{DatasetTally, StreamDocument},
    schema::{self, Kind, Own},
};
use crate::{DatasetSummary, IndexSummary, StoreError};

/// Most indices, and containers of a page, that one aggregation tells of.
const MAX_BUCKETS: usize = 10_000;

/// Names in one request: they stand in its address, which may be 4 KiB long.
const NAMES_AT_ONCE: usize = 12;

/// How often a ledger is tried again because its stream is being written.
const MAX_CONFLICTS: usize = 16;

/// An index of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) dataset: String,
    pub(super) kind: Kind,
    /// The dataset index that it is or belongs to.
    pub(super) dataset_index: String,
}

impl Inner {
    /// Every index of a dataset, of all kinds, by name.
    pub(super) async fn held_indices(&self) -> Result<BTreeMap<String, Held>, StoreError> {
        let mut held = BTreeMap::new();
        for kind in Kind::ALL {
            let path = format!("/{}/_mapping", encode(&self.alias(kind)));
            let query = [("filter_path", "*.mappings._meta.rastro")];
            let answer: Option<Value> =
                self.client.json_if_found(Method::Get, &path, &query, Body::None).await?;
            for (name, index) in answer.as_ref().and_then(Value::as_object).into_iter().flatten() {
                let meta = &index["mappings"]["_meta"]["rastro"];
                if let (Some(dataset), Some(dataset_index)) =
                    (meta["dataset"].as_str(), kind.dataset_index(name))
                {
                    let entry =
                        Held { dataset: dataset.to_owned(), kind, dataset_index: dataset_index.to_owned() };
                    held.insert(name.clone(), entry);
                }
            }
        }
        Ok(held)
    }

    pub(super) async fn dataset_indices(&self) -> Result<Vec<String>, StoreError> {
        self.indices_behind(&self.alias(Kind::Segments)).await
    }

    /// Names of the indices behind an alias, in order; none if nothing bears it.
    pub(super) async fn indices_behind(&self, alias: &str) -> Result<Vec<String>, StoreError> {
        let path = format!("/_alias/{}", encode(alias));
        let answer: Option<Value> = self.client.json_if_found(Method::Get, &path, &[], Body::None).await?;
        let mut names: Vec<String> = answer
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|names| names.keys().cloned())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    pub(super) async fn has_index(&self, index: &str) -> Result<bool, StoreError> {
        let answer = self.client.send(Method::Head, &format!("/{}", encode(index)), &[], Body::None).await?;
        if answer.status == 404 { Ok(false) } else { answer.success().map(|_| true) }
    }

    pub(super) async fn datasets(&self) -> Result<Vec<DatasetSummary>, StoreError> {
        let mut datasets: BTreeMap<String, DatasetSummary> = BTreeMap::new();
        for tally in self.tallies().await? {
            let summary = entry(&mut datasets, &tally.dataset);
            summary.tally += tally.tally;
            summary.lost_bytes = summary.lost_bytes.saturating_add(tally.lost_bytes);
            summary.lost_lines = summary.lost_lines.saturating_add(tally.lost_lines);
        }
        // Labels may come before the first chunk.
        for name in self.labelled_datasets().await? {
            entry(&mut datasets, &name);
        }
        let held = self.held_indices().await?;
        let mut summaries = self.index_summaries().await?;
        for (name, held) in held {
            if held.kind == Kind::Segments {
                let summary = summaries.remove(&name).unwrap_or_else(|| empty_index(&name));
                entry(&mut datasets, &held.dataset).indices.push(summary);
            }
        }
        Ok(datasets.into_values().collect())
    }

    /// What every stream's ledger says, dataset by dataset.
    async fn tallies(&self) -> Result<Vec<DatasetTally>, StoreError> {
        #[derive(Deserialize)]
        struct Tallies {
            tallies: Vec<DatasetTally>,
        }
        let everything = json!({ "match_all": {} });
        let hits = self
            .client
            .scan::<Tallies>(&self.own(Own::Streams), &everything, &["ledger"], usize::MAX)
            .await?;
        let tallies = hits.into_iter().flat_map(|hit| hit.source.tallies);
        Ok(tallies.filter(|tally| !tally.dataset.is_empty()).collect())
    }

    async fn labelled_datasets(&self) -> Result<Vec<String>, StoreError> {
        let index = self.own(Own::Labels);
        self.client.refresh(&index).await?;
        let everything = json!({ "match_all": {} });
        let aggregation = json!({ "datasets": { "terms": { "field": "dataset", "size": MAX_BUCKETS } } });
        let answer = self.client.aggregate(&index, &everything, aggregation).await?;
        Ok(buckets(&answer["datasets"])
            .filter_map(|bucket| Some(bucket["key"].as_str()?.to_owned()))
            .collect())
    }

    /// What the segments of every index come to, by index.
    pub(super) async fn index_summaries(&self) -> Result<BTreeMap<String, IndexSummary>, StoreError> {
        let alias = self.alias(Kind::Segments);
        self.client.refresh(&alias).await?;
        let everything = json!({ "match_all": {} });
        // Sums of whole numbers come as floating-point numbers, exact up to 2^53. Times are nanoseconds and larger: of those the
        // first and the last are asked for by sorting.
        let first = |field: &str, order: &str| json!({ "top_hits": { "size": 1, "_source": false, "sort": [{ field: order }] } });
        let aggregation = json!({ "indices": {
            "terms": { "field": "_index", "size": MAX_BUCKETS },
            "aggs": {
                "calls": { "sum": { "field": "rastro.calls" } },
                "bytes": { "sum": { "field": "rastro.bytes" } },
                "start": first("event.start", "asc"),
                "end": first("event.end", "desc"),
            },
        } });
        let answer = self.client.aggregate(&alias, &everything, aggregation).await?;
        let mut summaries: BTreeMap<String, IndexSummary> = BTreeMap::new();
        for bucket in buckets(&answer["indices"]) {
            let Some(name) = bucket["key"].as_str() else { continue };
            let sum = |name: &str| bucket[name]["value"].as_f64().unwrap_or(0.0) as u64;
            let time = |name: &str| bucket[name]["hits"]["hits"][0]["sort"][0].as_i64().unwrap_or(0);
            let summary = IndexSummary {
                segments: bucket["doc_count"].as_u64().unwrap_or(0),
                calls: sum("calls"),
                bytes: sum("bytes"),
                start_ns: time("start"),
                end_ns: time("end"),
                ..empty_index(name)
            };
            summaries.insert(name.to_owned(), summary);
        }
        for (index, container) in self.containers(&alias).await? {
            if let Some(summary) = summaries.get_mut(&index) {
                summary.containers.push(container);
            }
        }
        for summary in summaries.values_mut() {
            summary.containers.sort_by(|a, b| (&a.id, &a.name, &a.image).cmp(&(&b.id, &b.name, &b.image)));
        }
        let alarms = self.own(Own::Alarms);
        self.client.refresh(&alarms).await?;
        let live = json!({ "term": { "rastro.job": "live" } });
        let aggregation = json!({ "indices": { "terms": { "field": "rastro.index", "size": MAX_BUCKETS } } });
        let answer = self.client.aggregate(&alarms, &live, aggregation).await?;
        for bucket in buckets(&answer["indices"]) {
            if let Some(summary) = bucket["key"].as_str().and_then(|name| summaries.get_mut(name)) {
                summary.alarms = bucket["doc_count"].as_u64().unwrap_or(0);
            }
        }
        Ok(summaries)
    }

    /// Every container with the index that it occurs in.
    async fn containers(&self, alias: &str) -> Result<Vec<(String, Container)>, StoreError> {
        let everything = json!({ "match_all": {} });
        let source = |field: &str| json!({ "terms": { "field": field, "missing_bucket": true } });
        let mut found = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut composite = json!({ "size": 1_000, "sources": [
                { "index": { "terms": { "field": "_index" } } }, { "id": source("container.id") },
                { "name": source("container.name") }, { "image": source("container.image.name") },
            ] });
            if !after.is_null() {
                composite["after"] = after;
            }
            let aggregation = json!({ "containers": { "composite": composite } });
            let answer = self.client.aggregate(alias, &everything, aggregation).await?;
            for bucket in buckets(&answer["containers"]) {
                let text = |name: &str| bucket["key"][name].as_str().map(str::to_owned);
                if let (Some(index), Some(id)) = (text("index"), text("id")) {
                    found.push((index, Container { id, name: text("name"), image: text("image") }));
                }
            }
            after = answer["containers"]["after_key"].clone();
            if after.is_null() {
                return Ok(found);
            }
        }
    }

    /// An error if there is no such dataset.
    pub(super) async fn require_dataset(&self, dataset: &str) -> Result<(), StoreError> {
        let has_index = self.held_indices().await?.values().any(|held| held.dataset == dataset);
        let exists = has_index
            || self.tallies().await?.iter().any(|tally| tally.dataset == dataset)
            || self.labelled_datasets().await?.iter().any(|name| name == dataset);
        if exists {
            return Ok(());
        }
        Err(StoreError::NotFound {
            kind: "dataset",
            name: dataset.to_owned(),
            hint: "`rastro datasets` lists what there is",
        })
    }

    pub(super) async fn delete_dataset(&self, dataset: &str) -> Result<(), StoreError> {
        self.require_dataset(dataset).await?;
        let held = self.held_indices().await?;
        let (names, dataset_indices): (Vec<String>, BTreeSet<String>) = held
            .into_iter()
            .filter(|(_, held)| held.dataset == dataset)
            .map(|(name, held)| (name, held.dataset_index))
            .unzip();
        // No writer of this process goes on from a ledger that is changed here.
        let mut ledgers = self.ledgers.lock().await;
        self.delete_indices(&names).await?;
        for kind in Kind::ALL {
            let path = format!(
                "/_index_template/{}",
                encode(&schema::template_name(&self.config.prefix, dataset, kind))
            );
            self.client.json_if_found::<Value>(Method::Delete, &path, &[], Body::None).await?;
        }
        self.delete_what_hangs_on(&dataset_indices).await?;
        let of_dataset = |field: &str| json!({ "term": { field: dataset } });
        self.delete_found(&self.own(Own::Alarms), &of_dataset("event.dataset")).await?;
        for own in [Own::Assignments, Own::Labels, Own::DeadLetters] {
            self.delete_found(&self.own(own), &of_dataset("dataset")).await?;
        }
        let counter = Item {
            index: self.own(Own::Assignments),
            id: format!("dataset {dataset}"),
            action: Action::Delete,
            source: Vec::new(),
        };
        self.client.bulk(&[counter], usize::MAX).await?;
        self.forget_tallies(dataset).await?;
        ledgers.clear();
        Ok(())
    }

    /// Takes what a dataset's lines became out of the ledgers. Where the streams stand is kept: their chunks are not to be stored once
    /// more.
    async fn forget_tallies(&self, dataset: &str) -> Result<(), StoreError> {
        let index = self.own(Own::Streams);
        let query = json!({ "term": { "datasets": dataset } });
        for _ in 0..MAX_CONFLICTS {
            let hits = self.client.scan::<StreamDocument>(&index, &query, &[], usize::MAX).await?;
            if hits.is_empty() {
                return Ok(());
            }
            let writer = self.next_token();
            let items =
                hits.into_iter()
                    .map(|hit| {
                        let mut document = hit.source.restored(&hit.id)?;
                        document.forget(dataset);
                        let stream: StreamId = hit.id.parse().map_err(|error| {
                            super::documents::damaged("ledger of stream", &hit.id, &error)
                        })?;
                        Ok(Item {
                            index: index.clone(),
                            action: Action::Replace { sequence: hit.sequence, term: hit.term },
                            source: document.to_source(&writer, stream)?,
                            id: hit.id,
                        })
                    })
                    .collect::<Result<Vec<_>, StoreError>>()?;
            let outcomes = self.client.bulk(&items, self.config.bulk_bytes).await?;
            if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Written { .. })) {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable {
            server: self.client.server(),
            message: format!(
                "dataset `{dataset}` is being written; stop its transformers and delete it again"
            ),
        })
    }

    /// Removes whole indices, whose names are known to be Rastro's.
    pub(super) async fn delete_indices(&self, names: &[String]) -> Result<(), StoreError> {
        for names in names.chunks(NAMES_AT_ONCE) {
            let list = names.iter().map(|name| encode(name)).collect::<Vec<_>>().join(",");
            let query = [("ignore_unavailable", "true")];
            self.client
                .json_if_found::<Value>(Method::Delete, &format!("/{list}"), &query, Body::None)
                .await?;
        }
        self.forget_indices();
        Ok(())
    }

    /// Removes what Rastro's own indices hold about dataset indices: places, claims, alarms, assignments.
    pub(super) async fn delete_what_hangs_on(
        &self,
        dataset_indices: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let indices: Vec<&String> = dataset_indices.iter().collect();
        for names in indices.chunks(MAX_BUCKETS) {
            for (own, field) in [
                (Own::Places, "index"),
                (Own::Claims, "index"),
                (Own::Assignments, "index"),
                (Own::Alarms, "rastro.index"),
            ] {
                self.delete_found(&self.own(own), &json!({ "terms": { field: names } })).await?;
            }
        }
        Ok(())
    }

    /// Bytes on disk by index, all copies together.
    pub(super) async fn sizes(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut names = vec![format!("{}-*", self.config.prefix)];
        names.extend(Kind::ALL.map(|kind| self.alias(kind)));
        let query = [
            ("filter_path", "indices.*.total.store.size_in_bytes"),
            ("ignore_unavailable", "true"),
            ("allow_no_indices", "true"),
        ];
        let path = format!("/{}/_stats/store", names.join(","));
        let answer: Option<Value> = self.client.json_if_found(Method::Get, &path, &query, Body::None).await?;
        let indices = answer.as_ref().and_then(|answer| answer["indices"].as_object());
        Ok(indices
            .into_iter()
            .flatten()
            .filter_map(|(name, index)| {
                Some((name.clone(), index["total"]["store"]["size_in_bytes"].as_u64()?))
            })
            .collect())
    }

    pub(super) async fn size(&self) -> Result<u64, StoreError> {
        Ok(self.sizes().await?.values().sum())
    }

    pub(super) async fn stream_tally(&self, stream: StreamId) -> Result<Tally, StoreError> {
        let document =
            self.client.get::<StreamDocument>(&self.own(Own::Streams), &stream.to_string()).await?;
        Ok(document
            .map_or_else(Tally::default, |hit| hit.source.tallies.iter().map(|tally| tally.tally).sum()))
    }

    pub(super) async fn stream_end(&self, stream: StreamId) -> Result<Option<(Position, u64)>, StoreError> {
        let document =
            self.client.get::<StreamDocument>(&self.own(Own::Streams), &stream.to_string()).await?;
        Ok(document.map(|hit| hit.source.end()).map(|end| (end.position, end.next_line)))
    }
}

fn buckets(aggregation: &Value) -> impl Iterator<Item = &Value> {
    aggregation["buckets"].as_array().into_iter().flatten()
}

fn entry<'a>(datasets: &'a mut BTreeMap<String, DatasetSummary>, name: &str) -> &'a mut DatasetSummary {
    datasets.entry(name.to_owned()).or_insert_with(|| DatasetSummary {
        name: name.to_owned(),
        indices: Vec::new(),
        tally: Tally::default(),
        lost_bytes: 0,
        lost_lines: 0,
    })
}

fn empty_index(name: &str) -> IndexSummary {
    IndexSummary {
        name: name.to_owned(),
        segments: 0,
        calls: 0,
        containers: Vec::new(),
        start_ns: 0,
        end_ns: 0,
        bytes: 0,
        alarms: 0,
    }
}

//! Reading segments in the order in which they were written.
//!
//! The place of a segment is its `_seq_no` plus one: its number in the order in which the one shard of its index took it. A search may
//! find number 9 before number 8, which is still on its way. But the shard knows up to which number everything is done (its *global
//! checkpoint*); nothing at or below it comes later. So the checkpoint is asked for first, then made visible, then read up to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use elasticsearch::http::Method;
use rastro_model::{Container, Segment, SegmentId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Inner,
    client::{Body, encode},
    documents::SegmentDocument,
    schema::Kind,
};
use crate::{Columns, StoreError, StoredSegment};

/// How long to wait before looking for new segments again.
const POLL: Duration = Duration::from_millis(100);

/// Documents of a page at most, so that it stays within tens of megabytes.
const LARGEST_PAGE: usize = 1_000;

/// Calls that a segment holds, as long as nothing is known of an index.
const USUAL_CALLS: usize = 2_000;

/// Segments that are remembered for the scores that follow.
const MAX_LOCATED: usize = 262_144;

/// What is remembered of reading.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Up to which number everything in an index is visible; by the index's own identity, since one may be removed and made anew.
    visible: Mutex<HashMap<String, u64>>,
    /// What `wait_for_segments` has seen: the number of documents taken, by index.
    told: Mutex<HashMap<String, Progress>>,
    /// Calls of a segment in the pages read last, by identity of the index: what is asked for is about what is wanted.
    usual_calls: Mutex<HashMap<String, usize>>,
    /// The segments read last.
    located: Mutex<HashMap<SegmentId, Located>>,
}

/// Where a segment lies and comes from.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) place: u64,
    pub(super) origin: Arc<Origin>,
}

/// Whose calls a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) dataset: String,
    pub(super) node: String,
    pub(super) container: Container,
}

/// How far an index is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Progress {
    identity: String,
    /// Number up to which everything is done; −1 if there is nothing yet.
    checkpoint: i64,
}

impl Inner {
    /// Numbers up to which everything is done, by index; −1 for an index that holds nothing.
    async fn progress(&self, index: &str) -> Result<HashMap<String, Progress>, StoreError> {
        let path = format!("/{}/_stats/docs", encode(index));
        let query = [
            ("level", "shards"),
            (
                "filter_path",
                "indices.*.uuid,indices.*.shards.*.seq_no.global_checkpoint,indices.*.shards.*.routing.primary",
            ),
        ];
        let answer: Option<Value> = self.client.json_if_found(Method::Get, &path, &query, Body::None).await?;
        let mut progress = HashMap::new();
        let indices = answer.as_ref().and_then(|answer| answer["indices"].as_object());
        for (name, index) in indices.into_iter().flatten() {
            let copies = index["shards"].as_object().into_iter().flat_map(|shards| shards.values());
            let checkpoint = copies
                .filter_map(Value::as_array)
                .flatten()
                .filter(|copy| copy["routing"]["primary"].as_bool() == Some(true))
                .filter_map(|copy| copy["seq_no"]["global_checkpoint"].as_i64())
                .min();
            if let Some(checkpoint) = checkpoint {
                let identity = index["uuid"].as_str().unwrap_or_default().to_owned();
                progress.insert(name.clone(), Progress { identity, checkpoint });
            }
        }
        Ok(progress)
    }

    pub(super) async fn segments(
        &self,
        index: &str,
        after: u64,
        max_calls: usize,
        columns: Columns,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        let Some(Progress { identity, checkpoint }) = self.progress(index).await?.remove(index) else {
            return Err(missing_index(index));
        };
        // `after` is the number of the last one read, plus one: the number of the next.
        let next = i64::try_from(after).unwrap_or(i64::MAX);
        if checkpoint + 1 < next {
            // Its numbers have begun again, so this is not the index that was read.
            return Err(missing_index(index));
        }
        if checkpoint < next {
            return Ok(Vec::new());
        }
        let checkpoint = checkpoint.cast_unsigned();
        let is_visible = {
            let visible = self.reading.visible.lock().unwrap_or_else(PoisonError::into_inner);
            visible.get(&identity).is_some_and(|&visible| visible >= checkpoint)
        };
        if !is_visible {
            self.client.refresh(index).await?;
            let mut visible = self.reading.visible.lock().unwrap_or_else(PoisonError::into_inner);
            visible.insert(identity.clone(), checkpoint);
        }
        let usual_calls = {
            let usual = self.reading.usual_calls.lock().unwrap_or_else(PoisonError::into_inner);
            usual.get(&identity).copied().unwrap_or(USUAL_CALLS)
        };
        // Some more, so that a few small ones do not make a small page; what is beyond is not decoded.
        let size = max_calls.div_ceil(usual_calls).saturating_add(4).min(LARGEST_PAGE);
        let leave_out: &[&str] = match columns {
            Columns::Sequence => &["rastro.rest", "rastro.chunk"],
            Columns::All => &["rastro.chunk"],
        };
        let body = json!({
            "size": size,
            "query": { "range": { "_seq_no": { "gte": after, "lte": checkpoint } } },
            "sort": [{ "_seq_no": "asc" }],
            "_source": { "excludes": leave_out },
        });
        let hits = self.client.search::<SegmentDocument>(index, &body).await?;
        let mut page = Vec::with_capacity(hits.len());
        let mut calls = 0;
        for hit in hits {
            if calls >= max_calls.max(1) {
                break;
            }
            let place = hit.sequence + 1;
            calls += hit.source.rastro.calls.max(1) as usize;
            page.push(StoredSegment { place, segment: hit.source.segment(&hit.id, &hit.index)? });
        }
        if !page.is_empty() {
            let mut usual = self.reading.usual_calls.lock().unwrap_or_else(PoisonError::into_inner);
            usual.insert(identity, (calls / page.len()).max(1));
        }
        self.remember(&page);
        Ok(page)
    }

    fn remember(&self, page: &[StoredSegment]) {
        let mut located = self.reading.located.lock().unwrap_or_else(PoisonError::into_inner);
        if located.len() + page.len() > MAX_LOCATED {
            located.clear();
        }
        // Neighbours are most often of one container.
        let mut latest: Option<Arc<Origin>> = None;
        for StoredSegment { place, segment } in page {
            let is_same = |origin: &&Arc<Origin>| {
                origin.dataset == segment.dataset
                    && origin.node == segment.node
                    && origin.container == segment.container
            };
            let origin = latest.as_ref().filter(is_same).map_or_else(
                || {
                    Arc::new(Origin {
                        dataset: segment.dataset.clone(),
                        node: segment.node.clone(),
                        container: segment.container.clone(),
                    })
                },
                Arc::clone,
            );
            latest = Some(Arc::clone(&origin));
            located.insert(segment.id, Located { place: *place, origin });
        }
    }

    /// Where segments of an index lie, and whose calls they hold.
    pub(super) async fn locate(
        &self,
        index: &str,
        segments: impl Iterator<Item = SegmentId>,
    ) -> Result<HashMap<SegmentId, Located>, StoreError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let located = self.reading.located.lock().unwrap_or_else(PoisonError::into_inner);
            for segment in segments {
                match located.get(&segment) {
                    Some(known) => {
                        found.insert(segment, known.clone());
                    }
                    None => missing.push(segment),
                }
            }
        }
        missing.sort_unstable_by_key(|id| (id.stream, id.start, id.part));
        missing.dedup();
        let ids: Vec<String> = missing.iter().map(ToString::to_string).collect();
        for hit in self.client.get_many::<StoredOrigin>(index, &ids, StoredOrigin::MEMBERS).await? {
            if let Ok(id) = hit.id.parse() {
                let origin = Arc::new(hit.source.into());
                found.insert(id, Located { place: hit.sequence + 1, origin });
            }
        }
        match missing.into_iter().find(|id| !found.contains_key(id)) {
            Some(id) => Err(missing_segment(id)),
            None => Ok(found),
        }
    }

    pub(super) async fn segment(&self, id: SegmentId) -> Result<Segment, StoreError> {
        let (segment, _) = self.find_segment(id).await?;
        Ok(segment)
    }

    async fn find_segment(&self, id: SegmentId) -> Result<(Segment, String), StoreError> {
        let alias = self.alias(Kind::Segments);
        let name = id.to_string();
        let body = json!({ "size": 1, "query": { "ids": { "values": [name] } } });
        // It may have been written a moment ago.
        for is_refreshed in [false, true] {
            if is_refreshed {
                self.client.refresh(&alias).await?;
            }
            let mut hits = self.client.search::<SegmentDocument>(&alias, &body).await?;
            if let Some(hit) = hits.pop() {
                let index = hit.index.clone();
                return Ok((hit.source.segment(&hit.id, &hit.index)?, index));
            }
        }
        Err(missing_segment(id))
    }

    pub(super) async fn segment_before(&self, id: SegmentId) -> Result<Option<Segment>, StoreError> {
        let (segment, index) = self.find_segment(id).await?;
        self.client.refresh(&index).await?;
        let body = json!({
            "size": 1,
            "query": { "bool": {
                "filter": [
                    { "term": { "rastro.stream": id.stream.to_string() } },
                    { "term": { "container.id": segment.container.id } },
                ],
                "should": [
                    { "range": { "rastro.generation": { "lt": id.start.generation } } },
                    { "bool": { "filter": [
                        { "term": { "rastro.generation": id.start.generation } },
                        { "range": { "log.offset": { "lt": id.start.offset } } },
                    ] } },
                ],
                "minimum_should_match": 1,
            } },
            "sort": [{ "rastro.generation": "desc" }, { "log.offset": "desc" }],
        });
        let mut hits = self.client.search::<SegmentDocument>(&index, &body).await?;
        hits.pop().map(|hit| hit.source.segment(&hit.id, &hit.index)).transpose()
    }

    pub(super) async fn wait_for_segments(&self, wait: Duration) {
        let deadline = Instant::now() + wait;
        loop {
            match self.progress(&self.alias(Kind::Segments)).await {
                Ok(progress) => {
                    let mut told = self.reading.told.lock().unwrap_or_else(PoisonError::into_inner);
                    let is_new = progress.iter().any(|(index, progress)| {
                        progress.checkpoint >= 0 && told.get(index) != Some(progress)
                    });
                    *told = progress;
                    if is_new {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot look for new segments; the next read will say why");
                }
            }
            let now = Instant::now();
            if now >= deadline {
                return;
            }
            tokio::time::sleep_until(deadline.min(now + POLL)).await;
        }
    }
}

pub(super) fn missing_index(index: &str) -> StoreError {
    StoreError::NotFound {
        kind: "index",
        name: index.to_owned(),
        hint: "`rastro datasets` lists what there is",
    }
}

fn missing_segment(id: SegmentId) -> StoreError {
    StoreError::NotFound {
        kind: "segment",
        name: id.to_string(),
        hint: "its dataset may have been deleted; `rastro datasets` lists what there is",
    }
}

/// The members of a segment's document that say whose calls it holds.
#[derive(Debug, Deserialize)]
struct StoredOrigin {
    #[serde(rename = "container.id")]
    container: String,
    #[serde(rename = "container.name", default)]
    container_name: Option<String>,
    #[serde(rename = "container.image.name", default)]
    image: Option<String>,
    #[serde(rename = "host.name")]
    node: String,
    #[serde(rename = "event.dataset")]
    dataset: String,
}

impl StoredOrigin {
    const MEMBERS: &str = "container.id,container.name,container.image.name,host.name,event.dataset";
}

impl From<StoredOrigin> for Origin {
    fn from(stored: StoredOrigin) -> Self {
        let StoredOrigin { container, container_name, image, node, dataset } = stored;
        Self { dataset, node, container: Container { id: container, name: container_name, image } }
    }
}

//! Reading segments in the order in which they were written.
//!
//! The place of a segment is its `_seq_no` plus one: its number in the order in which the one shard of its index took it. A search may
//! find number 9 before number 8, which is still on its way. But the shard knows up to which number everything is done (its *global
//! checkpoint*); nothing at or below it comes later. So the checkpoint is asked for first, then made visible, then read up to.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use elasticsearch::http::Method;
use rastro_model::{Segment, SegmentId};
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

/// Documents of a page: at least, for streams of little, and at most, so that a page stays within tens of megabytes.
const SMALLEST_PAGE: usize = 64;
const LARGEST_PAGE: usize = 1_000;

/// Calls that a segment holds about, for the size of a page.
const USUAL_CALLS: usize = 2_000;

/// Places that are remembered for the scores that follow.
const MAX_PLACES: usize = 262_144;

/// What is remembered of reading.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Up to which number everything in an index is visible.
    visible: Mutex<HashMap<String, u64>>,
    /// What `wait_for_segments` has seen: the number of documents taken, by index.
    told: Mutex<HashMap<String, i64>>,
    /// Places of the segments read last.
    places: Mutex<HashMap<SegmentId, u64>>,
}

impl Inner {
    /// Numbers up to which everything is done, by index; −1 for an index that holds nothing.
    async fn checkpoints(&self, index: &str) -> Result<HashMap<String, i64>, StoreError> {
        let path = format!("/{}/_stats/docs", encode(index));
        let query = [
            ("level", "shards"),
            ("filter_path", "indices.*.shards.*.seq_no.global_checkpoint,indices.*.shards.*.routing.primary"),
        ];
        let answer: Option<Value> = self.client.json_if_found(Method::Get, &path, &query, Body::None).await?;
        let mut checkpoints = HashMap::new();
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
                checkpoints.insert(name.clone(), checkpoint);
            }
        }
        Ok(checkpoints)
    }

    pub(super) async fn segments(
        &self,
        index: &str,
        after: u64,
        max_calls: usize,
        columns: Columns,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        let checkpoints = self.checkpoints(index).await?;
        let Some(&checkpoint) = checkpoints.get(index) else {
            return Err(missing_index(index));
        };
        // `after` is the number of the last one read, plus one: the number of the next.
        let Ok(checkpoint) = u64::try_from(checkpoint) else { return Ok(Vec::new()) };
        if checkpoint < after {
            return Ok(Vec::new());
        }
        let is_visible = {
            let visible = self.reading.visible.lock().unwrap_or_else(PoisonError::into_inner);
            visible.get(index).is_some_and(|&visible| visible >= checkpoint)
        };
        if !is_visible {
            self.client.refresh(index).await?;
            self.reading
                .visible
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(index.to_owned(), checkpoint);
        }
        let size = max_calls.div_ceil(USUAL_CALLS).clamp(SMALLEST_PAGE, LARGEST_PAGE);
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
        self.remember_places(&page);
        Ok(page)
    }

    fn remember_places(&self, page: &[StoredSegment]) {
        let mut places = self.reading.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() + page.len() > MAX_PLACES {
            places.clear();
        }
        places.extend(page.iter().map(|stored| (stored.segment.id, stored.place)));
    }

    /// Places of segments of an index.
    pub(super) async fn places_of(
        &self,
        index: &str,
        segments: impl Iterator<Item = SegmentId>,
    ) -> Result<HashMap<SegmentId, u64>, StoreError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let places = self.reading.places.lock().unwrap_or_else(PoisonError::into_inner);
            for segment in segments {
                match places.get(&segment) {
                    Some(&place) => {
                        found.insert(segment, place);
                    }
                    None => missing.push(segment),
                }
            }
        }
        missing.sort_unstable_by_key(|id| (id.stream, id.start, id.part));
        missing.dedup();
        let ids: Vec<String> = missing.iter().map(ToString::to_string).collect();
        for hit in self.client.get_many::<Value>(index, &ids, "rastro.part").await? {
            if let Ok(id) = hit.id.parse() {
                found.insert(id, hit.sequence + 1);
            }
        }
        for id in missing {
            if !found.contains_key(&id) {
                return Err(missing_segment(id));
            }
        }
        Ok(found)
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
            match self.checkpoints(&self.alias(Kind::Segments)).await {
                Ok(checkpoints) => {
                    let mut told = self.reading.told.lock().unwrap_or_else(PoisonError::into_inner);
                    let is_new = checkpoints.iter().any(|(index, checkpoint)| {
                        told.get(index).is_none_or(|told| told < checkpoint) && *checkpoint >= 0
                    });
                    *told = checkpoints;
                    if is_new {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot look for new segments; the next read will say why")
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

//! What the analyzer leaves behind: scores, alarms, and its place.
//!
//! A scored frame is one document in `<index>-anomaly`, an alarm one in `<prefix>-alarms`; both are replaced by the same when they are
//! written again. The place comes last and is compared before it is set: of two analyzers that believe an index is theirs, the second to
//! write is told so.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rastro_model::{Alarm, AlarmId, Container, FrameScore, SegmentId, SegmentScores, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Inner,
    bulk::{Action, Item, Outcome},
    documents::{damaged, source, time_text, to_bytes, to_text},
    read::{Located, missing_index},
    schema::{Kind, Own},
};
use crate::{AlarmQuery, AnalysisBatch, ScoreQuery, StoreError, StoredScores, frames};

/// Most documents that one search gives.
const MAX_HITS: usize = 10_000;

/// The version of every place that this handle has read or written: by job and index.
#[derive(Debug, Default)]
pub(super) struct Places {
    known: Mutex<HashMap<String, Option<(u64, u64)>>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PlaceDocument {
    job: String,
    index: String,
    place: u64,
    state: String,
    writer: String,
}

/// A scored frame.
#[derive(Debug, Serialize, Deserialize)]
struct FrameDocument {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "event.start")]
    start: String,
    #[serde(rename = "event.end")]
    end: String,
    #[serde(rename = "event.ingested")]
    ingested: String,
    #[serde(rename = "event.dataset")]
    dataset: String,
    #[serde(rename = "container.id")]
    container: String,
    #[serde(rename = "container.name", default, skip_serializing_if = "Option::is_none")]
    container_name: Option<String>,
    #[serde(rename = "container.image.name", default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(rename = "host.name")]
    node: String,
    rastro: FramePart,
}

#[derive(Debug, Serialize, Deserialize)]
struct FramePart {
    segment: SegmentId,
    place: u64,
    job: String,
    index: String,
    detector: String,
    window: u32,
    profile: rastro_model::ProfileRef,
    score: Option<f64>,
    raw: Option<f64>,
    threshold: Option<f64>,
    alarm: bool,
    lossy: bool,
    learning: bool,
    first_call: u32,
    calls: u32,
    windows: u32,
    unseen: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// The frame to the last bit.
    frame: String,
}

#[derive(Debug, Deserialize)]
struct AlarmDocument {
    rastro: AlarmPart,
}

#[derive(Debug, Deserialize)]
struct AlarmPart {
    alarm: AlarmContent,
}

#[derive(Debug, Deserialize)]
struct AlarmContent {
    content: Alarm,
}

impl Inner {
    pub(super) async fn write_analysis(&self, batch: &AnalysisBatch) -> Result<(), StoreError> {
        let mut items = Vec::new();
        if !batch.scores.is_empty() {
            self.score_items(batch, &mut items).await?;
        } else if !self.has_index(&batch.index).await? {
            return Err(missing_index(&batch.index));
        }
        for alarm in &batch.alarms {
            items.push(self.alarm_item(&batch.job, alarm)?);
        }
        let outcomes = self.client.bulk(&items, self.config.bulk_bytes).await?;
        for (item, outcome) in items.iter().zip(outcomes) {
            if let Outcome::Unfit(words) = outcome {
                return Err(StoreError::Refused {
                    server: self.client.server(),
                    message: format!(
                        "index `{}` does not take a score or alarm ({words}); its mapping is not Rastro's, or of another version: run \
                         `rastro migrate`, or remove the index",
                        item.index
                    ),
                });
            }
        }
        match &batch.place {
            Some((place, state)) => self.write_place(batch, *place, state).await,
            None => Ok(()),
        }
    }

    async fn score_items(&self, batch: &AnalysisBatch, items: &mut Vec<Item>) -> Result<(), StoreError> {
        let located = self.locate(&batch.index, batch.scores.iter().map(|scores| scores.segment)).await?;
        let Some(dataset) = located.values().next().map(|located| located.origin.dataset.clone()) else {
            return Ok(());
        };
        self.ensure_index(&dataset, &batch.index, Kind::Anomaly).await?;
        let index = Kind::Anomaly.index(&batch.index);
        for scores in &batch.scores {
            let Some(located) = located.get(&scores.segment) else {
                return Err(missing_index(&batch.index));
            };
            for frame in &scores.frames {
                items.push(frame_item(&index, batch, scores, frame, located)?);
            }
        }
        Ok(())
    }

    fn alarm_item(&self, job: &str, alarm: &Alarm) -> Result<Item, StoreError> {
        let reasons: Vec<String> = alarm.reasons.iter().map(reason_text).collect();
        let document = json!({
            "@timestamp": time_text(alarm.start_ns),
            "event": {
                "start": time_text(alarm.start_ns), "end": time_text(alarm.end_ns), "kind": "alert", "module": "rastro",
                "dataset": alarm.dataset, "ingested": super::documents::now_text(),
            },
            "container": { "id": alarm.container.id, "name": alarm.container.name, "image": { "name": alarm.container.image } },
            "host": { "name": alarm.node },
            "message": alarm.message,
            "rastro": {
                "alarm": {
                    "id": alarm.id, "frames": alarm.frames, "lossy": alarm.lossy,
                    "peak": alarm.peak.0, "first": alarm.first.0, "content": alarm,
                },
                "index": alarm.index, "job": job, "detector": alarm.detector, "window": alarm.window,
                "profile": alarm.profile, "score": alarm.score, "threshold": alarm.threshold, "reasons": reasons,
            },
        });
        Ok(Item {
            index: self.own(Own::Alarms),
            id: format!("{job} {}", alarm.id),
            action: Action::Index,
            source: source(&document, "alarm", &alarm.id.0)?,
        })
    }

    async fn write_place(&self, batch: &AnalysisBatch, place: u64, state: &[u8]) -> Result<(), StoreError> {
        let id = format!("{} {}", batch.job, batch.index);
        let known = self.places.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        let version = match known {
            Some(version) => version,
            None => {
                let found = self.client.get::<PlaceDocument>(&self.own(Own::Places), &id).await?;
                found.map(|hit| (hit.sequence, hit.term))
            }
        };
        let writer = self.next_token();
        let document = PlaceDocument {
            job: batch.job.clone(),
            index: batch.index.clone(),
            place,
            state: to_text(state),
            writer: writer.clone(),
        };
        let item = Item {
            index: self.own(Own::Places),
            id: id.clone(),
            action: version.map_or(Action::Create, |(sequence, term)| Action::Replace { sequence, term }),
            source: source(&document, "place", &id)?,
        };
        let outcome = self.client.bulk(&[item], usize::MAX).await?.pop();
        if let Some(Outcome::Written { sequence, term }) = outcome {
            self.remember_place(id, Some((sequence, term)));
            return Ok(());
        }
        if let Some(Outcome::Unfit(words)) = outcome {
            return Err(StoreError::Refused {
                server: self.client.server(),
                message: format!(
                    "index `{}` does not take the state of the analysis of `{}`, {} bytes ({words}); score it with fewer detectors, or run \
                     `rastro migrate` if its mapping is of another version",
                    self.own(Own::Places),
                    batch.index,
                    state.len()
                ),
            });
        }
        self.places.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        // The answer to an earlier try may have been lost.
        let found = self.client.get::<PlaceDocument>(&self.own(Own::Places), &id).await?;
        if let Some(hit) = found.filter(|hit| hit.source.writer == writer) {
            self.remember_place(id, Some((hit.sequence, hit.term)));
            return Ok(());
        }
        Err(StoreError::Superseded { job: batch.job.clone(), index: batch.index.clone() })
    }

    pub(super) async fn place(&self, job: &str, index: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let id = format!("{job} {index}");
        let found = self.client.get::<PlaceDocument>(&self.own(Own::Places), &id).await?;
        let version = found.as_ref().map(|hit| (hit.sequence, hit.term));
        self.remember_place(id.clone(), version);
        found.map(|hit| Ok((hit.source.place, to_bytes(&hit.source.state, "place", &id)?))).transpose()
    }

    fn remember_place(&self, id: String, version: Option<(u64, u64)>) {
        self.places.known.lock().unwrap_or_else(PoisonError::into_inner).insert(id, version);
    }

    /// The conditions of a query, and where to search.
    fn score_search(&self, query: &ScoreQuery) -> (String, Vec<Value>) {
        let mut filter = Vec::new();
        if let Some(dataset) = &query.dataset {
            filter.push(json!({ "term": { "event.dataset": dataset } }));
        }
        if let Some(job) = &query.job {
            filter.push(json!({ "term": { "rastro.job": job } }));
        }
        if let Some(segment) = &query.segment {
            filter.push(json!({ "term": { "rastro.segment": segment } }));
        }
        let target = query
            .index
            .as_ref()
            .map_or_else(|| self.alias(Kind::Anomaly), |index| Kind::Anomaly.index(index));
        (target, filter)
    }

    pub(super) async fn scores(&self, query: &ScoreQuery) -> Result<Vec<StoredScores>, StoreError> {
        if let Some(segment) = query.segment {
            self.segment(segment).await?;
        }
        let (target, filter) = self.score_search(query);
        self.client.refresh(&target).await?;
        let query_body = json!({ "bool": { "filter": filter } });
        let mut frames: Vec<(String, FrameDocument)> = Vec::new();
        for index in self.anomaly_indices(&target).await? {
            let hits = self.client.scan::<FrameDocument>(&index, &query_body, &[], usize::MAX).await?;
            frames.extend(hits.into_iter().map(|hit| (hit.id, hit.source)));
        }
        frames.sort_by(|(_, one), (_, other)| order(&one.rastro).cmp(&order(&other.rastro)));
        let mut scores: Vec<StoredScores> = Vec::new();
        for (id, frame) in frames {
            let stored = stored(frame, &id)?;
            let count = scores.len();
            match scores.last_mut() {
                Some(last) if belongs(last, &stored) => last.scores.frames.extend(stored.scores.frames),
                _ if query.limit.is_some_and(|limit| count >= limit) => break,
                _ => scores.push(stored),
            }
        }
        Ok(scores)
    }

    /// The single indices behind a name or alias.
    async fn anomaly_indices(&self, target: &str) -> Result<Vec<String>, StoreError> {
        if *target != self.alias(Kind::Anomaly) {
            return Ok(vec![target.to_owned()]);
        }
        self.indices_behind(target).await
    }

    pub(super) async fn top_frames(
        &self,
        query: &ScoreQuery,
        count: usize,
    ) -> Result<Vec<(StoredScores, usize)>, StoreError> {
        if let Some(segment) = query.segment {
            self.segment(segment).await?;
        }
        let (target, mut filter) = self.score_search(query);
        // A figure that is no number is no score.
        filter.push(json!({ "exists": { "field": "rastro.score" } }));
        self.client.refresh(&target).await?;
        let body = json!({
            "size": count.min(MAX_HITS),
            "query": { "bool": { "filter": filter } },
            "sort": [
                { "rastro.score": { "order": "desc", "unmapped_type": "double", "missing": "_last" } },
                { "rastro.place": { "order": "asc", "unmapped_type": "long" } },
                { "rastro.detector": { "order": "asc", "unmapped_type": "keyword" } },
                { "rastro.window": { "order": "asc", "unmapped_type": "integer" } },
                { "rastro.first_call": { "order": "asc", "unmapped_type": "integer" } },
            ],
        });
        let hits = self.client.search::<FrameDocument>(&target, &body).await?;
        hits.into_iter().map(|hit| Ok((stored(hit.source, &hit.id)?, 0))).collect()
    }

    pub(super) async fn alarms(&self, query: &AlarmQuery) -> Result<Vec<Alarm>, StoreError> {
        let index = self.own(Own::Alarms);
        self.client.refresh(&index).await?;
        let mut filter = Vec::new();
        if let Some(dataset) = &query.dataset {
            filter.push(json!({ "term": { "event.dataset": dataset } }));
        }
        if let Some(job) = &query.job {
            filter.push(json!({ "term": { "rastro.job": job } }));
        }
        if let Some(container) = &query.container {
            filter.push(json!({ "bool": { "should": [
                { "term": { "container.id": container } }, { "term": { "container.name": container } },
            ], "minimum_should_match": 1 } }));
        }
        let mut alarms: Vec<Alarm> = Vec::new();
        let limit = query.limit.unwrap_or(usize::MAX);
        let mut after: Option<Value> = None;
        while alarms.len() < limit {
            let size = (limit - alarms.len()).min(1_000);
            let mut body = json!({
                "size": size,
                "query": { "bool": { "filter": filter } },
                "sort": [{ "@timestamp": "desc" }, { "rastro.alarm.id": "desc" }, { "rastro.job": "asc" }],
            });
            if let Some(after) = &after {
                body["search_after"] = after.clone();
            }
            let hits = self.client.search::<SortedAlarm>(&index, &body).await?;
            let is_last = hits.len() < size;
            after = hits.last().map(|hit| {
                json!([hit.source.timestamp, hit.source.rastro.alarm.content.id, hit.source.rastro.job])
            });
            alarms.extend(hits.into_iter().map(|hit| hit.source.rastro.alarm.content));
            if is_last {
                break;
            }
        }
        Ok(alarms)
    }

    pub(super) async fn alarm(&self, id: &AlarmId) -> Result<Alarm, StoreError> {
        let index = self.own(Own::Alarms);
        if let Some(hit) = self.client.get::<AlarmDocument>(&index, &format!("live {id}")).await? {
            return Ok(hit.source.rastro.alarm.content);
        }
        self.client.refresh(&index).await?;
        let body = json!({
            "size": 1,
            "query": { "term": { "rastro.alarm.id": id } },
            "sort": [{ "event.ingested": "desc" }],
        });
        let mut hits = self.client.search::<AlarmDocument>(&index, &body).await?;
        hits.pop().map(|hit| hit.source.rastro.alarm.content).ok_or_else(|| StoreError::NotFound {
            kind: "alarm",
            name: id.0.clone(),
            hint: "`rastro alarms` lists what there is",
        })
    }
}

#[derive(Debug, Deserialize)]
struct SortedAlarm {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    rastro: SortedAlarmPart,
}

#[derive(Debug, Deserialize)]
struct SortedAlarmPart {
    job: String,
    alarm: AlarmContent,
}

/// The order of scores: one analysis after the other, each in the order of its index.
fn order(frame: &FramePart) -> (&str, &str, u64, StreamId, &str, u32, u32) {
    (
        &frame.index,
        &frame.job,
        frame.place,
        frame.segment.stream,
        &frame.detector,
        frame.window,
        frame.first_call,
    )
}

fn belongs(last: &StoredScores, next: &StoredScores) -> bool {
    last.job == next.job
        && last.index == next.index
        && last.scores.segment == next.scores.segment
        && last.scores.detector == next.scores.detector
        && last.scores.window == next.scores.window
}

fn stored(document: FrameDocument, id: &str) -> Result<StoredScores, StoreError> {
    let frame = document.rastro;
    let bytes = to_bytes(&frame.frame, "score", id)?;
    let scores = frames::decode(&bytes, frame.segment, frame.detector, frame.window)
        .map_err(|error| damaged("score", id, &error))?;
    Ok(StoredScores {
        job: frame.job,
        index: frame.index,
        node: document.node,
        container: Container { id: document.container, name: document.container_name, image: document.image },
        scores,
    })
}

fn frame_item(
    index: &str,
    batch: &AnalysisBatch,
    scores: &SegmentScores,
    frame: &FrameScore,
    located: &Located,
) -> Result<Item, StoreError> {
    let id = format!(
        "{} {} {} {} {}",
        batch.job, scores.segment, scores.detector, scores.window, frame.first_call
    );
    let single = SegmentScores { frames: vec![frame.clone()], ..without_frames(scores) };
    let bytes = frames::encode(&single).map_err(|error| damaged("score", &id, &error))?;
    let origin = &located.origin;
    let finite = |value: f64| value.is_finite().then_some(value);
    let document = FrameDocument {
        timestamp: time_text(frame.start_ns),
        start: time_text(frame.start_ns),
        end: time_text(frame.end_ns),
        ingested: super::documents::now_text(),
        dataset: origin.dataset.clone(),
        container: origin.container.id.clone(),
        container_name: origin.container.name.clone(),
        image: origin.container.image.clone(),
        node: origin.node.clone(),
        rastro: FramePart {
            segment: scores.segment,
            place: located.place,
            job: batch.job.clone(),
            index: batch.index.clone(),
            detector: scores.detector.clone(),
            window: scores.window,
            profile: scores.profile.clone(),
            score: finite(frame.score),
            raw: finite(frame.raw),
            threshold: finite(scores.threshold),
            alarm: frame.alarm,
            lossy: frame.lossy,
            learning: frame.learning,
            first_call: frame.first_call,
            calls: frame.calls,
            windows: frame.windows,
            unseen: frame.unseen,
            reasons: frame.reasons.iter().map(reason_text).collect(),
            frame: to_text(&bytes),
        },
    };
    Ok(Item { index: index.to_owned(), source: source(&document, "score", &id)?, id, action: Action::Index })
}

fn without_frames(scores: &SegmentScores) -> SegmentScores {
    SegmentScores {
        segment: scores.segment,
        detector: scores.detector.clone(),
        window: scores.window,
        profile: scores.profile.clone(),
        threshold: scores.threshold,
        frames: Vec::new(),
    }
}

/// A reason as one line, for searches and tables; the reason itself is kept with the frame.
fn reason_text(reason: &rastro_model::Reason) -> String {
    serde_json::to_string(reason).unwrap_or_default()
}

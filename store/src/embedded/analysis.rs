//! What the analyzer leaves behind: scores, alarms, and its place.

use std::rc::Rc;

use rastro_model::{Alarm, AlarmId, Container, Position, SegmentId, SegmentScores, StreamId, dataset};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, types::Value};

use super::{
    failure::Failure,
    names::{index_id, not_found, read_container},
    segments,
};
use crate::{AlarmQuery, AnalysisBatch, ScoreQuery, StoreError, StoredScores, frames};

/// A batch as it will be stored.
pub(super) struct PreparedBatch {
    job: String,
    index: String,
    scores: Vec<PreparedScores>,
    alarms: Vec<(Alarm, Vec<u8>)>,
    place: Option<(u64, Vec<u8>)>,
}

struct PreparedScores {
    segment: SegmentId,
    detector: String,
    window: u32,
    highest: f64,
    frames: Vec<u8>,
}

/// Encodes a batch.
pub(super) fn prepare(batch: &AnalysisBatch) -> Result<PreparedBatch, StoreError> {
    let unwritable = |name: String| {
        move |error: serde_json::Error| StoreError::Damaged {
            what: "score",
            name,
            message: error.to_string(),
        }
    };
    Ok(PreparedBatch {
        job: batch.job.clone(),
        index: batch.index.clone(),
        scores: batch
            .scores
            .iter()
            .map(|scores| {
                Ok(PreparedScores {
                    segment: scores.segment,
                    detector: scores.detector.clone(),
                    window: scores.window,
                    highest: highest(scores),
                    frames: frames::encode(scores).map_err(unwritable(scores.segment.to_string()))?,
                })
            })
            .collect::<Result<_, StoreError>>()?,
        alarms: batch
            .alarms
            .iter()
            .map(|alarm| {
                Ok((alarm.clone(), serde_json::to_vec(alarm).map_err(unwritable(alarm.id.to_string()))?))
            })
            .collect::<Result<_, StoreError>>()?,
        place: batch.place.clone(),
    })
}

/// Highest score of a frame; below every score if there is none, since SQLite holds no NaN.
fn highest(scores: &SegmentScores) -> f64 {
    scores.frames.iter().map(|frame| frame.score).filter(|score| !score.is_nan()).fold(f64::MIN, f64::max)
}

/// Puts a batch into the file.
pub(super) fn insert(transaction: &Transaction<'_>, batch: PreparedBatch) -> Result<(), Failure> {
    let (index, _) = index_id(transaction, &batch.index)?;
    transaction
        .prepare_cached(
            "INSERT OR IGNORE INTO analyses (dataset_index, job, anomaly_index) VALUES (?, ?, ?)",
        )?
        .execute(params![index, batch.job, dataset::anomaly_index(&batch.index)])?;
    let analysis: i64 = transaction
        .prepare_cached("SELECT id FROM analyses WHERE dataset_index = ? AND job = ?")?
        .query_row(params![index, batch.job], |row| row.get(0))?;

    for scores in batch.scores {
        let located = segments::locate(transaction, scores.segment)?
            .filter(|located| located.index == index)
            .ok_or_else(|| segments::missing(scores.segment))?;
        transaction
            .prepare_cached(
                "INSERT INTO scores (analysis, place, detector, window, highest, frames) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (analysis, place, detector, window) DO UPDATE SET highest = ?5, frames = ?6",
            )?
            .execute(params![
                analysis,
                located.place,
                scores.detector,
                scores.window,
                scores.highest,
                scores.frames
            ])?;
    }
    for (alarm, json) in batch.alarms {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO alarms (analysis, id, start_ns, container, container_name, alarm)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                analysis,
                alarm.id.0,
                alarm.start_ns,
                alarm.container.id,
                alarm.container.name,
                json
            ])?;
    }
    if let Some((place, state)) = batch.place {
        transaction
            .prepare_cached("UPDATE analyses SET place = ?, state = ? WHERE id = ?")?
            .execute(params![place.cast_signed(), state, analysis])?;
    }
    Ok(())
}

/// The place that a job has reached.
pub(super) fn place(
    connection: &Connection,
    job: &str,
    index: &str,
) -> Result<Option<(u64, Vec<u8>)>, Failure> {
    let place = connection
        .prepare_cached(
            "SELECT place, state FROM analyses JOIN indices ON indices.id = dataset_index
             WHERE job = ? AND name = ? AND place IS NOT NULL",
        )?
        .query_row([job, index], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))
        .optional()?;
    Ok(place)
}

/// Conditions of a query, collected one by one.
#[derive(Default)]
struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    fn add(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.text.push_str(if self.text.is_empty() { " WHERE " } else { " AND " });
        self.text.push_str(condition);
        self.values.extend(values);
    }

    fn add_text(&mut self, condition: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(condition, [Value::Text(value.clone())]);
        }
    }
}

/// The analyses that a query chooses, by index and job.
fn analyses(connection: &Connection, query: &ScoreQuery) -> Result<Vec<i64>, Failure> {
    let mut conditions = Conditions::default();
    conditions.add_text("datasets.name = ?", query.dataset.as_ref());
    conditions.add_text("indices.name = ?", query.index.as_ref());
    conditions.add_text("job = ?", query.job.as_ref());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT analyses.id FROM analyses JOIN indices ON indices.id = dataset_index
             JOIN datasets ON datasets.id = indices.dataset
         {} ORDER BY indices.name, job",
        conditions.text
    ))?;
    let analyses = statement.query_map(rusqlite::params_from_iter(conditions.values), |row| row.get(0))?;
    Ok(analyses.collect::<Result<_, _>>()?)
}

/// Scores of one analysis, of one segment or (place NULL) of all. The orders that are asked for are those of the two indices of
/// the table, so that nothing is sorted and reading may stop early.
fn select_scores(order: &str) -> String {
    format!(
        "SELECT job, indices.name, node, identity, containers.name, image, streams.stream, segments.generation,
             segments.byte_offset, part, detector, window, frames, scores.place, highest
         FROM scores CROSS JOIN analyses ON analyses.id = scores.analysis
             JOIN indices ON indices.id = analyses.dataset_index
             JOIN segments ON segments.place = scores.place
             JOIN streams ON streams.id = segments.stream
             JOIN origins ON origins.id = origin JOIN containers ON containers.id = container
         WHERE scores.analysis = ?1 {order}"
    )
}

/// The row of the segment that a query asks for; `None` if it asks for all, an error if there is no such segment.
fn place_of_query(connection: &Connection, query: &ScoreQuery) -> Result<Option<i64>, Failure> {
    let located =
        query.segment.map(|id| segments::locate(connection, id)?.ok_or_else(|| segments::missing(id)));
    Ok(located.transpose()?.map(|located| located.place))
}

fn read_scores(row: &Row<'_>) -> Result<StoredScores, Failure> {
    let segment = SegmentId {
        stream: StreamId(row.get::<_, i64>(6)?.cast_unsigned()),
        start: Position::new(row.get(7)?, row.get(8)?),
        part: row.get(9)?,
    };
    let blob = row.get_ref(12)?.as_blob().map_err(rusqlite::Error::from)?;
    let scores =
        frames::decode(blob, segment, row.get(10)?, row.get(11)?).map_err(|error| StoreError::Damaged {
            what: "scores of segment",
            name: segment.to_string(),
            message: error.to_string(),
        })?;
    let container: Container = read_container(row, 3)?;
    Ok(StoredScores { job: row.get(0)?, index: row.get(1)?, node: row.get(2)?, container, scores })
}

/// Scores in the order of the index, one analysis after the other.
pub(super) fn scores(connection: &Connection, query: &ScoreQuery) -> Result<Vec<StoredScores>, Failure> {
    let place = place_of_query(connection, query)?;
    let of_segment = if place.is_some() { "AND scores.place = ?2" } else { "AND ?2 IS NULL" };
    let limit = query.limit.unwrap_or(usize::MAX);
    let mut statement = connection
        .prepare_cached(&select_scores(&format!("{of_segment} ORDER BY scores.place, detector, window")))?;
    let mut scores = Vec::new();
    for analysis in analyses(connection, query)? {
        let mut rows = statement.query(params![analysis, place])?;
        while scores.len() < limit
            && let Some(row) = rows.next()?
        {
            scores.push(read_scores(row)?);
        }
    }
    Ok(scores)
}

/// No limit is -1 in SQLite.
fn limit(limit: Option<usize>) -> Value {
    Value::Integer(limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX)))
}

/// The frames with the highest scores.
///
/// Segments come in the order of their best frame, so that reading can stop once no further frame can be among the best: however
/// long the index is, hardly more segments are read than frames are asked for.
pub(super) fn top_frames(
    connection: &Connection,
    query: &ScoreQuery,
    count: usize,
) -> Result<Vec<(StoredScores, usize)>, Failure> {
    let wanted_place = place_of_query(connection, query)?;
    let mut statement = connection.prepare_cached(&select_scores(
        "AND ifnull(scores.place = ?2, 1) ORDER BY highest DESC, scores.place, detector, window",
    ))?;
    // Best first; among equals the order of the index.
    let mut best: Vec<(f64, i64, usize, Rc<StoredScores>)> = Vec::new();
    for analysis in analyses(connection, query)? {
        let mut rows = statement.query(params![analysis, wanted_place])?;
        while let Some(row) = rows.next()? {
            let (place, highest): (i64, f64) = (row.get(13)?, row.get(14)?);
            let is_worse_than_last = best.last().is_none_or(|(score, last_place, ..)| {
                highest < *score || (highest <= *score && place > *last_place)
            });
            if best.len() >= count && is_worse_than_last {
                break;
            }
            let stored = Rc::new(read_scores(row)?);
            for (number, frame) in stored.scores.frames.iter().enumerate() {
                let rank = best.partition_point(|(score, other, _, _)| {
                    *score > frame.score || (*score >= frame.score && *other <= place)
                });
                if rank < count && !frame.score.is_nan() {
                    best.insert(rank, (frame.score, place, number, Rc::clone(&stored)));
                    best.truncate(count);
                }
            }
        }
    }
    Ok(best.into_iter().map(|(_, _, number, stored)| (Rc::unwrap_or_clone(stored), number)).collect())
}

/// Alarms, most recent first.
pub(super) fn alarms(connection: &Connection, query: &AlarmQuery) -> Result<Vec<Alarm>, Failure> {
    let mut conditions = Conditions::default();
    conditions.add_text("datasets.name = ?", query.dataset.as_ref());
    conditions.add_text("job = ?", query.job.as_ref());
    if let Some(container) = &query.container {
        let value = Value::Text(container.clone());
        conditions.add("(container = ? OR container_name = ?)", [value.clone(), value]);
    }
    conditions.values.push(limit(query.limit));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT alarms.id, alarm FROM alarms JOIN analyses ON analyses.id = analysis
             JOIN indices ON indices.id = dataset_index JOIN datasets ON datasets.id = indices.dataset
         {} ORDER BY alarms.start_ns DESC, alarms.id DESC, analysis LIMIT ?",
        conditions.text
    ))?;
    let mut rows = statement.query(rusqlite::params_from_iter(conditions.values))?;
    let mut alarms = Vec::new();
    while let Some(row) = rows.next()? {
        alarms.push(read_alarm(row)?);
    }
    Ok(alarms)
}

fn read_alarm(row: &Row<'_>) -> Result<Alarm, Failure> {
    let json = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
    let name: String = row.get(0)?;
    Ok(serde_json::from_slice(json).map_err(|error| StoreError::Damaged {
        what: "alarm",
        name,
        message: error.to_string(),
    })?)
}

/// One alarm; that of the live analysis, if several jobs found it.
pub(super) fn alarm(connection: &Connection, id: &AlarmId) -> Result<Alarm, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT alarms.id, alarm FROM alarms JOIN analyses ON analyses.id = analysis
         WHERE alarms.id = ? ORDER BY job = 'live' DESC, analysis DESC LIMIT 1",
    )?;
    let mut rows = statement.query([&id.0])?;
    match rows.next()? {
        Some(row) => read_alarm(row),
        None => Err(not_found("alarm", &id.0, "`rastro alarms` lists what there is")),
    }
}

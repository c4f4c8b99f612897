//! Reading segments.

use std::collections::HashMap;

use rastro_model::{Container, Position, Segment, SegmentId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    chunks::read_gap,
    failure::Failure,
    names::{index_id, not_found, read_container},
};
use crate::{
    Columns, StoreError, StoredSegment,
    columns::{self, Envelope},
};

/// Where a segment comes from.
#[derive(Clone)]
struct Origin {
    node: String,
    architecture: String,
    container: Container,
}

/// A page of an index.
pub(super) fn page(
    connection: &Connection,
    index: &str,
    after: u64,
    max_calls: usize,
    columns: Columns,
) -> Result<Vec<StoredSegment>, Failure> {
    let (index_id, dataset) = index_id(connection, index)?;
    let rest = match columns {
        Columns::Sequence => "NULL",
        Columns::All => "segments.rest",
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT place, streams.stream, segments.generation, segments.byte_offset, part, origin, calls, gap, sequence, {rest}
         FROM segments JOIN streams ON streams.id = segments.stream
         WHERE dataset_index = ? AND place > ? ORDER BY place"
    ))?;
    let mut rows = statement.query(params![index_id, i64::try_from(after).unwrap_or(i64::MAX)])?;
    let mut origins: HashMap<i64, Origin> = HashMap::new();
    let mut page = Vec::new();
    let mut calls = 0_usize;
    while calls < max_calls.max(1)
        && let Some(row) = rows.next()?
    {
        let origin_id: i64 = row.get(5)?;
        let origin = if let Some(origin) = origins.get(&origin_id) {
            origin.clone()
        } else {
            let origin = read_origin(connection, origin_id)?;
            origins.insert(origin_id, origin.clone());
            origin
        };
        calls = calls.saturating_add(row.get::<_, i64>(6)?.max(1) as usize);
        let place = row.get::<_, i64>(0)?.cast_unsigned();
        page.push(StoredSegment { place, segment: read_segment(row, 1, origin, &dataset, index)? });
    }
    Ok(page)
}

fn read_origin(connection: &Connection, id: i64) -> Result<Origin, Failure> {
    let origin = connection
        .prepare_cached(
            "SELECT node, architecture, identity, name, image
             FROM origins JOIN containers ON containers.id = origins.container WHERE origins.id = ?",
        )?
        .query_row([id], |row| {
            Ok(Origin { node: row.get(0)?, architecture: row.get(1)?, container: read_container(row, 2)? })
        })?;
    Ok(origin)
}

/// A segment from a row in which `first` and what follows are: stream, generation, offset, part, origin, calls, gap, sequence, rest.
fn read_segment(
    row: &Row<'_>,
    first: usize,
    origin: Origin,
    dataset: &str,
    index: &str,
) -> Result<Segment, Failure> {
    let id = SegmentId {
        stream: rastro_model::StreamId(row.get::<_, i64>(first)?.cast_unsigned()),
        start: Position::new(row.get(first + 1)?, row.get(first + 2)?),
        part: row.get(first + 3)?,
    };
    let damaged = |message: String| StoreError::Damaged { what: "segment", name: id.to_string(), message };
    let gap = row
        .get_ref(first + 6)?
        .as_blob_or_null()
        .map_err(rusqlite::Error::from)?
        .map(|bytes| read_gap(bytes).map_err(|error| damaged(error.to_string())))
        .transpose()?;
    let envelope = Envelope {
        id,
        dataset: dataset.to_owned(),
        index: index.to_owned(),
        node: origin.node,
        architecture: origin.architecture,
        container: origin.container,
        gap,
    };
    let sequence = row.get_ref(first + 7)?.as_blob().map_err(rusqlite::Error::from)?;
    let rest = row.get_ref(first + 8)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(columns::decode(envelope, sequence, rest).map_err(|error| damaged(error.to_string()))?)
}

/// Row number of a segment, with the numbers of its index and stream and the id of its container.
pub(super) struct Located {
    pub(super) place: i64,
    pub(super) index: i64,
    stream: i64,
    container: String,
}

/// Finds a segment.
pub(super) fn locate(connection: &Connection, id: SegmentId) -> Result<Option<Located>, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT place, dataset_index, segments.stream, identity
             FROM streams JOIN segments ON segments.stream = streams.id
                 JOIN origins ON origins.id = origin JOIN containers ON containers.id = container
             WHERE streams.stream = ? AND segments.generation = ? AND segments.byte_offset = ? AND part = ?",
        )?
        .query_row(
            params![
                id.stream.0.cast_signed(),
                id.start.generation.cast_signed(),
                id.start.offset.cast_signed(),
                id.part
            ],
            |row| {
                Ok(Located {
                    place: row.get(0)?,
                    index: row.get(1)?,
                    stream: row.get(2)?,
                    container: row.get(3)?,
                })
            },
        )
        .optional()?)
}

fn at_place(connection: &Connection, place: i64) -> Result<Segment, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT streams.stream, segments.generation, segments.byte_offset, part, origin, segments.calls, gap, sequence, rest,
             datasets.name, indices.name
         FROM segments JOIN streams ON streams.id = segments.stream
             JOIN indices ON indices.id = dataset_index JOIN datasets ON datasets.id = indices.dataset
         WHERE place = ?",
    )?;
    let mut rows = statement.query([place])?;
    let Some(row) = rows.next()? else {
        return Err(rusqlite::Error::QueryReturnedNoRows.into());
    };
    let origin = read_origin(connection, row.get(4)?)?;
    let (dataset, index): (String, String) = (row.get(9)?, row.get(10)?);
    read_segment(row, 0, origin, &dataset, &index)
}

/// One segment.
pub(super) fn one(connection: &Connection, id: SegmentId) -> Result<Segment, Failure> {
    let located = locate(connection, id)?.ok_or_else(|| missing(id))?;
    at_place(connection, located.place)
}

pub(super) fn missing(id: SegmentId) -> Failure {
    not_found(
        "segment",
        &id.to_string(),
        "its dataset may have been deleted; `rastro datasets` lists what there is",
    )
}

/// The segment of the same stream, container and index before another.
pub(super) fn before(connection: &Connection, id: SegmentId) -> Result<Option<Segment>, Failure> {
    let located = locate(connection, id)?.ok_or_else(|| missing(id))?;
    let place: Option<i64> = connection
        .prepare_cached(
            "SELECT place FROM segments JOIN origins ON origins.id = origin JOIN containers ON containers.id = container
             WHERE segments.stream = ?1 AND (generation, byte_offset) < (?2, ?3) AND dataset_index = ?4 AND identity = ?5
             ORDER BY generation DESC, byte_offset DESC LIMIT 1",
        )?
        .query_row(
            params![
                located.stream,
                id.start.generation.cast_signed(),
                id.start.offset.cast_signed(),
                located.index,
                located.container
            ],
            |row| row.get(0),
        )
        .optional()?;
    place.map(|place| at_place(connection, place)).transpose()
}

/// The highest place ever given.
pub(super) fn newest_place(connection: &Connection) -> Result<u64, Failure> {
    let newest: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'segments'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(newest.unwrap_or(0).cast_unsigned())
}

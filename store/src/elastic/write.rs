//! Writing chunks so that every call is there once, whatever dies when.
//!
//! Three steps, each of which may be repeated: everything that hangs on the segments; the segments; and, once those are acknowledged, the
//! ledgers of the streams. Documents have ids that follow from the data, so a repeat finds them there. A ledger is the fold over the
//! chunks of its stream and is replaced only if it is still what this writer has read, so of two writers with the same chunk one finds
//! that the other was first, and nothing is counted twice.
//!
//! The place of a segment in its index is the order of writing. Therefore the chunks of one stream go into one request in their order, or
//! into successive ones; requests that are underway at the same time hold different streams (*lanes*). What hangs on segments has no order.

mod fold;
mod items;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rastro_model::{Gap, Position, SegmentId, StreamId};
use serde::Deserialize;
use tokio::task::JoinSet;

use self::{
    fold::{Entry, Written, enter, fold},
    items::segment_items,
};
use super::{
    ElasticStore, Inner,
    bulk::{Action, Item, Outcome},
    documents::{Receipt, SegmentDocument, StreamDocument},
    schema::{Kind, Own},
};
use crate::{
    ChunkOutput, StoreError, WriteReport,
    columns::{self, Blobs},
    ledger::{Extent, Step},
};

/// Documents of so many bytes are sent beside others, fewer behind them.
const WORTH_A_REQUEST: usize = 256 * 1024;

/// How often a writer goes back to the ledger because another one was first.
const MAX_CONFLICTS: usize = 16;

/// Streams whose ledgers are remembered.
const MAX_REMEMBERED: usize = 65_536;

/// A ledger as it was read or written last.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    document: StreamDocument,
    /// Sequence number and term; `None` if there is no document yet.
    version: Option<(u64, u64)>,
}

/// A chunk with its segments encoded.
pub(super) struct Prepared<'output> {
    pub(super) output: &'output ChunkOutput,
    extent: Extent,
    blobs: Vec<Blobs>,
}

/// A chunk that is new, with the gap in front of it.
pub(super) struct Accepted<'output> {
    pub(super) chunk: &'output Prepared<'output>,
    gap: Option<Gap>,
    /// By segment of the chunk: the index that it goes to.
    pub(super) indices: Vec<String>,
}

impl ElasticStore {
    pub(super) async fn write(&self, outputs: &[ChunkOutput]) -> Result<WriteReport, StoreError> {
        // One write at a time: the order of a stream's chunks is the caller's.
        let mut known = self.inner.ledgers.lock().await;
        let prepared = blocking(|| prepare(outputs))?;
        let mut written = Written::default();
        for attempt in 0.. {
            let streams: BTreeSet<StreamId> = outputs.iter().map(|output| output.stream).collect();
            self.inner.read_ledgers(&streams, &mut known).await?;
            written = Written::default();
            let mut folded: BTreeMap<StreamId, Known> = BTreeMap::new();
            let mut accepted = Vec::new();
            for chunk in &prepared {
                let ledger = folded
                    .entry(chunk.output.stream)
                    .or_insert_with_key(|stream| known.get(stream).cloned().unwrap_or_default());
                if let Some(gap) = fold(&mut ledger.document, chunk, &mut written)? {
                    accepted.push(Accepted { chunk, gap, indices: Vec::new() });
                } else if let Some(ledger) = folded.get(&chunk.output.stream)
                    && known.get(&chunk.output.stream).is_some_and(|known| known.document == ledger.document)
                {
                    folded.remove(&chunk.output.stream);
                }
            }
            if accepted.is_empty() {
                break;
            }
            self.inner.choose_indices(&mut accepted).await?;
            if let Some(conflict) = self.inner.write_documents(&accepted).await? {
                // Segments of a chunk with other borders are there, and no ledger knows them: take them in, then say what overlaps.
                let overlap = self.inner.adopt(&conflict, &mut known).await?;
                return Err(overlap);
            }
            if self.inner.write_ledgers(folded, &mut known).await? {
                break;
            }
            if attempt >= MAX_CONFLICTS {
                return Err(StoreError::Unavailable {
                    server: self.inner.client.server(),
                    message: "other transformers keep writing the same streams; it is tried again".to_owned(),
                });
            }
        }
        if known.len() > MAX_REMEMBERED {
            known.clear();
        }
        drop(known);
        written.record();
        Ok(written.report)
    }
}

/// Runs something that takes its time without holding up what else the runtime has to do, where the runtime has other threads.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Encodes all segments, on both halves of the batch at a time where there are cores for it.
fn prepare(outputs: &[ChunkOutput]) -> Result<Vec<Prepared<'_>>, StoreError> {
    let prepare_one = |output| prepare_chunk(output);
    if outputs.len() < 8 {
        return outputs.iter().map(prepare_one).collect();
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let share = outputs.len().div_ceil(cores);
    let parts: Vec<Result<Vec<Prepared<'_>>, StoreError>> = std::thread::scope(|scope| {
        let workers: Vec<_> = outputs
            .chunks(share)
            .map(|outputs| scope.spawn(move || outputs.iter().map(prepare_one).collect()))
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker.join().unwrap_or_else(|_| {
                    Err(StoreError::Damaged {
                        what: "chunk",
                        name: "new".to_owned(),
                        message: "it cannot be encoded; this is a fault in Rastro, please report it"
                            .to_owned(),
                    })
                })
            })
            .collect()
    });
    let mut prepared = Vec::with_capacity(outputs.len());
    for part in parts {
        prepared.extend(part?);
    }
    Ok(prepared)
}

fn prepare_chunk(output: &ChunkOutput) -> Result<Prepared<'_>, StoreError> {
    let positions = [output.start, output.end, output.previous];
    // A `long` ends at 2^63 − 1.
    let storable = |number: u64| i64::try_from(number).is_ok();
    let damaged = |message: String| StoreError::Damaged {
        what: "chunk",
        name: format!("{} at {}", output.path, output.start),
        message,
    };
    if !positions.iter().all(|position| storable(position.generation) && storable(position.offset))
        || !storable(output.first_line)
    {
        return Err(damaged("its position is beyond 2^63".to_owned()));
    }
    Ok(Prepared {
        output,
        extent: Extent {
            start: output.start,
            end: output.end,
            previous: output.previous,
            first_line: output.first_line,
        },
        blobs: output
            .segments
            .iter()
            .map(|segment| columns::encode(segment).map_err(|error| damaged(error.to_string())))
            .collect::<Result<_, _>>()?,
    })
}

/// Segments that are there under the ids of others.
struct Conflict {
    index: String,
    id: SegmentId,
}

impl Inner {
    /// Reads the ledgers that are not remembered.
    async fn read_ledgers(
        &self,
        streams: &BTreeSet<StreamId>,
        known: &mut HashMap<StreamId, Known>,
    ) -> Result<(), StoreError> {
        let missing: Vec<String> =
            streams.iter().filter(|stream| !known.contains_key(stream)).map(ToString::to_string).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let hits = self.client.get_many::<StreamDocument>(&self.own(Own::Streams), &missing, "").await?;
        for hit in hits {
            let document = hit.source.restored(&hit.id)?;
            if let Ok(stream) = hit.id.parse() {
                known.insert(stream, Known { document, version: Some((hit.sequence, hit.term)) });
            }
        }
        for stream in streams {
            known.entry(*stream).or_default();
        }
        Ok(())
    }

    /// Writes the documents of chunks. If segments of other content are there under their ids, the first of them.
    async fn write_documents(
        self: &std::sync::Arc<Self>,
        accepted: &[Accepted<'_>],
    ) -> Result<Option<Conflict>, StoreError> {
        for chunk in accepted {
            for (segment, index) in chunk.chunk.output.segments.iter().zip(&chunk.indices) {
                self.ensure_index(&segment.dataset, index, Kind::Segments).await?;
            }
            self.ensure_derived(chunk).await?;
        }
        let mut beside = Vec::new();
        for chunk in accepted {
            self.items_beside(chunk, &mut beside)?;
        }
        for (items, outcomes) in self.write_lanes(self.spread(beside)).await? {
            self.keep_unfit_aside(accepted, &items, &outcomes).await?;
        }
        let segments = self.lanes_of_segments(accepted)?;
        let mut conflicts: BTreeMap<String, Vec<(String, Position)>> = BTreeMap::new();
        let ends: HashMap<String, Position> = accepted
            .iter()
            .flat_map(|chunk| &chunk.chunk.output.segments)
            .map(|segment| (segment.id.to_string(), segment.end))
            .collect();
        for (items, outcomes) in self.write_lanes(segments).await? {
            for (item, outcome) in items.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Written { .. } | Outcome::Missing => {}
                    Outcome::Conflict => {
                        let end = ends.get(&item.id).copied().unwrap_or_default();
                        conflicts.entry(item.index).or_default().push((item.id, end));
                    }
                    Outcome::Unfit(words) => {
                        return Err(StoreError::Refused {
                            server: self.client.server(),
                            message: format!(
                                "index `{}` does not take a segment ({words}); its mapping is not Rastro's, or of another version: remove \
                                 the index or name the dataset otherwise, or run `rastro migrate`",
                                item.index
                            ),
                        });
                    }
                }
            }
        }
        self.first_of_other_borders(conflicts).await
    }

    /// Of segments that were there already, the first one that is not the same: repeats are, and need no second look.
    async fn first_of_other_borders(
        &self,
        conflicts: BTreeMap<String, Vec<(String, Position)>>,
    ) -> Result<Option<Conflict>, StoreError> {
        #[derive(Deserialize)]
        struct Ends {
            rastro: EndPart,
        }
        #[derive(Deserialize)]
        struct EndPart {
            end: Position,
        }
        let mut first: Option<Conflict> = None;
        for (index, expected) in conflicts {
            let ids: Vec<String> = expected.iter().map(|(id, _)| id.clone()).collect();
            let found = self.client.get_many::<Ends>(&index, &ids, "rastro.end").await?;
            let ends: HashMap<String, Position> = expected.into_iter().collect();
            for hit in found {
                if ends.get(&hit.id) == Some(&hit.source.rastro.end) {
                    continue;
                }
                if let Ok(id) = hit.id.parse::<SegmentId>()
                    && first
                        .as_ref()
                        .is_none_or(|first| (id.stream, id.start) < (first.id.stream, first.id.start))
                {
                    first = Some(Conflict { index: hit.index, id });
                }
            }
        }
        Ok(first)
    }

    /// Takes a chunk into the ledger whose segments are stored and which its writer could not enter. Returns the overlap that it makes.
    async fn adopt(
        &self,
        conflict: &Conflict,
        known: &mut HashMap<StreamId, Known>,
    ) -> Result<StoreError, StoreError> {
        let stream = conflict.id.stream;
        known.remove(&stream);
        self.read_ledgers(&BTreeSet::from([stream]), known).await?;
        let mut ledger = known.get(&stream).cloned().unwrap_or_default();
        let first = SegmentId { part: 0, ..conflict.id }.to_string();
        let alias = self.alias(Kind::Segments);
        self.client.refresh(&alias).await?;
        let query = serde_json::json!({ "bool": { "filter": [
            { "term": { "rastro.stream": stream.to_string() } },
            { "term": { "rastro.generation": conflict.id.start.generation } },
            { "term": { "log.offset": conflict.id.start.offset } },
        ] } });
        let body = serde_json::json!({ "size": 1000, "query": query, "sort": [{ "rastro.part": "asc" }] });
        let hits = self.client.search::<SegmentDocument>(&alias, &body).await?;
        let mut receipt: Option<Receipt> = None;
        let mut segments = Vec::new();
        for hit in hits {
            if hit.id == first {
                receipt = hit.source.receipt(&hit.id)?;
            }
            segments.push(hit.source.segment(&hit.id, &hit.index)?);
        }
        let receipt =
            receipt.filter(|receipt| receipt.parts as usize == segments.len()).ok_or_else(|| {
                StoreError::Unavailable {
                    server: self.client.server(),
                    message: format!(
                        "segment {first} in `{}` is being written by someone else; it is tried again",
                        conflict.index
                    ),
                }
            })?;
        let extent: Extent = receipt.extent.into();
        if let Step::Next(gap) = ledger.document.end().step(extent, receipt.gap.as_ref()) {
            let entry = Entry {
                dataset: &receipt.dataset,
                path: &receipt.path,
                tally: receipt.tally,
                next_line: receipt.next_line,
                end: extent.end,
            };
            enter(&mut ledger.document, &entry, &segments, gap, &mut Written::default());
            tracing::info!(%stream, end = %extent.end, "took a chunk into the ledger that another transformer had left");
            self.write_ledgers(BTreeMap::from([(stream, ledger)]), known).await?;
        }
        let end = known.get(&stream).map(|known| known.document.end()).unwrap_or_default();
        Ok(StoreError::Overlap { stream, known: end.position, next_line: end.next_line })
    }

    /// Items without an order in as many lanes as are worth a request of their own.
    fn spread(&self, items: Vec<Item>) -> Vec<Vec<Item>> {
        let bytes: usize = items.iter().map(|item| item.source.len()).sum();
        let lanes = (bytes / WORTH_A_REQUEST).clamp(1, self.config.bulk_concurrency.max(1));
        let share = items.len().div_ceil(lanes).max(1);
        let mut items = items.into_iter().peekable();
        std::iter::from_fn(|| {
            items.peek()?;
            Some(items.by_ref().take(share).collect())
        })
        .collect()
    }

    /// The segments of all chunks in as many lanes as requests may be underway, each stream in one lane.
    fn lanes_of_segments(&self, accepted: &[Accepted<'_>]) -> Result<Vec<Vec<Item>>, StoreError> {
        let mut lanes: Vec<Vec<Item>> = vec![Vec::new(); self.config.bulk_concurrency.max(1)];
        let count = lanes.len() as u64;
        for chunk in accepted {
            segment_items(chunk, &mut lanes[(chunk.chunk.output.stream.0 % count) as usize])?;
        }
        Ok(lanes)
    }

    /// Writes all lanes at the same time. The first error counts, once all have ended.
    async fn write_lanes(
        self: &std::sync::Arc<Self>,
        lanes: Vec<Vec<Item>>,
    ) -> Result<Vec<(Vec<Item>, Vec<Outcome>)>, StoreError> {
        let mut tasks = JoinSet::new();
        for items in lanes.into_iter().filter(|items| !items.is_empty()) {
            let inner = std::sync::Arc::clone(self);
            tasks.spawn(async move {
                let outcomes = inner.client.bulk(&items, inner.config.bulk_bytes).await;
                (items, outcomes)
            });
        }
        let mut done = Vec::new();
        let mut failure = None;
        while let Some(ended) = tasks.join_next().await {
            match ended {
                Ok((items, Ok(outcomes))) => done.push((items, outcomes)),
                Ok((_, Err(error))) => failure = Some(error),
                Err(error) => {
                    failure = Some(StoreError::Unavailable {
                        server: self.client.server(),
                        message: format!("a bulk write has ended early: {error}"),
                    });
                }
            }
        }
        failure.map_or(Ok(done), Err)
    }

    /// Writes ledgers if they are still what was read. `false` if another writer was first with one of them.
    async fn write_ledgers(
        &self,
        ledgers: BTreeMap<StreamId, Known>,
        known: &mut HashMap<StreamId, Known>,
    ) -> Result<bool, StoreError> {
        let writer = self.next_token();
        let streams: Vec<StreamId> = ledgers.keys().copied().collect();
        let items: Vec<Item> = ledgers
            .iter()
            .map(|(stream, ledger)| {
                Ok(Item {
                    index: self.own(Own::Streams),
                    id: stream.to_string(),
                    action: ledger
                        .version
                        .map_or(Action::Create, |(sequence, term)| Action::Replace { sequence, term }),
                    source: ledger.document.to_source(&writer, *stream)?,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        // Whatever goes wrong from here on, what is remembered may be wrong.
        for stream in &streams {
            known.remove(stream);
        }
        let outcomes = self.client.bulk(&items, self.config.bulk_bytes).await?;
        let mut all_written = true;
        for ((stream, ledger), outcome) in ledgers.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Written { sequence, term } => {
                    known.insert(stream, Known { version: Some((sequence, term)), ..ledger });
                }
                Outcome::Conflict | Outcome::Missing => all_written = false,
                Outcome::Unfit(words) => {
                    return Err(StoreError::Refused {
                        server: self.client.server(),
                        message: format!(
                            "index `{}` does not take the ledger of stream {stream} ({words}); run `rastro migrate`",
                            self.own(Own::Streams)
                        ),
                    });
                }
            }
        }
        Ok(all_written)
    }
}

//! The documents of a chunk, as items of bulk requests.

use super::Accepted;
use crate::{
    Rendered, RenderedKind, StoreError,
    elastic::{
        Inner,
        bulk::{Action, Item, Outcome},
        documents::{Receipt, RollupDocument, SegmentDocument, now_text, source, to_text},
        schema::{Kind, Own},
    },
};

impl Inner {
    /// Everything that hangs on the segments of a chunk.
    pub(super) fn items_beside(
        &self,
        accepted: &Accepted<'_>,
        items: &mut Vec<Item>,
    ) -> Result<(), StoreError> {
        let output = accepted.chunk.output;
        let index_of = |name: &str| -> Option<&String> {
            output
                .segments
                .iter()
                .zip(&accepted.indices)
                .find(|(segment, _)| segment.index == name)
                .map(|(_, index)| index)
        };
        let node = output.segments.first().map(|segment| segment.node.as_str()).unwrap_or_default();
        for (number, rollup) in output.rollups.iter().enumerate() {
            let Some(index) = index_of(&rollup.index) else { continue };
            items.push(Item {
                index: Kind::Rollup.index(index),
                id: format!("{}-{}-{number}", output.stream, output.start),
                action: Action::Create,
                source: source(&RollupDocument::new(rollup, node), "rollup", &output.path)?,
            });
        }
        for letter in &output.dead_letters {
            items.push(self.dead_letter(&output.dataset, letter)?);
        }
        let ingested = format!(",\"event.ingested\":\"{}\"}}", now_text());
        for rendered in &output.rendered {
            let Some(place) = output.segments.iter().position(|segment| segment.id == rendered.segment)
            else {
                continue;
            };
            let index = kind_of(rendered.kind).index(&accepted.indices[place]);
            rendered_items(rendered, &index, &ingested, items);
        }
        Ok(())
    }

    /// What does not fit the mapping of its index is kept beside it, with the reason.
    pub(super) async fn keep_unfit_aside(
        &self,
        accepted: &[Accepted<'_>],
        items: &[Item],
        outcomes: &[Outcome],
    ) -> Result<(), StoreError> {
        let mut aside = Vec::new();
        for (item, outcome) in items.iter().zip(outcomes) {
            let Outcome::Unfit(words) = outcome else { continue };
            let text = &item.source[..item.source.len().min(64 * 1024)];
            let document = serde_json::json!({
                "dataset": dataset_of(accepted, &item.index),
                "stream": item.id.split('-').next().unwrap_or_default(),
                "line": 0, "generation": 0, "offset": 0,
                "reason": format!("index `{}` does not take the document `{}`: {words}", item.index, item.id),
                "message": String::from_utf8_lossy(text),
                "text": to_text(text),
                "event": { "ingested": now_text() },
            });
            aside.push(Item {
                index: self.own(Own::DeadLetters),
                id: format!("unfit-{}-{}", item.index, item.id),
                action: Action::Create,
                source: source(&document, "dead letter", &item.id)?,
            });
        }
        if aside.is_empty() {
            return Ok(());
        }
        metrics::counter!("rastro_store_unfit_documents_total").increment(aside.len() as u64);
        tracing::warn!(
            documents = aside.len(),
            "documents do not fit the mapping of their index; they are kept as dead letters"
        );
        self.client.bulk(&aside, self.config.bulk_bytes).await.map(drop)
    }

    /// Makes the indices beside the segments' that a chunk needs.
    pub(super) async fn ensure_derived(&self, accepted: &Accepted<'_>) -> Result<(), StoreError> {
        let output = accepted.chunk.output;
        for (segment, index) in output.segments.iter().zip(&accepted.indices) {
            if output.rollups.iter().any(|rollup| rollup.index == segment.index) {
                self.ensure_index(&segment.dataset, index, Kind::Rollup).await?;
            }
            for rendered in output.rendered.iter().filter(|rendered| rendered.segment == segment.id) {
                self.ensure_index(&segment.dataset, index, kind_of(rendered.kind)).await?;
            }
        }
        Ok(())
    }
}

/// Dataset of an index beside one of the segments'.
fn dataset_of<'chunks>(accepted: &'chunks [Accepted<'_>], index: &'chunks str) -> &'chunks str {
    let mut segments =
        accepted.iter().flat_map(|chunk| chunk.chunk.output.segments.iter().zip(&chunk.indices));
    let is_beside = |own: &str| Kind::ALL.iter().any(|kind| kind.dataset_index(index) == Some(own));
    segments.find(|(_, own)| is_beside(own)).map_or(index, |(segment, _)| segment.dataset.as_str())
}

const fn kind_of(kind: RenderedKind) -> Kind {
    match kind {
        RenderedKind::Call => Kind::Events,
        RenderedKind::Window => Kind::Windows,
    }
}

fn rendered_items(rendered: &Rendered, index: &str, ingested: &str, items: &mut Vec<Item>) {
    let mut start = 0;
    for (number, &end) in rendered.ends.iter().enumerate() {
        let document = rendered.bytes.get(start..end as usize).unwrap_or_default();
        start = end as usize;
        let Some((b'}', members)) = document.split_last() else { continue };
        let mut source = Vec::with_capacity(members.len() + ingested.len());
        source.extend_from_slice(members);
        source.extend_from_slice(ingested.as_bytes());
        items.push(Item {
            index: index.to_owned(),
            id: format!("{}{number}", rendered.id_prefix),
            action: Action::Create,
            source,
        });
    }
}

/// The segments of a chunk; the one with the receipt comes last, so that where it is the others are.
pub(super) fn segment_items(accepted: &Accepted<'_>, items: &mut Vec<Item>) -> Result<(), StoreError> {
    let output = accepted.chunk.output;
    let receipt = Receipt {
        extent: accepted.chunk.extent.into(),
        next_line: output.first_line + u64::from(output.lines),
        gap: output.gap.clone(),
        tally: output.tally,
        dataset: output.dataset.clone(),
        path: output.path.clone(),
        parts: output.segments.len() as u32,
    };
    for (number, segment) in output.segments.iter().enumerate().rev() {
        // Every container of the chunk may have lost calls, so each of its segments says so.
        let mut document =
            SegmentDocument::new(segment, &accepted.chunk.blobs[number], &output.path, accepted.gap.as_ref());
        if segment.id.part == 0 {
            document = document.with_receipt(&receipt)?;
        }
        let id = segment.id.to_string();
        items.push(Item {
            index: accepted.indices[number].clone(),
            source: source(&document, "segment", &id)?,
            id,
            action: Action::Create,
        });
    }
    Ok(())
}

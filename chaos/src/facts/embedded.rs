//! The embedded store, read by another handle than the pipeline's.

use std::path::Path;

use rastro_store::{Columns, ScoreQuery, Store as _, embedded::EmbeddedStore};

use crate::check::{Facts, FrameFact, SegmentFact};

/// Calls of a page.
const PAGE: usize = 200_000;

/// Everything that counts.
pub fn collect(path: &Path) -> anyhow::Result<Facts> {
    let store = EmbeddedStore::open_read_only(path)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut facts = Facts::default();
        for index in store.datasets().await?.into_iter().flat_map(|dataset| dataset.indices) {
            let mut after = 0;
            loop {
                let page = store.segments(&index.name, after, PAGE, Columns::All).await?;
                let Some(last) = page.last() else { break };
                after = last.place;
                facts.segments.extend(page.into_iter().map(|stored| SegmentFact {
                    id: stored.segment.id.to_string(),
                    container: stored.segment.container.id,
                    numbers: stored.segment.calls.number,
                }));
            }
            let query =
                ScoreQuery { index: Some(index.name), job: Some("live".to_owned()), ..ScoreQuery::default() };
            for scores in store.scores(&query).await?.into_iter().map(|stored| stored.scores) {
                facts.frames.extend(scores.frames.iter().map(|frame| FrameFact {
                    segment: scores.segment.to_string(),
                    model: format!("{}:{}", scores.detector, scores.window),
                    first_call: frame.first_call,
                    calls: frame.calls,
                }));
            }
        }
        Ok(facts)
    })
}

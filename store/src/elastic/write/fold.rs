//! The fold of chunks into the ledger of their stream.

use rastro_model::{Gap, GapReason, Position, Segment, Tally};

use super::Prepared;
use crate::{
    StoreError, WriteReport,
    elastic::documents::StreamDocument,
    ledger::{Crossings, End, Step, joined},
};

/// What a write has to tell.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) report: WriteReport,
    pub(super) lost_lines: u64,
    pub(super) settled: u64,
    pub(super) segments: u64,
    pub(super) calls: u64,
}

impl Written {
    pub(super) fn record(&self) {
        metrics::counter!("rastro_store_chunks_total").increment(self.report.written);
        metrics::counter!("rastro_store_duplicate_chunks_total").increment(self.report.duplicates);
        metrics::counter!("rastro_store_gaps_total").increment(self.report.gaps);
        metrics::counter!("rastro_store_lost_lines_total").increment(self.lost_lines);
        metrics::counter!("rastro_store_segments_total").increment(self.segments);
        metrics::counter!("rastro_store_calls_total").increment(self.calls);
        metrics::counter!("rastro_store_settled_enters_total").increment(self.settled);
        if self.report.gaps > 0 {
            tracing::warn!(
                gaps = self.report.gaps,
                lost_lines = self.lost_lines,
                "chunks are missing before others; the segments behind them are marked"
            );
        }
    }
}

/// Takes a chunk into the ledger of its stream. `None` if it is there already, else the gap in front of it.
#[allow(clippy::option_option, reason = "whether it is new, and what was lost before it if it is")]
pub(super) fn fold(
    ledger: &mut StreamDocument,
    chunk: &Prepared<'_>,
    written: &mut Written,
) -> Result<Option<Option<Gap>>, StoreError> {
    let output = chunk.output;
    let end = ledger.end();
    let gap = match end.step(chunk.extent, output.gap.as_ref()) {
        Step::Duplicate => {
            written.report.duplicates += 1;
            return Ok(None);
        }
        Step::Overlap => {
            return Err(StoreError::Overlap {
                stream: output.stream,
                known: end.position,
                next_line: end.next_line,
            });
        }
        Step::Next(gap) => gap,
    };
    written.report.written += 1;
    if gap.as_ref().is_some_and(|gap| output.gap.as_ref() != Some(gap)) {
        written.report.gaps += 1;
    }
    written.segments += output.segments.len() as u64;
    written.calls += output.segments.iter().map(|segment| segment.calls.len() as u64).sum::<u64>();
    let entry = Entry {
        dataset: &output.dataset,
        path: &output.path,
        tally: output.tally,
        next_line: output.first_line + u64::from(output.lines),
        end: output.end,
    };
    Ok(Some(enter(ledger, &entry, &output.segments, gap, written)))
}

/// What the ledger takes down of a chunk.
pub(super) struct Entry<'chunk> {
    pub(super) dataset: &'chunk str,
    pub(super) path: &'chunk str,
    pub(super) tally: Tally,
    pub(super) next_line: u64,
    pub(super) end: Position,
}

/// Takes down a chunk that follows, with `gap` in front. Returns the gap that its segments are to tell of.
pub(super) fn enter(
    ledger: &mut StreamDocument,
    entry: &Entry<'_>,
    segments: &[Segment],
    gap: Option<Gap>,
    written: &mut Written,
) -> Option<Gap> {
    let dataset = ledger.dataset(entry.dataset);
    if gap.as_ref().is_some_and(|gap| gap.reason != GapReason::LineTooLong) {
        // The exits of waiting enters may be among what was lost, and so may other enters of the same threads.
        ledger.open_enters.forget();
    }
    for (dataset, enters) in ledger.open_enters.advance(Crossings::of(segments), dataset as i64) {
        written.settled += enters;
        if let Some(tally) = usize::try_from(dataset).ok().and_then(|dataset| ledger.tallies.get_mut(dataset))
        {
            tally.tally.settle(enters.min(tally.tally.calls_stored));
        }
    }
    let tally = &mut ledger.tallies[dataset];
    tally.tally += entry.tally;
    if let Some(gap) = &gap {
        tally.lost_bytes = tally.lost_bytes.saturating_add(gap.bytes);
        tally.lost_lines = tally.lost_lines.saturating_add(gap.lines.unwrap_or(0));
        written.lost_lines += gap.lines.unwrap_or(0);
    }
    // A gap before a chunk without calls is told by the next calls of the stream.
    let gap = joined(ledger.pending_gap.take(), gap);
    if segments.is_empty() {
        ledger.pending_gap.clone_from(&gap);
    }
    entry.path.clone_into(&mut ledger.path);
    ledger.set_end(End { position: entry.end, next_line: entry.next_line });
    gap
}

//! What the role tells the metrics, batch by batch.
//!
//! Counted when a batch is written, not when it is transformed: a write that is tried again is one batch all the same.

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge, histogram};
use rastro_broker::Chunk;
use rastro_model::Tally;
use rastro_store::WriteReport;

use crate::transform::Transformed;

/// Figures of one batch.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    chunks: u64,
    damaged_chunks: u64,
    lines_lost: u64,
    cut_lines: u64,
    bytes: u64,
    segments: u64,
    rollups: u64,
    tally: Tally,
    unclosed: u64,
    dead_letter_classes: Vec<(&'static str, u64)>,
    latest_read_ns: i64,
    /// By chunk: when its lines were read, and nanoseconds from its last call until then, where the times make sense.
    delays: Vec<(i64, Option<i64>)>,
    /// How long the transformation took.
    pub(crate) transform_seconds: f64,
}

impl Figures {
    pub(crate) fn add(&mut self, chunk: &Chunk, transformed: &Transformed) {
        let output = &transformed.output;
        self.chunks += 1;
        self.cut_lines += u64::from(chunk.cut_lines);
        if transformed.is_damaged {
            self.damaged_chunks += 1;
            self.lines_lost += u64::from(chunk.lines);
        }
        self.bytes += chunk.payload.raw_length() as u64;
        self.segments += output.segments.len() as u64;
        self.rollups += output.rollups.len() as u64;
        self.tally += output.tally;
        self.unclosed += u64::from(!output.tally.is_closed());
        self.latest_read_ns = self.latest_read_ns.max(chunk.read_ns);
        let last_call = output.segments.iter().filter_map(|segment| segment.calls.time_ns.last()).max();
        let until_read = last_call.map(|&last_ns| chunk.read_ns.saturating_sub(last_ns));
        self.delays.push((chunk.read_ns, until_read.filter(|&delay_ns| delay_ns >= 0)));
        for &(class, count) in &transformed.dead_letter_classes {
            match self.dead_letter_classes.iter_mut().find(|(known, _)| *known == class) {
                Some((_, sum)) => *sum += count,
                None => self.dead_letter_classes.push((class, count)),
            }
        }
    }

    /// The batch is written.
    pub(crate) fn record(&self, report: WriteReport, write_seconds: f64) {
        counter!("rastro_transformer_chunks_total").increment(self.chunks);
        counter!("rastro_transformer_duplicate_chunks_total").increment(report.duplicates);
        counter!("rastro_transformer_damaged_chunks_total").increment(self.damaged_chunks);
        counter!("rastro_transformer_lost_lines_total").increment(self.lines_lost);
        counter!("rastro_transformer_gaps_total").increment(report.gaps);
        counter!("rastro_transformer_bytes_total").increment(self.bytes);
        counter!("rastro_transformer_segments_total").increment(self.segments);
        counter!("rastro_transformer_rollups_total").increment(self.rollups);
        counter!("rastro_transformer_cut_lines_total").increment(self.cut_lines);
        counter!("rastro_transformer_lines_total").increment(self.tally.lines_read);
        counter!("rastro_transformer_events_total").increment(self.tally.events_parsed);
        counter!("rastro_transformer_calls_total").increment(self.tally.calls_stored);
        counter!("rastro_transformer_folded_events_total").increment(self.tally.events_folded);
        counter!("rastro_transformer_not_calls_total").increment(self.tally.events_not_calls);
        counter!("rastro_transformer_calls_lost_total").increment(self.tally.calls_lost);
        counter!("rastro_transformer_unclosed_tallies_total").increment(self.unclosed);
        for &(class, count) in &self.dead_letter_classes {
            counter!("rastro_transformer_dead_letters_total", "reason" => class).increment(count);
        }
        histogram!("rastro_transformer_transform_seconds").record(self.transform_seconds);
        histogram!("rastro_transformer_write_seconds").record(write_seconds);
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        // From reading lines in the file to having written what became of them.
        let seconds_since = |read_ns: i64| now_ns.saturating_sub(read_ns).max(0) as f64 / 1e9;
        gauge!("rastro_transformer_lag_seconds").set(seconds_since(self.latest_read_ns));
        for &(read_ns, until_read_ns) in &self.delays {
            histogram!("rastro_transformer_delay_seconds").record(seconds_since(read_ns));
            if let Some(until_read_ns) = until_read_ns {
                histogram!("rastro_transformer_event_delay_seconds").record(until_read_ns as f64 / 1e9);
            }
        }
    }
}

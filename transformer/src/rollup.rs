//! Aggregates of a segment: container × kind of call × interval.

use std::time::Duration;

use rastro_model::{Segment, segment::flag};
use rastro_store::Rollup;
use rustc_hash::FxHashMap;

use crate::part::{Call, KEPT_LENGTH};

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: u64,
    errors: u64,
    latency_sum_ns: u64,
    latency_max_ns: u64,
    argc_sum: u64,
}

impl Sums {
    #[inline]
    fn add(&mut self, call: &Call) {
        self.count += 1;
        self.errors += u64::from(call.flags & flag::RESULT != 0 && call.result < 0);
        self.latency_sum_ns = self.latency_sum_ns.saturating_add(call.latency_ns);
        self.latency_max_ns = self.latency_max_ns.max(call.latency_ns);
        self.argc_sum += u64::from(call.argc);
    }
}

/// Aggregates calls by interval. Buffers stay from segment to segment.
#[derive(Debug)]
pub(crate) struct Rollups {
    interval_ns: i64,
    rows: Vec<(i64, u16, Sums)>,
    row_of: FxHashMap<(i64, u16), u32>,
    /// By kind: the interval that its last call fell into, and the row of it. Calls of one interval come in long runs.
    recent: Vec<(i64, u32)>,
}

const NONE: u32 = u32::MAX;

impl Rollups {
    pub(crate) fn new(interval: Duration) -> Self {
        let interval_ns = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1_000_000);
        Self { interval_ns, rows: Vec::new(), row_of: FxHashMap::default(), recent: Vec::new() }
    }

    /// Appends the aggregates of `segment`, whose calls are `calls`, in order of interval and first appearance of the kind.
    pub(crate) fn append(&mut self, segment: &Segment, calls: &[Call], rollups: &mut Vec<Rollup>) {
        self.rows.clear();
        self.rows.shrink_to(KEPT_LENGTH);
        self.row_of.clear();
        self.row_of.shrink_to(KEPT_LENGTH);
        self.recent.clear();
        self.recent.resize(segment.calls.kinds.len(), (0, NONE));
        let Some(first) = calls.first() else { return };
        let mut start = self.interval_start(first.time_ns);
        for call in calls {
            if call.time_ns.wrapping_sub(start) as u64 >= self.interval_ns as u64 {
                start = self.interval_start(call.time_ns);
            }
            let (recent_start, mut row) = self.recent[usize::from(call.kind)];
            if row == NONE || recent_start != start {
                row = *self.row_of.entry((start, call.kind)).or_insert_with(|| {
                    self.rows.push((start, call.kind, Sums::default()));
                    self.rows.len() as u32 - 1
                });
                self.recent[usize::from(call.kind)] = (start, row);
            }
            self.rows[row as usize].2.add(call);
        }
        self.rows.sort_unstable_by_key(|&(start, kind, _)| (start, kind));
        rollups.extend(self.rows.iter().map(|&(interval_ns, kind, sums)| {
            let kind = &segment.calls.kinds[usize::from(kind)];
            Rollup {
                index: segment.index.clone(),
                container: segment.container.clone(),
                name: kind.name.clone(),
                category: kind.category,
                interval_ns,
                count: sums.count,
                errors: sums.errors,
                latency_sum_ns: sums.latency_sum_ns,
                latency_max_ns: sums.latency_max_ns,
                argc_sum: sums.argc_sum,
            }
        }));
    }

    const fn interval_start(&self, time_ns: i64) -> i64 {
        time_ns.div_euclid(self.interval_ns).saturating_mul(self.interval_ns)
    }
}

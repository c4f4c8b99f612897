//! The calls of one frame, sorted by what they are.

use std::ops::Range;

use rastro_model::{Segment, segment::flag};

use crate::alphabet::Symbol;

/// Highest symbol that behaviour is learned of, exclusive. Linux has fewer than 500 calls.
pub const MAX_CALLS: usize = 1024;

/// Consecutive calls of a segment that are judged together.
#[derive(Debug, Clone)]
pub struct CallFrame<'segment> {
    /// The segment.
    pub segment: &'segment Segment,
    /// For each of the segment's kinds its symbol.
    pub symbols: &'segment [Symbol],
    /// Which calls of the segment.
    pub range: Range<usize>,
}

impl<'segment> CallFrame<'segment> {
    /// The calls `range` of a segment whose kind `k` has the symbol `symbols[k]`; what lies outside the segment is left out.
    pub fn new(segment: &'segment Segment, symbols: &'segment [Symbol], range: Range<usize>) -> Self {
        let end = range.end.min(segment.calls.len());
        Self { segment, symbols, range: range.start.min(end)..end }
    }

    /// Every frame of at most `calls` calls of a segment.
    pub fn all(
        segment: &'segment Segment,
        symbols: &'segment [Symbol],
        calls: usize,
    ) -> impl Iterator<Item = Self> {
        let calls = calls.max(1);
        (0..segment.calls.len()).step_by(calls).map(move |start| {
            let end = start.saturating_add(calls);
            Self::new(segment, symbols, start..end)
        })
    }

    /// The symbol of a call of the segment.
    pub fn symbol(&self, call: usize) -> Symbol {
        let kind = usize::from(self.segment.calls.kind[call]);
        self.symbols.get(kind).copied().unwrap_or(Symbol::MAX)
    }

    /// Arguments that were kept of a call of the segment.
    pub fn arguments(&self, call: u32) -> Option<&'segment str> {
        let details = &self.segment.details;
        let place = details.binary_search_by_key(&call, |detail| detail.call).ok()?;
        Some(&details[place].arguments)
    }

    /// Result of a call of the segment. Columns may be absent where a store read no more than the order of calls.
    pub(crate) fn result(&self, call: u32) -> Option<i64> {
        let calls = &self.segment.calls;
        let is_known = calls.flags.get(call as usize)? & flag::RESULT != 0;
        if is_known { calls.result.get(call as usize).copied() } else { None }
    }

    /// Latency of a call of the segment; 0 is unknown.
    pub(crate) fn latency(&self, call: u32) -> Option<u64> {
        let calls = &self.segment.calls;
        let is_known = calls.flags.get(call as usize)? & flag::LATENCY != 0;
        let latency = if is_known { calls.latency_ns.get(call as usize).copied() } else { None };
        latency.filter(|&latency| latency > 0)
    }

    /// The calls of the frame by symbol, ascending; those of one symbol in their order. Calls that behaviour is not learned of are
    /// left out.
    pub(crate) fn by_call(&self) -> Vec<(Symbol, u32)> {
        let known = |&(symbol, _): &(Symbol, u32)| usize::from(symbol) < MAX_CALLS;
        let mut calls: Vec<(Symbol, u32)> =
            self.range.clone().map(|call| (self.symbol(call), call as u32)).filter(known).collect();
        calls.sort_unstable();
        calls
    }
}

/// The groups of equal symbols of [`CallFrame::by_call`].
pub(crate) fn groups(calls: &[(Symbol, u32)]) -> impl Iterator<Item = (Symbol, &[(Symbol, u32)])> {
    calls.chunk_by(|a, b| a.0 == b.0).map(|group| (group[0].0, group))
}

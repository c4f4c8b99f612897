//! From segments to frames: the calls of a frame thread by thread, for detectors that judge frames as a whole.

use rastro_model::Segment;

use crate::{
    alphabet::Symbol,
    detector::{BREAK, Frame, FrameSource},
    sequences::Runs,
};

/// Calls `visit` with every frame of `frame` calls of the segment whose runs these are.
pub(crate) fn visit_frames(
    runs: &Runs,
    segment: &Segment,
    symbols: &[Symbol],
    frame: usize,
    mut visit: impl FnMut(&Frame<'_>),
) {
    let mut by_thread: Vec<(u32, u32)> = Vec::with_capacity(frame);
    let mut calls: Vec<Symbol> = Vec::with_capacity(2 * frame);
    for (number, (places, owners)) in runs.place.chunks(frame).zip(runs.run.chunks(frame)).enumerate() {
        by_thread.clear();
        // Runs are numbered as they appear in the segment, and calls of one run lie in their order.
        by_thread.extend(owners.iter().copied().zip(places.iter().copied()));
        by_thread.sort_unstable();
        calls.clear();
        for of_thread in by_thread.chunk_by(|a, b| a.0 == b.0) {
            if !calls.is_empty() {
                calls.push(BREAK);
            }
            calls.extend(of_thread.iter().map(|&(_, place)| runs.calls[place as usize]));
        }
        let start = number * frame;
        let source = FrameSource { segment, symbols, start, end: start + places.len() };
        visit(&Frame { calls: &calls, source: Some(source) });
    }
}

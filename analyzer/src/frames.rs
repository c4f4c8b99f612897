//! From segments to frames: the calls of a frame thread by thread, for detectors that judge frames as a whole.

use std::ops::Range;

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
    let mut order: Vec<(u32, u32)> = Vec::with_capacity(frame);
    let mut calls: Vec<Symbol> = Vec::with_capacity(2 * frame);
    let mut start = 0;
    while start < runs.place.len() {
        let end = (start + frame).min(runs.place.len());
        by_thread(runs, start..end, &mut order);
        calls.clear();
        for of_thread in order.chunk_by(|a, b| a.0 == b.0) {
            if !calls.is_empty() {
                calls.push(BREAK);
            }
            calls.extend(of_thread.iter().map(|&(_, call)| runs.calls[runs.place[call as usize] as usize]));
        }
        visit(&Frame { calls: &calls, source: Some(FrameSource { segment, symbols, start, end }) });
        start = end;
    }
}

/// Calls `frame` of the segment thread by thread: the run of each, and where it lies in the segment.
fn by_thread(runs: &Runs, frame: Range<usize>, order: &mut Vec<(u32, u32)>) {
    order.clear();
    // Runs are numbered as they appear in the segment.
    order.extend(frame.map(|call| (runs.run[call], call as u32)));
    order.sort_unstable();
}

/// One frame as [`visit_frames`] shows it, and for each of its calls where it lies in the segment; of a [`BREAK`], the call behind it.
pub(crate) fn frame_at(runs: &Runs, frame: Range<usize>) -> (Vec<Symbol>, Vec<u32>) {
    let mut order = Vec::new();
    by_thread(runs, frame, &mut order);
    let (mut calls, mut places) = (Vec::new(), Vec::new());
    for of_thread in order.chunk_by(|a, b| a.0 == b.0) {
        if !calls.is_empty() {
            calls.push(BREAK);
            places.push(of_thread[0].1);
        }
        calls.extend(of_thread.iter().map(|&(_, call)| runs.calls[runs.place[call as usize] as usize]));
        places.extend(of_thread.iter().map(|&(_, call)| call));
    }
    (calls, places)
}

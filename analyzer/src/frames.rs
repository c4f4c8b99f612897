//! From segments to frames: the calls of a frame thread by thread, for detectors that judge frames as a whole.
//!
//! A segment ends where a chunk happened to end, so its last frame is short, and of a quiet container every frame may be. What few calls
//! come to says little, and what they lack says nothing. So a short frame is judged together with the calls of the container before it, as
//! many as a whole frame has. As long as a container has made fewer than half as many calls, nothing is said of it.
//!
//! Frames that are judged may hence overlap; those that are learned do not ([`Frame::is_fresh`]).

use rastro_model::Segment;

use crate::{
    alphabet::Symbol,
    detector::{BREAK, Frame, FrameSource},
    sequences::Runs,
};

/// The last calls of a container, oldest first, each with its thread.
pub(crate) type Recent = Vec<(Option<i64>, Symbol)>;

/// The frames of one segment.
#[derive(Clone, Copy)]
pub(crate) struct Frames<'a> {
    pub(crate) runs: &'a Runs,
    pub(crate) segment: &'a Segment,
    pub(crate) symbols: &'a [Symbol],
    /// Calls of a frame.
    pub(crate) size: usize,
    /// The container's calls before the segment.
    pub(crate) recent: &'a [(Option<i64>, Symbol)],
    /// Calls before the segment since a frame was learned.
    pub(crate) since_learned: usize,
}

/// What a frame is judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// The calls, thread by thread, with a [`BREAK`] between two threads.
    pub(crate) calls: Vec<Symbol>,
    /// Where each of them lies in the segment, if it is in it. A break lies where the call behind it does.
    pub(crate) places: Vec<Option<u32>>,
}

impl Frames<'_> {
    /// Calls `visit` with every frame, in order.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&Frame<'_>)) {
        let Self { runs, segment, symbols, size, .. } = *self;
        let mut since_learned = self.since_learned;
        let mut start = 0;
        while start < runs.place.len() {
            let end = (start + size).min(runs.place.len());
            let window = self.window(end);
            since_learned += end - start;
            let is_fresh = since_learned >= size && window.calls.len() >= size;
            if is_fresh {
                since_learned = 0;
            }
            let source = FrameSource { segment, symbols, start, end };
            visit(&Frame { calls: &window.calls, is_fresh, source: Some(source) });
            start = end;
        }
    }

    /// Calls since a frame was learned, behind the segment.
    pub(crate) fn since_learned_behind(&self) -> usize {
        let calls = self.runs.place.len();
        let before_last = calls / self.size * self.size;
        let mut since = self.since_learned;
        // As `visit` counts, with what is known of the length of a window.
        let mut known = self.recent.len();
        for frame in (0..before_last)
            .step_by(self.size)
            .map(|_| self.size)
            .chain((calls > before_last).then_some(calls - before_last))
        {
            since += frame;
            known += frame;
            if since >= self.size && known >= self.size {
                since = 0;
            }
        }
        since
    }

    /// The calls that the frame before call `end` of the segment is judged by; none, if there are too few.
    pub(crate) fn window(&self, end: usize) -> Window {
        let Self { runs, recent, size, .. } = *self;
        let from_segment = end.min(size);
        let from_recent = (size - from_segment).min(recent.len());
        let mut window = Window::default();
        if from_segment + from_recent < size / 2 {
            return window;
        }
        let before = recent[recent.len() - from_recent..].iter().map(|&(thread, call)| (thread, call, None));
        let here = (end - from_segment..end).map(|call| {
            let thread = runs.all[runs.run[call] as usize].thread;
            (thread, runs.calls[runs.place[call] as usize], Some(call as u32))
        });
        // Threads in the order in which they appear, and the calls of each in theirs.
        let mut numbers = rustc_hash::FxHashMap::default();
        let mut calls: Vec<(usize, usize, Symbol, Option<u32>)> = Vec::with_capacity(size);
        for (place, (thread, call, at)) in before.chain(here).enumerate() {
            let next = numbers.len();
            calls.push((*numbers.entry(thread).or_insert(next), place, call, at));
        }
        calls.sort_unstable();
        window.calls.reserve(calls.len() + numbers.len());
        window.places.reserve(calls.len() + numbers.len());
        for of_thread in calls.chunk_by(|a, b| a.0 == b.0) {
            if !window.calls.is_empty() {
                window.calls.push(BREAK);
                window.places.push(of_thread[0].3);
            }
            window.calls.extend(of_thread.iter().map(|&(_, _, call, _)| call));
            window.places.extend(of_thread.iter().map(|&(.., at)| at));
        }
        window
    }

    /// What [`Frames::recent`] is behind the segment.
    pub(crate) fn recent_behind(&self) -> Recent {
        let calls = self.runs.place.len();
        let from_segment = calls.min(self.size);
        let from_recent = (self.size - from_segment).min(self.recent.len());
        let mut recent = self.recent[self.recent.len() - from_recent..].to_vec();
        recent.extend((calls - from_segment..calls).map(|call| {
            let thread = self.runs.all[self.runs.run[call] as usize].thread;
            (thread, self.runs.calls[self.runs.place[call] as usize])
        }));
        recent
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sequences::Run;

    fn segment() -> Segment {
        use rastro_model::{Calls, Container, Position, SegmentId, StreamId, Tally};
        Segment {
            id: SegmentId { stream: StreamId(1), start: Position::START, part: 0 },
            dataset: String::new(),
            index: String::new(),
            node: String::new(),
            architecture: String::new(),
            container: Container::default(),
            end: Position::START,
            gap: None,
            read_ns: 0,
            tally: Tally::default(),
            calls: Calls::default(),
            unfinished: Vec::new(),
            details: Vec::new(),
        }
    }

    fn runs(calls: &[(i64, Symbol)]) -> Runs {
        let mut runs = Runs::default();
        for thread in 0..3 {
            let start = runs.calls.len();
            runs.calls.extend(calls.iter().filter(|(id, _)| *id == thread).map(|&(_, call)| call));
            let range = start..runs.calls.len();
            runs.all.push(Run { thread: Some(thread), range, context: 0, continues: false, ends: false });
        }
        let mut next: Vec<usize> = runs.all.iter().map(|run| run.range.start).collect();
        for &(thread, _) in calls {
            runs.run.push(thread as u32);
            runs.place.push(next[thread as usize] as u32);
            next[thread as usize] += 1;
        }
        runs
    }

    proptest! {
        #[test]
        fn a_frame_is_judged_by_as_many_last_calls_as_a_whole_one_has(
            calls in proptest::collection::vec((0i64..3, 0u16..9), 1..60),
            cut in 0usize..60,
            size in 1usize..20,
        ) {
            let cut = cut.min(calls.len() - 1);
            let recent: Recent = calls[..cut].iter().map(|&(thread, call)| (Some(thread), call)).collect();
            let whole = runs(&calls);
            let part = runs(&calls[cut..]);
            let segment = segment();
            let of = |runs, recent| Frames { runs, segment: &segment, symbols: &[], size, recent, since_learned: 0 };
            let from_part = of(&part, &recent);
            let from_whole = of(&whole, &[]);
            for end in 1..=calls.len() - cut {
                prop_assert_eq!(from_part.window(end).calls, from_whole.window(cut + end).calls);
            }
            prop_assert_eq!(from_part.recent_behind(), from_whole.recent_behind());
            let mut behind = 0;
            let mut learned = 0;
            from_part.visit(|frame| {
                let length = frame.source.map_or(0, |source| source.range().len());
                behind = if frame.is_fresh { 0 } else { behind + length };
                learned += usize::from(frame.is_fresh) * size;
            });
            prop_assert_eq!(from_part.since_learned_behind(), behind);
            prop_assert!(learned <= calls.len());
        }
    }
}

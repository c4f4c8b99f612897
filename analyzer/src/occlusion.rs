//! Which calls make a frame strange? Those without which it would not be.
//!
//! A model that judges a frame as a whole does not say which of its calls is at fault. So pieces are taken out, small ones first, until the
//! frame without one of them falls below the threshold (M. Zeiler, R. Fergus, "Visualizing and understanding convolutional
//! networks", ECCV 2014, cover parts of pictures likewise). What is named is a cause by construction: without it, no alarm. Where
//! no single piece is to blame, the one is named whose absence helps most.

use std::ops::Range;

use crate::{
    alphabet::Symbol,
    detector::{BREAK, Frame, FrameJudge},
};

/// Sizes of the pieces that are taken out, calls.
const PIECES: [usize; 6] = [4, 8, 16, 32, 64, 128];

/// How much more of the raw score a larger piece must take away, as a share of what the smaller one did.
const LEAST_GAIN: f64 = 0.25;

/// Most pieces of one size that are tried.
const MAX_TRIED: usize = 128;

/// Calls to blame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Culprit {
    /// Which calls of the frame.
    pub(crate) calls: Range<usize>,
    /// Raw score without them.
    pub(crate) raw_without: f64,
}

/// The calls of one thread without which `judge` finds the frame least strange; the fewest that bring it below `raw_threshold`, if any do.
pub(crate) fn culprit(judge: &dyn FrameJudge, calls: &[Symbol], raw_threshold: f64) -> Option<Culprit> {
    let raw = judge.score(&Frame::of_trace(calls));
    let is_enough = |without: f64| raw >= raw_threshold && without < raw_threshold;
    let mut best: Option<Culprit> = None;
    for size in PIECES {
        // A larger piece must explain clearly more than a smaller one.
        let margin = best.as_ref().map_or(0.0, |best| (raw - best.raw_without).max(0.0) * LEAST_GAIN);
        let bound = best.as_ref().map_or(f64::INFINITY, |best| best.raw_without) - margin;
        let tried = pieces(calls, size).into_iter().map(|calls_out| Culprit {
            raw_without: judge.score(&Frame::of_trace(&without(calls, &calls_out))),
            calls: calls_out,
        });
        let lowest = tried.min_by(|a, b| a.raw_without.total_cmp(&b.raw_without));
        best = lowest.filter(|lowest| lowest.raw_without < bound).or(best);
        if best.as_ref().is_some_and(|best| is_enough(best.raw_without)) {
            break;
        }
    }
    best
}

/// Pieces of up to `size` calls of one thread, each half over the next.
fn pieces(calls: &[Symbol], size: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for sequence in calls.split(|&call| call == BREAK) {
        let end = start + sequence.len();
        let mut from = start;
        while from < end {
            pieces.push(from..(from + size).min(end));
            if from + size >= end {
                break;
            }
            from += (size / 2).max(1);
        }
        start = end + 1;
    }
    // A long frame is looked at in fewer places.
    let step = pieces.len().div_ceil(MAX_TRIED).max(1);
    pieces.into_iter().step_by(step).collect()
}

/// The calls without a piece. Calls around it do not become neighbours.
pub(crate) fn without(calls: &[Symbol], piece: &Range<usize>) -> Vec<Symbol> {
    let mut rest = calls[..piece.start].to_vec();
    rest.push(BREAK);
    rest.extend_from_slice(&calls[piece.end..]);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts calls 9.
    #[derive(Debug)]
    struct Nines;

    impl FrameJudge for Nines {
        fn score(&self, frame: &Frame<'_>) -> f64 {
            frame.calls.iter().filter(|&&call| call == 9).count() as f64
        }
    }

    #[test]
    fn the_smallest_piece_is_named_whose_absence_is_enough() {
        let mut calls: Vec<Symbol> = vec![1; 100];
        calls[40..46].fill(9);
        let found = culprit(&Nines, &calls, 1.5).unwrap();
        assert!(found.raw_without < 1.5 && found.calls.len() <= 8, "{found:?}");
        assert!(found.calls.start < 46 && found.calls.end > 40);
        // Two nines of another thread are not cured by this piece, but fewer are better.
        calls.extend([BREAK, 9, 9]);
        let found = culprit(&Nines, &calls, 1.5).unwrap();
        assert!((found.raw_without - 2.0).abs() < 1e-9, "{found:?}");
        assert_eq!(culprit(&Nines, &[], 1.0), None);
    }

    #[test]
    fn a_piece_never_reaches_into_another_thread() {
        let mut calls: Vec<Symbol> = vec![1; 30];
        calls[13] = BREAK;
        for size in PIECES {
            for piece in pieces(&calls, size) {
                assert!(!calls[piece.clone()].contains(&BREAK), "{piece:?}");
            }
        }
    }
}

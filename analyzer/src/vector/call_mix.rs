//! Which frames behave alike: how often each call occurs in them, order aside.
//!
//! Two frames are as alike as their distributions of calls overlap, `Σ √(p·q)` (A. Bhattacharyya, 1943). The square root keeps one call
//! that is made all the time from drowning all others.

use super::features::BREAK;
use crate::alphabet::Symbol;

/// Frames to find the like of another one in.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallMixes {
    frames: usize,
    /// For each call: the frames that make it, with the square root of its share.
    postings: Vec<Vec<(u32, f32)>>,
}

/// The calls of a frame, ascending, with the square root of the share of each.
pub(crate) fn call_mix(calls: &[Symbol]) -> Vec<(Symbol, f32)> {
    let mut sorted: Vec<Symbol> = calls.iter().copied().filter(|&call| call != BREAK).collect();
    sorted.sort_unstable();
    let all = sorted.len() as f64;
    sorted.chunk_by(|a, b| a == b).map(|same| (same[0], (same.len() as f64 / all).sqrt() as f32)).collect()
}

impl CallMixes {
    /// Frames with these mixes, numbered in their order.
    pub(crate) fn new<'mix>(mixes: impl Iterator<Item = &'mix [(Symbol, f32)]>) -> Self {
        let mut all = Self::default();
        for mix in mixes {
            for &(call, root) in mix {
                let call = usize::from(call);
                if all.postings.len() <= call {
                    all.postings.resize_with(call + 1, Vec::new);
                }
                all.postings[call].push((all.frames as u32, root));
            }
            all.frames += 1;
        }
        all
    }

    /// The `count` frames that are most alike, in ascending order of their numbers; of equally alike ones those with the lower numbers.
    /// `skip` is left out.
    pub(crate) fn most_alike(&self, mix: &[(Symbol, f32)], count: usize, skip: Option<u32>) -> Vec<u32> {
        let mut overlaps = vec![0.0f32; self.frames];
        for &(call, root) in mix {
            for &(frame, other) in self.postings.get(usize::from(call)).map_or(&[][..], Vec::as_slice) {
                overlaps[frame as usize] += root * other;
            }
        }
        let mut frames: Vec<u32> = (0..self.frames as u32).filter(|&frame| Some(frame) != skip).collect();
        if count < frames.len() {
            let overlap = |frame: u32| overlaps[frame as usize];
            frames.select_nth_unstable_by(count, |&a, &b| overlap(b).total_cmp(&overlap(a)).then(a.cmp(&b)));
            frames.truncate(count);
        }
        frames.sort_unstable();
        frames
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_most_alike_are_those_that_a_full_sort_puts_first(
            frames in proptest::collection::vec(proptest::collection::vec(0u16..6, 1..15), 1..25),
            probe in proptest::collection::vec(0u16..8, 1..15),
            count in 0usize..10,
        ) {
            let mixes: Vec<_> = frames.iter().map(|frame| call_mix(frame)).collect();
            let all = CallMixes::new(mixes.iter().map(Vec::as_slice));
            let probe = call_mix(&probe);
            let overlap = |frame: usize| -> f32 {
                let of = |call| probe.iter().find(|(other, _)| *other == call).map_or(0.0, |(_, root)| *root);
                // In the order of the probe's calls, as sums of floats depend on it.
                mixes[frame].iter().map(|&(call, root)| of(call) * root).fold(0.0, |sum, part| sum + part)
            };
            let mut expected: Vec<u32> = (1..frames.len() as u32).collect();
            expected.sort_by(|&a, &b| overlap(b as usize).total_cmp(&overlap(a as usize)).then(a.cmp(&b)));
            expected.truncate(count);
            expected.sort_unstable();
            prop_assert_eq!(all.most_alike(&probe, count, Some(0)), expected);
        }
    }

    #[test]
    fn shares_of_a_frame_add_up_to_one() {
        let mix = call_mix(&[3, 1, BREAK, 3, 3]);
        assert_eq!(mix.iter().map(|&(call, _)| call).collect::<Vec<_>>(), [1, 3]);
        assert!((mix.iter().map(|&(_, root)| root * root).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(call_mix(&[]).is_empty());
    }
}

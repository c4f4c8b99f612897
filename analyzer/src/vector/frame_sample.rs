//! The frames that a vector model is fitted to: a sample whose size is bounded, however much is learned.
//!
//! Frames with the same calls are one frame that counts several times. Of all the different frames those with the lowest digests are
//! kept (bottom-k sampling: E. Cohen, H. Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). What is kept so depends
//! neither on the order of learning nor on chance: a frame that is kept at the end was never dropped in between, so its count is
//! exact, and merging two samples is learning from both. Another seed gives another sample.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::features::BREAK;
use crate::{alphabet::Symbol, detector::WindowStatistics};

/// Most different frames that are kept.
pub(crate) const MAX_FRAMES: usize = 4096;

/// Most calls in all frames together.
pub(crate) const MAX_CALLS: usize = 4 << 20;

/// Longest frame; of a longer one its beginning is kept.
pub(crate) const MAX_FRAME_CALLS: usize = 1 << 16;

/// A bounded sample of frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FrameSample {
    seed: u64,
    frames: BTreeMap<(u64, Box<[Symbol]>), u64>,
    calls: usize,
    learned: u64,
    limit: usize,
    /// Lowest digest that was ever dropped: from here on nothing is kept, or it would depend on the order what is.
    kept_below: Option<u64>,
}

/// A sample as bytes hold it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrameSampleContent {
    seed: u64,
    limit: u32,
    learned: u64,
    kept_below: Option<u64>,
    frames: Vec<(Vec<Symbol>, u64)>,
}

/// One part of a sample, for cross-fitting.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    /// The frames outside the part.
    pub(crate) fit: FrameSample,
    /// Numbers of the frames inside it, with how often each occurs there.
    pub(crate) held_out: Vec<(usize, u64)>,
}

impl FrameSample {
    /// An empty sample of at most `limit` (and at most [`MAX_FRAMES`]) different frames.
    pub(crate) fn new(seed: u64, limit: usize) -> Self {
        Self { seed, limit: limit.clamp(1, MAX_FRAMES), ..Self::default() }
    }

    /// How much was learned: what is kept, and what had to be refused.
    pub(crate) fn statistics(&self) -> WindowStatistics {
        let counts = || self.frames.values().copied();
        let kept = counts().fold(0, u64::saturating_add);
        WindowStatistics {
            windows: kept,
            distinct: self.distinct() as u64,
            singletons: counts().filter(|&count| count == 1).count() as u64,
            refused: self.learned.saturating_sub(kept),
        }
    }

    /// Number of different frames that are kept.
    pub(crate) fn distinct(&self) -> usize {
        self.frames.len()
    }

    /// Learns one frame. An empty one teaches nothing.
    pub(crate) fn learn(&mut self, frame: &[Symbol]) {
        self.learned = self.learned.saturating_add(1);
        self.add(frame, 1);
    }

    /// Learns what `other` has learned, with its symbol `s` being `symbols[s]` here.
    pub(crate) fn merge(&mut self, other: &Self, symbols: &[Symbol]) {
        self.learned = self.learned.saturating_add(other.learned);
        for ((_, frame), &count) in &other.frames {
            let renamed: Vec<Symbol> =
                frame.iter().map(|&call| symbols.get(usize::from(call)).copied().unwrap_or(call)).collect();
            self.add(&renamed, count);
        }
        if let Some(dropped) = other.kept_below {
            self.drop_from(dropped);
        }
    }

    /// The frames with their counts, in an order that depends on nothing but them and the seed.
    pub(crate) fn frames(&self) -> impl ExactSizeIterator<Item = (&[Symbol], u64)> {
        self.frames.iter().map(|((_, frame), &count)| (&**frame, count))
    }

    /// Divides what is kept for cross-fitting: for each of `folds` parts the frames outside it, to fit to, and those inside, which the fit
    /// will not have seen, with their numbers in [`FrameSample::frames`] and how often they occurred in the part. Occurrences of one frame
    /// are spread over the parts, as they would be by chance: where a frame is frequent, every fit knows it.
    pub(crate) fn folds(&self, folds: u64) -> Vec<Fold> {
        let folds = folds.max(2);
        let part = |part: u64| {
            let mut fit = Self { frames: BTreeMap::new(), calls: 0, learned: 0, ..self.clone() };
            let mut held_out = Vec::new();
            for (number, ((digest, frame), &count)) in self.frames.iter().enumerate() {
                // The first occurrence lies in part `digest % folds`, each further one in the next.
                let first = (part + folds - digest % folds) % folds;
                let inside = if count > first { (count - first - 1) / folds + 1 } else { 0 };
                if inside > 0 {
                    held_out.push((number, inside));
                }
                if count > inside {
                    fit.frames.insert((*digest, frame.clone()), count - inside);
                    fit.calls += frame.len();
                    fit.learned += count - inside;
                }
            }
            Fold { fit, held_out }
        };
        (0..folds).map(part).collect()
    }

    /// For bytes.
    pub(crate) fn to_content(&self) -> FrameSampleContent {
        FrameSampleContent {
            seed: self.seed,
            limit: self.limit as u32,
            learned: self.learned,
            kept_below: self.kept_below,
            frames: self.frames().map(|(frame, count)| (frame.to_vec(), count)).collect(),
        }
    }

    /// From bytes; the error says what is wrong.
    pub(crate) fn from_content(content: FrameSampleContent, alphabet: usize) -> Result<Self, String> {
        let mut sample = Self::new(content.seed, content.limit as usize);
        let count = content.frames.len();
        for (frame, count) in content.frames {
            if count == 0 || frame.is_empty() || frame.len() > MAX_FRAME_CALLS {
                return Err("a frame is empty, too long, or occurs never".to_owned());
            }
            if frame.iter().any(|&call| usize::from(call) >= alphabet && call != BREAK) {
                return Err("a frame has a call that the profile does not know".to_owned());
            }
            sample.add(&frame, count);
        }
        let counted = sample.frames.values().try_fold(0u64, |sum, &count| sum.checked_add(count));
        if sample.distinct() != count || counted.is_none_or(|counted| counted > content.learned) {
            return Err("its frames occur twice, or are more than it says that it learned".to_owned());
        }
        sample.learned = content.learned;
        if let Some(dropped) = content.kept_below {
            sample.drop_from(dropped);
        }
        Ok(sample)
    }

    fn add(&mut self, frame: &[Symbol], count: u64) {
        let frame = &frame[..frame.len().min(MAX_FRAME_CALLS)];
        if frame.is_empty() {
            return;
        }
        let digest = self.digest(frame);
        if self.kept_below.is_some_and(|dropped| digest >= dropped) {
            return;
        }
        let known = self.frames.entry((digest, frame.into())).or_insert_with(|| {
            self.calls += frame.len();
            0
        });
        *known = known.saturating_add(count);
        while self.frames.len() > self.limit || self.calls > MAX_CALLS {
            let Some((&(last, _), _)) = self.frames.last_key_value() else { break };
            self.drop_from(last);
        }
    }

    /// Drops every frame whose digest is not lower.
    fn drop_from(&mut self, digest: u64) {
        for ((_, frame), _) in self.frames.split_off(&(digest, Box::default())) {
            self.calls -= frame.len();
        }
        self.kept_below = Some(self.kept_below.map_or(digest, |dropped| dropped.min(digest)));
    }

    fn digest(&self, frame: &[Symbol]) -> u64 {
        let mut digest = xxhash_rust::xxh3::Xxh3::with_seed(self.seed);
        for call in frame {
            digest.update(&call.to_le_bytes());
        }
        digest.digest()
    }
}

#[cfg(test)]
impl FrameSample {
    /// These frames, for tests.
    pub(crate) fn of(frames: &[Vec<Symbol>]) -> Self {
        let mut sample = Self::new(1, MAX_FRAMES);
        for frame in frames {
            sample.learn(frame);
        }
        sample
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learned(frames: &[Vec<Symbol>], limit: usize) -> FrameSample {
        let mut sample = FrameSample::new(7, limit);
        for frame in frames {
            sample.learn(frame);
        }
        sample
    }

    proptest! {
        #[test]
        fn what_is_kept_depends_neither_on_order_nor_on_how_learning_was_divided(
            frames in proptest::collection::vec(proptest::collection::vec(0u16..3, 1..4), 0..60),
            limit in 1usize..20,
            cut in 0usize..60,
        ) {
            let all = learned(&frames, limit);
            let mut backwards = frames.clone();
            backwards.reverse();
            prop_assert_eq!(&learned(&backwards, limit), &all);
            let (left, right) = frames.split_at(cut.min(frames.len()));
            let mut merged = learned(left, limit);
            merged.merge(&learned(right, limit), &[0, 1, 2]);
            prop_assert_eq!(&merged, &all);
            prop_assert!(all.distinct() <= limit);
            for (frame, count) in all.frames() {
                prop_assert_eq!(count, frames.iter().filter(|other| *other == frame).count() as u64);
            }
            prop_assert_eq!(FrameSample::from_content(all.to_content(), 3), Ok(all));
        }

        #[test]
        fn every_occurrence_of_a_frame_is_held_out_once(
            frames in proptest::collection::vec(proptest::collection::vec(0u16..3, 1..4), 0..60),
            folds in 2u64..12,
        ) {
            let all = learned(&frames, 4096);
            let mut held_out = vec![0; all.distinct()];
            for fold in all.folds(folds) {
                let inside: u64 = fold.held_out.iter().map(|(_, count)| count).sum();
                prop_assert_eq!(fold.fit.learned + inside, frames.len() as u64);
                for &(number, count) in &fold.held_out {
                    held_out[number] += count;
                    let (frame, all_of_it) = all.frames().nth(number).unwrap();
                    let outside = fold.fit.frames().find(|(other, _)| *other == frame).map_or(0, |(_, count)| count);
                    prop_assert_eq!(outside + count, all_of_it);
                    prop_assert!(count <= all_of_it / folds + 1);
                }
            }
            let counts: Vec<u64> = all.frames().map(|(_, count)| count).collect();
            prop_assert_eq!(held_out, counts);
        }
    }

    #[test]
    fn content_that_contradicts_itself_is_refused() {
        let content = |frames: &[(&[Symbol], u64)], learned| FrameSampleContent {
            seed: 1,
            limit: 10,
            learned,
            kept_below: None,
            frames: frames.iter().map(|(frame, count)| (frame.to_vec(), *count)).collect(),
        };
        assert!(FrameSample::from_content(content(&[(&[1], 2)], 2), 2).is_ok());
        for bad in [
            content(&[(&[1], 2)], 1),
            content(&[(&[2], 1)], 2),
            content(&[(&[], 1)], 2),
            content(&[(&[1], 0)], 2),
            content(&[(&[1], 1), (&[1], 1)], 2),
            content(&[(&[0], u64::MAX), (&[1], 1)], u64::MAX),
        ] {
            assert!(FrameSample::from_content(bad, 2).is_err());
        }
    }
}

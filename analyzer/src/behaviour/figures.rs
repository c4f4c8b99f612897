//! Figures of calls: how many arguments, how long, how many bytes, how much time.

use serde::{Deserialize, Serialize};

use super::histogram::LogHistogram;

/// Fewest calls of a frame whose median says something.
const FEWEST_FOR_A_MEDIAN: usize = 4;

/// Fewest numbers in training with which others are compared.
const FEWEST_TRAINED: u64 = 16;

/// How fast tails fall beyond what was seen: single numbers as 1/x, medians, which scatter less, as 1/x².
const INDEX_OF_ONE: f64 = 1.0;
const INDEX_OF_MEDIANS: f64 = 2.0;

/// Which number of a frame is unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// The highest one.
    Highest,
    /// The median.
    Median,
}

/// One figure of the calls of one name in training.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Every number.
    values: LogHistogram,
    /// Medians of frames.
    medians: LogHistogram,
}

/// What is unusual about a figure in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct UnusualFigure {
    pub(crate) surprise: f64,
    pub(crate) extent: Extent,
    pub(crate) value: u64,
    /// Call that has this number; for a median one that has it.
    pub(crate) call: u32,
    /// Between these lie all but one in a hundred numbers at either end of training.
    pub(crate) usual: (u64, u64),
    pub(crate) calls: u32,
}

impl Figure {
    /// Learns the numbers of one frame, each with its call; sorts them.
    pub(crate) fn learn(&mut self, numbers: &mut [(u64, u32)]) {
        for &(value, _) in &*numbers {
            self.values.learn(value);
        }
        if let Some((median, _)) = median(numbers) {
            self.medians.learn(median);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.values.merge(&other.values);
        self.medians.merge(&other.medians);
    }

    /// Numbers learned.
    pub(crate) fn len(&self) -> u64 {
        self.values.len()
    }

    /// Whether all numbers were alike.
    pub(crate) fn is_constant(&self) -> bool {
        self.values.is_constant()
    }

    /// The highest number, as far as the histogram tells.
    pub(crate) fn highest(&self) -> u64 {
        self.values.highest()
    }

    /// Median of all numbers.
    pub(crate) fn median(&self) -> u64 {
        self.values.quantile(0.5)
    }

    /// The more surprising of the highest and the median number of a frame; sorts the numbers.
    pub(crate) fn judge(&self, numbers: &mut [(u64, u32)]) -> Option<UnusualFigure> {
        if self.values.len() < FEWEST_TRAINED {
            return None;
        }
        let middle = median(numbers);
        let &(highest, at_highest) =
            numbers.iter().max_by_key(|(value, call)| (*value, std::cmp::Reverse(*call)))?;
        let calls = numbers.len();
        let unusual =
            |probability: f64, extent: Extent, (value, call): (u64, u32), of: &LogHistogram| UnusualFigure {
                surprise: -probability.clamp(1e-300, 1.0).ln(),
                extent,
                value,
                call,
                usual: (of.quantile(0.01), of.quantile(0.99)),
                calls: calls as u32,
            };
        // Of n numbers the highest is as high with n times the probability of one, or less if they come in bunches.
        let of_highest = self.values.at_least(highest, INDEX_OF_ONE) * calls as f64;
        let by_highest = unusual(of_highest, Extent::Highest, (highest, at_highest), &self.values);
        let by_median = middle.filter(|_| self.medians.len() >= FEWEST_TRAINED).map(|(median, call)| {
            let higher = self.medians.at_least(median, INDEX_OF_MEDIANS);
            let lower = self.medians.at_most(median, INDEX_OF_MEDIANS);
            unusual(2.0 * higher.min(lower), Extent::Median, (median, call), &self.medians)
        });
        Some(by_median.filter(|median| median.surprise > by_highest.surprise).unwrap_or(by_highest))
    }

    /// Judges the one number of a frame that has just one, from both ends.
    pub(crate) fn judge_one(&self, (value, call): (u64, u32)) -> Option<UnusualFigure> {
        if self.values.len() < FEWEST_TRAINED {
            return None;
        }
        let higher = self.values.at_least(value, INDEX_OF_ONE);
        let lower = self.values.at_most(value, INDEX_OF_ONE);
        Some(UnusualFigure {
            surprise: -(2.0 * higher.min(lower)).clamp(1e-300, 1.0).ln(),
            extent: Extent::Median,
            value,
            call,
            usual: (self.values.quantile(0.01), self.values.quantile(0.99)),
            calls: 1,
        })
    }

    pub(crate) fn is_consistent(&self) -> bool {
        self.values.is_consistent() && self.medians.is_consistent() && self.medians.len() <= self.values.len()
    }
}

/// The lower median, where there are enough numbers; sorts them.
fn median(numbers: &mut [(u64, u32)]) -> Option<(u64, u32)> {
    if numbers.len() < FEWEST_FOR_A_MEDIAN {
        return None;
    }
    numbers.sort_unstable();
    Some(numbers[(numbers.len() - 1) / 2])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbered(values: &[u64]) -> Vec<(u64, u32)> {
        values.iter().enumerate().map(|(call, &value)| (value, call as u32)).collect()
    }

    fn learned(frames: &[Vec<u64>]) -> Figure {
        let mut figure = Figure::default();
        for frame in frames {
            figure.learn(&mut numbered(frame));
        }
        figure
    }

    fn any_frames() -> impl Strategy<Value = Vec<Vec<u64>>> {
        proptest::collection::vec(proptest::collection::vec(0u64..2000, 0..10), 0..20)
    }

    proptest! {
        #[test]
        fn merged_figures_are_those_of_all_frames(a in any_frames(), b in any_frames()) {
            let mut merged = learned(&a);
            merged.merge(&learned(&b));
            prop_assert_eq!(&merged, &learned(&[b, a].concat()));
            prop_assert!(merged.is_consistent());
        }

        #[test]
        fn a_judgement_does_not_depend_on_the_order_of_the_numbers(
            frames in any_frames(),
            mut frame in proptest::collection::vec(0u64..4000, 1..20),
        ) {
            let figure = learned(&frames);
            let forwards = figure.judge(&mut numbered(&frame)).map(|unusual| (unusual.surprise.to_bits(), unusual.value));
            frame.reverse();
            let backwards = figure.judge(&mut numbered(&frame)).map(|unusual| (unusual.surprise.to_bits(), unusual.value));
            prop_assert_eq!(forwards, backwards);
        }
    }

    #[test]
    fn one_huge_number_and_a_shift_of_all_are_both_unusual() {
        let figure = learned(&vec![vec![90, 100, 110, 100, 95]; 200]);
        let usual = figure.judge(&mut numbered(&[100, 95, 110, 90])).unwrap();
        assert!(usual.surprise < 1.0, "{usual:?}");
        let huge = figure.judge(&mut numbered(&[100, 1_000_000, 90, 100, 100])).unwrap();
        assert!(huge.surprise > 10.0 && huge.extent == Extent::Highest && huge.call == 1, "{huge:?}");
        let shifted = figure.judge(&mut numbered(&[10, 12, 13, 11, 10])).unwrap();
        assert!(shifted.surprise > 7.0 && shifted.extent == Extent::Median, "{shifted:?}");
    }

    #[test]
    fn little_training_says_nothing() {
        assert!(learned(&[vec![5; 15]]).judge(&mut numbered(&[1 << 40])).is_none());
        assert!(learned(&[vec![5; 16]]).judge(&mut numbered(&[])).is_none());
    }
}

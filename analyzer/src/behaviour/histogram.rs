//! Histograms on a logarithmic scale: whole numbers below 16 exactly, four steps an octave above.

use serde::{Deserialize, Serialize};

/// Numbers of any size in at most 256 steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHistogram {
    /// Steps that occurred, ascending, with how often.
    steps: Vec<(u8, u64)>,
}

/// Numbers below this have a step each.
const EXACT: u64 = 16;

/// The step that a number lies in.
fn step_of(value: u64) -> u8 {
    if value < EXACT {
        return value as u8;
    }
    let octave = value.ilog2();
    (16 + (octave - 4) * 4 + ((value >> (octave - 2)) & 3) as u32) as u8
}

/// The lowest number of a step.
fn lowest_of(step: u8) -> u64 {
    if u64::from(step) < EXACT {
        return u64::from(step);
    }
    let (octave, quarter) = (u32::from(step - 16) / 4 + 4, u64::from(step - 16) % 4);
    (4 + quarter) << (octave - 2)
}

/// Octaves from one step to a higher one.
fn octaves(from: u8, to: u8) -> f64 {
    let place = |step: u8| (lowest_of(step) as f64 + 1.0).log2();
    (place(to) - place(from)).max(0.0)
}

impl LogHistogram {
    /// Counts one number.
    pub fn learn(&mut self, value: u64) {
        self.add(step_of(value), 1);
    }

    fn add(&mut self, step: u8, count: u64) {
        match self.steps.binary_search_by_key(&step, |entry| entry.0) {
            Ok(place) => self.steps[place].1 = self.steps[place].1.saturating_add(count),
            Err(place) => self.steps.insert(place, (step, count)),
        }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for &(step, count) in &other.steps {
            self.add(step, count);
        }
    }

    /// Numbers counted.
    pub fn len(&self) -> u64 {
        self.steps.iter().fold(0, |sum: u64, &(_, count)| sum.saturating_add(count))
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether all numbers lie in one step: they tell no more than one number does.
    pub fn is_constant(&self) -> bool {
        self.steps.len() <= 1
    }

    /// The lowest number of the step below which no more than a share `share` of the numbers lies.
    pub fn quantile(&self, share: f64) -> u64 {
        let below = (self.len() as f64 * share.clamp(0.0, 1.0)).floor() as u64;
        let mut sum = 0u64;
        for &(step, count) in &self.steps {
            sum = sum.saturating_add(count);
            if sum > below {
                return lowest_of(step);
            }
        }
        self.steps.last().map_or(0, |&(step, _)| lowest_of(step))
    }

    /// The highest number that lies in the highest step.
    pub fn highest(&self) -> u64 {
        self.steps.last().map_or(0, |&(step, _)| match step {
            u8::MAX => u64::MAX,
            step => lowest_of(step + 1) - 1,
        })
    }

    /// Probability of a number as high as `value`, by what was counted (conformal: the number itself counts as one more). Beyond the
    /// highest number ever counted the tail falls as a power law: by a factor of 2 to the power `index` an octave. Where steps hold more
    /// than one number, those of the next step inwards count as well: a number just across a border is no news.
    pub fn at_least(&self, value: u64, index: f64) -> f64 {
        let step = step_of(value);
        let step = if step > EXACT as u8 { step - 1 } else { step };
        let count = self.steps.iter().filter(|entry| entry.0 >= step).fold(0u64, add_count);
        let beyond = self.steps.last().map_or(0.0, |&(last, _)| octaves(last, step));
        (count as f64 + (-beyond * index).exp2()) / (self.len() as f64 + 1.0)
    }

    /// Probability of a number as low as `value`, likewise.
    pub fn at_most(&self, value: u64, index: f64) -> f64 {
        let step = step_of(value);
        let step = if step >= EXACT as u8 { step.saturating_add(1) } else { step };
        let count = self.steps.iter().filter(|entry| entry.0 <= step).fold(0u64, add_count);
        let beyond = self.steps.first().map_or(0.0, |&(first, _)| octaves(step, first));
        (count as f64 + (-beyond * index).exp2()) / (self.len() as f64 + 1.0)
    }

    /// Whether steps ascend, none is empty, and their counts can be summed.
    pub(crate) fn is_consistent(&self) -> bool {
        self.steps.is_sorted_by(|a, b| a.0 < b.0)
            && self.steps.iter().all(|&(_, count)| count > 0)
            && self.steps.iter().try_fold(0u64, |sum, &(_, count)| sum.checked_add(count)).is_some()
    }
}

fn add_count(sum: u64, entry: &(u8, u64)) -> u64 {
    sum.saturating_add(entry.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learned(values: &[u64]) -> LogHistogram {
        let mut histogram = LogHistogram::default();
        for &value in values {
            histogram.learn(value);
        }
        histogram
    }

    #[test]
    fn every_step_begins_with_its_lowest_number() {
        for step in 0..=u8::MAX {
            let lowest = lowest_of(step);
            assert_eq!(step_of(lowest), step);
            if lowest > 0 {
                assert_eq!(step_of(lowest - 1), step - 1);
            }
        }
        assert_eq!(step_of(u64::MAX), u8::MAX);
    }

    proptest! {
        #[test]
        fn merged_histograms_are_those_of_all_numbers(
            a in proptest::collection::vec(any::<u64>(), 0..40),
            b in proptest::collection::vec(0u64..5000, 0..40),
        ) {
            let mut merged = learned(&a);
            merged.merge(&learned(&b));
            let all: Vec<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(&merged, &learned(&all));
            prop_assert!(merged.is_consistent());
            prop_assert_eq!(merged.len(), all.len() as u64);
        }

        #[test]
        fn tails_are_probabilities_that_fall_outwards(
            values in proptest::collection::vec(0u64..100_000, 0..40),
            probe in any::<u64>(),
            further in any::<u64>(),
        ) {
            let histogram = learned(&values);
            let (low, high) = (probe.min(further), probe.max(further));
            for probability in [histogram.at_least(probe, 1.0), histogram.at_most(probe, 1.0)] {
                prop_assert!(probability > 0.0 && probability <= 1.0 + 1e-12);
            }
            prop_assert!(histogram.at_least(high, 1.0) <= histogram.at_least(low, 1.0));
            prop_assert!(histogram.at_most(low, 1.0) <= histogram.at_most(high, 1.0));
        }

        #[test]
        fn quantiles_are_off_by_less_than_a_step(mut values in proptest::collection::vec(any::<u64>(), 1..60), share in 0.0f64..1.0) {
            let histogram = learned(&values);
            values.sort_unstable();
            let place = ((values.len() as f64 * share).floor() as usize).min(values.len() - 1);
            prop_assert_eq!(histogram.quantile(share), lowest_of(step_of(values[place])));
            prop_assert!(histogram.highest() >= values[values.len() - 1]);
        }
    }

    #[test]
    fn a_number_far_beyond_all_others_is_rarer_than_one_just_beyond() {
        let histogram = learned(&[100; 999]);
        let near = histogram.at_least(130, 1.0);
        let far = histogram.at_least(130 << 10, 1.0);
        assert!(near < 1.0 / 1000.0 && far < near / 500.0, "{near} {far}");
    }
}

//! How calls end: with success, or with which error.

use serde::{Deserialize, Serialize};

use super::binomial::bunched_surprise;

/// Most errors that are told apart of one call. Linux has 133.
const MAX_ERRORS: usize = 160;

/// Highest error number of Linux.
const HIGHEST_ERROR: i64 = 4095;

/// Scale of [`Occurrences::squares`].
const SQUARES_UNIT: u64 = 1 << 16;

/// Dispersion that is believed before data speaks, and how many frames that belief is worth.
const PRIOR_DISPERSION: f64 = 2.0;
const PRIOR_FRAMES: f64 = 4.0;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Outcome {
    /// With any error.
    Failure,
    /// Without error.
    Success,
    /// With this error.
    Error(u16),
}

/// The error that a result stands for.
pub(crate) fn error_of(result: i64) -> Option<u16> {
    (-HIGHEST_ERROR..0).contains(&result).then(|| -result as u16)
}

/// How often something happened, and how bunched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Occurrences {
    times: u64,
    /// Sum over frames of times² / calls, in units of 1/65,536. Whole numbers, so that the order of frames changes nothing.
    squares: u64,
}

impl Occurrences {
    fn learn(&mut self, times: u64, calls: u64) {
        self.times = self.times.saturating_add(times);
        let squared = times.saturating_mul(times).saturating_mul(SQUARES_UNIT) / calls.max(1);
        self.squares = self.squares.saturating_add(squared);
    }

    fn merge(&mut self, other: Self) {
        self.times = self.times.saturating_add(other.times);
        self.squares = self.squares.saturating_add(other.squares);
    }

    /// How many times as scattered over frames its number is as if calls were independent: Pearson's statistic by its degrees of freedom,
    /// as in quasi-likelihood (R. W. M. Wedderburn, Biometrika 61, 1974).
    fn dispersion(self, calls: u64, frames: u64) -> f64 {
        let (times, calls) = (self.times as f64, calls as f64);
        let rate = times / calls.max(1.0);
        let variance = rate * (1.0 - rate);
        if variance <= 0.0 {
            return PRIOR_DISPERSION;
        }
        let scatter = (self.squares as f64 / SQUARES_UNIT as f64 - times * rate).max(0.0);
        let freedom = (frames as f64 - 1.0).max(0.0);
        ((scatter / variance + PRIOR_DISPERSION * PRIOR_FRAMES) / (freedom + PRIOR_FRAMES)).max(1.0)
    }
}

/// How the calls of one name ended in training.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    /// Calls whose result is known.
    calls: u64,
    /// Frames with such calls.
    frames: u64,
    failed: Occurrences,
    /// By error, ascending.
    errors: Vec<(u16, Occurrences)>,
}

/// What is unusual about how the calls of one name ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct UnusualOutcome {
    pub(crate) surprise: f64,
    pub(crate) outcome: Outcome,
    pub(crate) times: u32,
    pub(crate) calls: u32,
    pub(crate) trained_times: u64,
    pub(crate) trained_calls: u64,
}

impl Outcomes {
    /// Learns the results of one frame.
    pub(crate) fn learn(&mut self, results: &[i64]) {
        if results.is_empty() {
            return;
        }
        let calls = results.len() as u64;
        self.calls = self.calls.saturating_add(calls);
        self.frames = self.frames.saturating_add(1);
        let errors = errors_in(results);
        self.failed.learn(errors.iter().map(|&(_, times)| times).sum(), calls);
        for (error, times) in errors {
            if let Some(known) = self.entry(error) {
                known.learn(times, calls);
            }
        }
    }

    fn entry(&mut self, error: u16) -> Option<&mut Occurrences> {
        match self.errors.binary_search_by_key(&error, |entry| entry.0) {
            Ok(place) => Some(&mut self.errors[place].1),
            Err(_) if self.errors.len() >= MAX_ERRORS => None,
            Err(place) => {
                self.errors.insert(place, (error, Occurrences::default()));
                Some(&mut self.errors[place].1)
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.frames = self.frames.saturating_add(other.frames);
        self.failed.merge(other.failed);
        for &(error, occurrences) in &other.errors {
            if let Some(known) = self.entry(error) {
                known.merge(occurrences);
            }
        }
    }

    /// The most surprising thing about how the calls of a frame ended.
    pub(crate) fn judge(&self, results: &[i64]) -> Option<UnusualOutcome> {
        if results.is_empty() || self.calls == 0 {
            return None;
        }
        let calls = results.len() as u64;
        let errors = errors_in(results);
        let failed: u64 = errors.iter().map(|&(_, times)| times).sum();
        let unusual = |surprise: f64, outcome: Outcome, times: u64, trained_times: u64| UnusualOutcome {
            surprise,
            outcome,
            times: times as u32,
            calls: calls as u32,
            trained_times,
            trained_calls: self.calls,
        };
        let smoothed = |times: u64| (times as f64 + 1.0) / (self.calls as f64 + 2.0);
        let dispersion = self.failed.dispersion(self.calls, self.frames);
        let succeeded = self.calls.saturating_sub(self.failed.times);
        let mut candidates = vec![
            unusual(
                bunched_surprise(failed, calls, smoothed(self.failed.times), dispersion),
                Outcome::Failure,
                failed,
                self.failed.times,
            ),
            unusual(
                bunched_surprise(calls - failed, calls, smoothed(succeeded), dispersion),
                Outcome::Success,
                calls - failed,
                succeeded,
            ),
        ];
        for (error, times) in errors {
            let outcome = Outcome::Error(error);
            match self.errors.binary_search_by_key(&error, |entry| entry.0) {
                Ok(place) => {
                    let known = self.errors[place].1;
                    let dispersion = known.dispersion(self.calls, self.frames);
                    let surprise = bunched_surprise(times, calls, smoothed(known.times), dispersion);
                    candidates.push(unusual(surprise, outcome, times, known.times));
                }
                // Where not all errors could be kept, one that was not is no news.
                Err(_) if self.errors.len() >= MAX_ERRORS => {}
                // A first time: rarer, the more calls brought fewer different errors (I. H. Witten, T. C. Bell, "The zero-frequency
                // problem", IEEE Transactions on Information Theory 37, 1991). That it comes again in the frame is no further news.
                Err(_) => {
                    let kinds = self.errors.len() as f64 + 1.0;
                    let probability = kinds / (self.calls as f64 + kinds) * calls as f64;
                    candidates.push(unusual(-probability.min(1.0).ln(), outcome, times, 0));
                }
            }
        }
        candidates.into_iter().max_by(|a, b| a.surprise.total_cmp(&b.surprise))
    }

    /// Calls whose result is known.
    pub(crate) fn calls(&self) -> u64 {
        self.calls
    }

    /// Calls that failed.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.times
    }

    pub(crate) fn is_consistent(&self) -> bool {
        self.errors.len() <= MAX_ERRORS
            && self.errors.is_sorted_by(|a, b| a.0 < b.0)
            && self.failed.times <= self.calls
            && self.frames <= self.calls
            && self.errors.iter().all(|&(error, occurrences)| {
                (1..=HIGHEST_ERROR as u16).contains(&error)
                    && (1..=self.failed.times).contains(&occurrences.times)
            })
    }
}

/// Errors among results with how often, ascending.
fn errors_in(results: &[i64]) -> Vec<(u16, u64)> {
    let mut errors: Vec<u16> = results.iter().filter_map(|&result| error_of(result)).collect();
    errors.sort_unstable();
    errors.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u64)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learned(frames: &[Vec<i64>]) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for frame in frames {
            outcomes.learn(frame);
        }
        outcomes
    }

    fn any_frames() -> impl Strategy<Value = Vec<Vec<i64>>> {
        proptest::collection::vec(proptest::collection::vec(-4i64..4, 0..12), 0..20)
    }

    proptest! {
        #[test]
        fn merged_outcomes_are_those_of_all_frames(a in any_frames(), b in any_frames()) {
            let mut merged = learned(&a);
            merged.merge(&learned(&b));
            prop_assert_eq!(&merged, &learned(&[b, a].concat()));
            prop_assert!(merged.is_consistent());
        }
    }

    #[test]
    fn many_failures_of_a_call_that_seldom_fails_are_surprising() {
        let mut frames = vec![vec![3i64; 10]; 98];
        frames.extend([vec![3, 3, 3, 3, -2, 3, 3, 3, 3, 3], vec![3, -2, 3, 3, 3, 3, 3, 3, 3, 3]]);
        let outcomes = learned(&frames);
        let unusual = outcomes.judge(&[-2, -2, -2, 3, -2, -2, -2, -2, -2, 3, -2, -2, -2, -2]).unwrap();
        assert!(unusual.surprise > 15.0, "{unusual:?}");
        assert_eq!((unusual.times, unusual.calls, unusual.trained_times), (12, 14, 2));
        assert!(outcomes.judge(&[3, 3, -2, 3]).unwrap().surprise < 6.0);
        assert!(outcomes.judge(&[3; 14]).unwrap().surprise < 0.5);
    }

    #[test]
    fn failures_that_come_in_bunches_are_expected_in_bunches() {
        let bunched: Vec<Vec<i64>> =
            (0..100).map(|frame| if frame % 10 == 0 { vec![-11i64; 10] } else { vec![1; 10] }).collect();
        let scattered: Vec<Vec<i64>> = (0..100)
            .map(|frame| (0..10).map(|call| if call == frame % 10 { -11 } else { 1 }).collect())
            .collect();
        let frame = vec![-11i64; 10];
        let surprise = |frames: &[Vec<i64>]| learned(frames).judge(&frame).unwrap().surprise;
        assert!(surprise(&bunched) < 3.0, "{}", surprise(&bunched));
        assert!(surprise(&scattered) > 3.0 * surprise(&bunched), "{}", surprise(&scattered));
    }

    #[test]
    fn an_error_never_seen_is_surprising_even_once_where_much_was_seen() {
        let outcomes = learned(&vec![vec![3i64, -2, 3, 3]; 1000]);
        let unusual = outcomes.judge(&[3, -13, 3, 3]).unwrap();
        assert_eq!((unusual.outcome, unusual.trained_times), (Outcome::Error(13), 0));
        assert!(unusual.surprise > 5.0, "{unusual:?}");
        let little = learned(&[vec![3, -2, 3, 3]]);
        assert!(little.judge(&[3, -13, 3, 3]).unwrap().surprise < 1.0);
    }

    #[test]
    fn success_of_a_call_that_always_failed_is_surprising() {
        let outcomes = learned(&vec![vec![-1i64; 5]; 200]);
        let unusual = outcomes.judge(&[0, 0, 0, 0]).unwrap();
        assert_eq!(unusual.outcome, Outcome::Success);
        assert!(unusual.surprise > 10.0, "{unusual:?}");
    }

    #[test]
    fn results_that_are_no_errors_are_none() {
        assert_eq!(error_of(-2), Some(2));
        assert_eq!(error_of(-4095), Some(4095));
        for none in [0, 7, -4096, i64::MIN, i64::MAX] {
            assert_eq!(error_of(none), None);
        }
    }
}

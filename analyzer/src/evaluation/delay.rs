//! Time to detect, in calls.
//!
//! A labelled trace tells nothing of when its attack begins, so the time counts from its first call: after how many calls the trace so far
//! alarms, *and goes on to alarm to its end*. (The first crossing alone would flatter: the first calls of a trace score wildly, attack or
//! not, and a rule that takes them has more false alarms than the threshold was set for.)

use serde::Serialize;

use crate::alphabet::Symbol;

/// The false-alarm rate at whose threshold the time is measured.
pub const DELAY_FALSE_ALARM_RATE: f64 = 0.10;

/// Shortest beginning of a trace that is looked at.
const SHORTEST: usize = 16;

/// How many calls it takes to detect an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// Attack traces that alarm in the end.
    pub detected: u64,
    /// Calls after which half of these alarm.
    pub median_calls: u64,
    /// Calls after which nine of ten of these alarm.
    pub ninetieth_percentile_calls: u64,
}

/// Calls after which `trace`, which scores above `threshold` in the end, does so for good. Its beginnings are looked at in steps
/// of a quarter of their length.
pub(crate) fn of_trace(trace: &[Symbol], threshold: f64, mut score: impl FnMut(&[Symbol]) -> f64) -> usize {
    let mut calls = trace.len();
    // From the end: the first beginning that does not alarm ends the search.
    for length in beginnings(trace.len()).into_iter().rev() {
        if score(&trace[..length]) <= threshold {
            break;
        }
        calls = length;
    }
    calls
}

/// The highest of these normal scores above which no more than [`DELAY_FALSE_ALARM_RATE`] of them lie: the threshold. (A point of the
/// curve would not do: between two scores it lies as high as the lowest attack that it detects.)
pub(crate) fn threshold(normal: &[f64]) -> Option<f64> {
    let mut falling = normal.to_vec();
    falling.sort_unstable_by(|a, b| b.total_cmp(a));
    falling.get((normal.len() as f64 * DELAY_FALSE_ALARM_RATE) as usize).copied()
}

/// Lengths of the beginnings of a trace that are looked at, the whole left out.
fn beginnings(calls: usize) -> Vec<usize> {
    let next = |&length: &usize| Some(length + length.div_ceil(4));
    std::iter::successors(Some(SHORTEST), next).take_while(|&length| length < calls).collect()
}

/// What the calls to detect of all detected traces come to; `None` if there are none.
pub(crate) fn summary(mut calls: Vec<usize>) -> Option<Delay> {
    calls.sort_unstable();
    let at = |share: f64| calls.get(((calls.len() as f64 * share).ceil() as usize).max(1) - 1);
    Some(Delay {
        detected: calls.len() as u64,
        median_calls: *at(0.5)? as u64,
        ninetieth_percentile_calls: *at(0.9)? as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_detected_where_it_begins_to_alarm_for_good() {
        // Half of the calls so far must be attack calls (1).
        let score = |calls: &[Symbol]| {
            calls.iter().filter(|&&symbol| symbol == 1).count() as f64 / calls.len() as f64
        };
        let mut trace: Vec<Symbol> = vec![0; 100];
        trace.extend([1; 300]);
        let calls = of_trace(&trace, 0.49, score);
        assert!((200..=250).contains(&calls), "{calls}");
        // A false start does not count.
        let mut trace: Vec<Symbol> = vec![1; 40];
        trace.extend([0; 100]);
        trace.extend([1; 300]);
        assert!(of_trace(&trace, 0.6, score) > 200);
        assert_eq!(of_trace(&[1; 400], 0.5, score), SHORTEST);
        assert_eq!(of_trace(&[1; 9], 0.5, score), 9);
    }

    #[test]
    fn one_normal_of_ten_is_above_the_threshold() {
        let normal: Vec<f64> = (0..100).map(f64::from).collect();
        let threshold = threshold(&normal).unwrap();
        assert_eq!(normal.iter().filter(|&&score| score > threshold).count(), 10);
        assert_eq!(super::threshold(&[]), None);
    }

    #[test]
    fn half_and_nine_of_ten_are_told() {
        let delay = summary((1..=100).rev().collect()).unwrap();
        assert_eq!((delay.detected, delay.median_calls, delay.ninetieth_percentile_calls), (100, 50, 90));
        assert_eq!(summary(vec![7]).unwrap().ninetieth_percentile_calls, 7);
        assert_eq!(summary(Vec::new()), None);
    }
}

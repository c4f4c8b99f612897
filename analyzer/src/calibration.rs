//! From raw scores to 0–100, so that 50 means the same for every detector: the false-alarm budget.
//!
//! # Held-out frames
//!
//! While a profile is trained, every frame is scored *before* it is learned, against what had been learned up to then
//! (prequential: A. P. Dawid, "Statistical theory: the prequential approach", J. R. Statist. Soc. A 147, 1984). The frames scored when at
//! least half of the final training data had been learned are the held-out data: normal, in the order of time, from the same
//! workload, and never seen by the profile that scored them. What is learned is taken over in blocks, so that a new habit that lasts
//! for a while counts as often as it would in operation.
//!
//! # The tail
//!
//! A budget such as one alarm a container a day asks for far smaller probabilities than held-out data can show: a busy container makes a
//! million frames a day. The raw score is the peak of a random walk that drifts down (see `novelty`), and the tail of such a peak
//! falls exponentially (Cramér and Lundberg; D. Siegmund, "Sequential Analysis", 1985, chapter 2). So the highest twentieth of the
//! held-out scores (at least ten) is continued as an exponential, which is peaks over threshold with a generalised Pareto distribution of
//! shape 0. Its mean excess is estimated from the data and **never taken to be less than one window size**: a single new turn of
//! a program makes up to that many unseen windows, so where the data shows nothing at all, each further new turn close by is
//! still taken to be only e times rarer than the one before. (Detectors that judge frames as a whole say themselves what their least mean
//! excess is: [`crate::detector::RawScale`].)
//!
//! Below the tail, a raw score's probability is the conformal p-value (1 + held-out scores at least as high) / (1 + held-out
//! scores): with few frames it cannot be small (V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2005).
//!
//! # The scale
//!
//! `score = 50 · ln p / ln p_budget`, cut at 100, where `p_budget` is the budget divided by frames a container a day (as measured in
//! training) and by the number of models (Bonferroni: together they keep the budget). So 50 is the threshold for
//! every detector, 100 is the budget's probability squared, and the scale is linear in the exponent.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{detector::RawScale, message::grouped};

/// Score at which a frame alarms.
pub const THRESHOLD: f64 = 50.0;

/// Highest score.
const HIGHEST: f64 = 100.0;

/// Highest held-out scores that the tail is fitted to: one in so many of all, but at least so many.
const TAIL_AT_LEAST: u64 = 10;
const TAIL_ONE_IN: u64 = 20;

/// Frames a container a day that are believed. Training data with long pauses, or with times squeezed into an instant, must not
/// lead to an absurd threshold: one frame in ten seconds, and 50 a second, all day.
const FRAMES_PER_DAY: std::ops::RangeInclusive<f64> = 8640.0..=4_320_000.0;

/// Frames a container a day where training data has no times: one a second.
const FRAMES_PER_DAY_UNKNOWN: f64 = 86_400.0;

/// Raw scores of held-out normal frames, as a histogram.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Frames.
    pub frames: u64,
    /// Raw scores above 0 in whole fractions ([`RawScale::units`]), ascending, with the number of frames that reached just this.
    pub levels: Vec<(u32, u64)>,
}

impl HeldOut {
    /// A histogram of these levels.
    pub(crate) fn of(levels: impl Iterator<Item = u32>) -> Self {
        let mut counts = std::collections::BTreeMap::new();
        let mut frames = 0;
        for level in levels {
            frames += 1;
            if level > 0 {
                *counts.entry(level).or_insert(0) += 1;
            }
        }
        Self { frames, levels: counts.into_iter().collect() }
    }

    /// Adds the frames of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        let mut counts: std::collections::BTreeMap<u32, u64> = self.levels.iter().copied().collect();
        for &(level, count) in &other.levels {
            let sum = counts.entry(level).or_insert(0);
            *sum = sum.saturating_add(count);
        }
        self.levels = counts.into_iter().collect();
        self.frames = self.frames.saturating_add(other.frames);
    }

    /// A histogram of these raw scores, which occurred so often.
    pub(crate) fn of_raw(scores: &[(f64, u64)], scale: &RawScale) -> Self {
        let mut counts = std::collections::BTreeMap::new();
        let mut frames = 0u64;
        for &(raw, count) in scores {
            frames = frames.saturating_add(count);
            let level = scale.level(raw);
            if level > 0 {
                let sum = counts.entry(level).or_insert(0u64);
                *sum = sum.saturating_add(count);
            }
        }
        Self { frames, levels: counts.into_iter().collect() }
    }

    /// The highest raw score.
    pub fn highest(&self, scale: &RawScale) -> f64 {
        self.levels.last().map_or(0.0, |&(level, _)| scale.raw(level))
    }

    /// Whether levels ascend and no more frames have one than there are.
    pub(crate) fn is_consistent(&self) -> bool {
        let positive = self.levels.iter().try_fold(0u64, |sum, &(_, count)| sum.checked_add(count));
        positive.is_some_and(|positive| positive <= self.frames)
            && self.levels.iter().all(|&(level, count)| level > 0 && count > 0)
            && self.levels.is_sorted_by(|a, b| a.0 < b.0)
    }
}

/// What the budget is divided by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// False alarms a container a day.
    pub per_day: f64,
    /// Frames a container a day; `None` where unknown.
    pub frames_per_day: Option<f64>,
    /// Models that look at the same frames.
    pub models: usize,
}

impl Budget {
    /// Probability with which one normal frame may alarm by one model.
    pub fn probability(&self) -> f64 {
        let frames = self
            .frames_per_day
            .unwrap_or(FRAMES_PER_DAY_UNKNOWN)
            .clamp(*FRAMES_PER_DAY.start(), *FRAMES_PER_DAY.end());
        (self.per_day / frames / self.models.max(1) as f64).clamp(1e-15, 0.1)
    }
}

/// How raw scores of one model become scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Raw score and score, both ascending; between two, scores lie on a line.
    knots: Vec<(f64, f64)>,
    /// Scores a unit of raw score beyond the last knot.
    slope: f64,
    held_out: u64,
    highest: f64,
    budget: f64,
    capped: bool,
    unit: &'static str,
}

impl Calibration {
    /// Calibrates a model whose raw scores are counted by `scale` on held-out frames.
    pub fn new(held_out: &HeldOut, scale: &RawScale, budget: &Budget) -> Self {
        let raw_score = |level| scale.raw(level);
        let probability = budget.probability();
        let frames = held_out.frames as f64;
        let score_of = |p: f64| (THRESHOLD * p.ln() / probability.ln()).clamp(0.0, HIGHEST);
        // The tail: exceedances over the level that at most `in_tail` frames exceed.
        let in_tail = (held_out.frames / TAIL_ONE_IN).max(TAIL_AT_LEAST);
        let mut exceeding = 0;
        let mut excess_sum = 0.0;
        let mut tail_starts_at = 0.0;
        for &(level, count) in held_out.levels.iter().rev() {
            if exceeding + count > in_tail {
                tail_starts_at = raw_score(level);
                break;
            }
            exceeding += count;
            excess_sum += raw_score(level) * count as f64;
        }
        let mean_excess = if exceeding == 0 { 0.0 } else { excess_sum / exceeding as f64 - tail_starts_at };
        let mean_excess = mean_excess.max(scale.least_mean_excess);
        let mut at_least: u64 = held_out.levels.iter().map(|&(_, count)| count).sum();
        let mut knots = vec![(0.0, 0.0)];
        for &(level, count) in
            held_out.levels.iter().filter(|&&(level, _)| raw_score(level) <= tail_starts_at)
        {
            knots.push((raw_score(level), score_of((at_least as f64 + 1.0) / (frames + 1.0))));
            at_least -= count;
        }
        if let Some(last) = knots.last_mut() {
            last.1 = score_of((at_least as f64 + 1.0) / (frames + 1.0));
        }
        let slope = THRESHOLD / -probability.ln() / mean_excess;
        let mut calibration = Self {
            knots,
            slope,
            held_out: held_out.frames,
            highest: held_out.highest(scale),
            budget: probability,
            capped: false,
            unit: scale.name,
        };
        let (lowest, highest) = (scale.least_threshold, scale.highest_threshold);
        let threshold = calibration.raw_threshold();
        calibration.capped = threshold > highest;
        if !(lowest..=highest).contains(&threshold) {
            calibration.knots = vec![(0.0, 0.0)];
            calibration.slope = THRESHOLD / threshold.clamp(lowest, highest);
        }
        calibration
    }

    /// The score of a raw score.
    pub fn score(&self, raw: f64) -> f64 {
        if raw <= 0.0 {
            return 0.0;
        }
        let above = self.knots.partition_point(|knot| knot.0 <= raw);
        let (raw_below, score_below) = self.knots[above - 1];
        let score = match self.knots.get(above) {
            Some(&(raw_above, score_above)) => {
                score_below + (score_above - score_below) * (raw - raw_below) / (raw_above - raw_below)
            }
            None => score_below + (raw - raw_below) * self.slope,
        };
        score.min(HIGHEST)
    }

    /// The lowest raw score that alarms.
    pub fn raw_threshold(&self) -> f64 {
        let above = self.knots.partition_point(|knot| knot.1 < THRESHOLD);
        if above == 0 {
            return 0.0;
        }
        let (raw_below, score_below) = self.knots[above - 1];
        match self.knots.get(above) {
            Some(&(raw_above, score_above)) => {
                raw_below + (raw_above - raw_below) * (THRESHOLD - score_below) / (score_above - score_below)
            }
            None => raw_below + (THRESHOLD - score_below) / self.slope,
        }
    }

    /// What the calibration rests on, for people.
    pub fn describe(&self) -> String {
        let Self { held_out, highest, budget, unit, .. } = self;
        let threshold = self.raw_threshold();
        let mut text = format!(
            "calibrated on {held_out} held-out frames, the most novel at {highest:.1} {unit}; alarms from {threshold:.1} {unit} on"
        );
        if self.capped {
            text.push_str("; normal frames were so novel that the budget cannot be kept: train on more data");
        } else if (*held_out as f64) < 1.0 / budget {
            let beyond = 1.0 / budget / (*held_out as f64 + 1.0);
            let _ = write!(
                text,
                "; the budget of one frame in {} lies {} times beyond the data and is extrapolated",
                grouped((1.0 / budget).round() as u64),
                grouped(beyond.round() as u64)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::novelty::scale;

    fn budget(per_day: f64) -> Budget {
        Budget { per_day, frames_per_day: Some(100_000.0), models: 2 }
    }

    fn held_out() -> impl Strategy<Value = HeldOut> {
        proptest::collection::vec(prop_oneof![3 => Just(0u32), 1 => 1u32..400, 1 => 1u32..4097], 0..300)
            .prop_map(|levels| HeldOut::of(levels.into_iter()))
    }

    proptest! {
        #[test]
        fn a_score_rises_with_its_raw_score_and_alarms_from_the_threshold_on(
            held_out in held_out(),
            window in 2u32..=16,
            per_day in 0.001f64..1000.0,
        ) {
            let calibration = Calibration::new(&held_out, &scale(window), &budget(per_day));
            let scores: Vec<f64> = (0..=4096).map(|level| calibration.score(scale(window).raw(level))).collect();
            prop_assert!(scores.is_sorted());
            prop_assert_eq!(scores[0].to_bits(), 0.0f64.to_bits());
            prop_assert!(scores.iter().all(|score| (0.0..=100.0).contains(score)));
            let threshold = calibration.raw_threshold();
            prop_assert!(threshold >= f64::from(2 * window) - 1e-6 && threshold <= 512.0 + 1e-6, "{}", threshold);
            prop_assert!(calibration.score(threshold + 1e-6) >= THRESHOLD - 1e-9);
            prop_assert!(calibration.score(threshold - 1e-6) <= THRESHOLD + 1e-9);
            prop_assert!(!calibration.describe().is_empty());
        }

        #[test]
        fn a_smaller_budget_never_lowers_the_threshold(held_out in held_out(), per_day in 0.01f64..10.0) {
            let threshold = |per_day| Calibration::new(&held_out, &scale(6), &budget(per_day)).raw_threshold();
            prop_assert!(threshold(per_day / 10.0) >= threshold(per_day) - 1e-9);
        }

        #[test]
        fn histograms_add_up(a in held_out(), b in held_out()) {
            let mut sum = a.clone();
            sum.add(&b);
            prop_assert!(sum.is_consistent());
            prop_assert_eq!(sum.frames, a.frames + b.frames);
            prop_assert_eq!(sum.highest(&scale(6)).to_bits(), a.highest(&scale(6)).max(b.highest(&scale(6))).to_bits());
        }
    }

    /// Frames of which one in twenty has a level, exponential with a mean of 80 units, drawn from a fixed generator.
    fn exponential_frames(count: usize, seed: u64) -> HeldOut {
        let mut state = seed;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        HeldOut::of((0..count).map(move |_| {
            let (novel, draw) = (uniform() < 0.05, uniform());
            if novel { (-draw.ln() * 80.0).ceil() as u32 } else { 0 }
        }))
    }

    #[test]
    fn the_budget_is_kept_far_beyond_the_data_where_the_tail_is_what_it_is_taken_to_be() {
        let asked = budget(1.0).probability();
        for seed in 1..=20 {
            let calibration = Calibration::new(&exponential_frames(5000, seed), &scale(6), &budget(1.0));
            let threshold_units = calibration.raw_threshold() * f64::from(crate::novelty::UNITS_PER_WINDOW);
            let realised = 0.05 * (-threshold_units / 80.0).exp();
            assert!(
                realised < asked * 10.0 && realised > asked / 1000.0,
                "seed {seed}: {realised:e} for {asked:e}"
            );
        }
    }

    #[test]
    fn little_data_is_taken_with_caution() {
        let threshold = |frames| {
            Calibration::new(&HeldOut { frames, levels: Vec::new() }, &scale(6), &budget(1.0)).raw_threshold()
        };
        assert!(threshold(0) > threshold(100) && threshold(100) > threshold(10_000));
        assert!(threshold(0) > 70.0, "nothing held out: {}", threshold(0));
        // However much: two new turns of a program side by side are no intrusion.
        assert!((threshold(1 << 40) - 12.0).abs() < 1e-9);
    }

    #[test]
    fn a_profile_that_finds_its_own_workload_novel_says_that_it_cannot_keep_the_budget() {
        let held_out = HeldOut { frames: 100, levels: vec![(4096, 60)] };
        let calibration = Calibration::new(&held_out, &scale(6), &budget(1.0));
        assert!((calibration.raw_threshold() - 512.0).abs() < 1e-9);
        assert!(calibration.describe().contains("cannot be kept"), "{}", calibration.describe());
    }
}

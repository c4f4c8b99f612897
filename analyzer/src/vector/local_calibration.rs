//! How extreme is a raw score *among normal frames that behave alike*?
//!
//! Every raw score depends on what a frame does, long before anything is wrong: a loop over two calls is easy to predict and has few
//! grams; the start of a program has many, each rare. One threshold for all of them alarms on the varied and misses the monotonous.
//! So a raw score is first compared with those of the held-out normal frames whose mix of calls ([`super::call_mix`]) is nearest to its own:
//! how many standard deviations does it lie above their mean? (A conformal predictor whose measure of strangeness is normalised by how hard
//! the case is: H. Papadopoulos, A. Gammerman, V. Vovk, "Normalized nonconformity measures for regression conformal prediction", 2008.)
//! The share of held-out frames that lie as far above *their* likes is its p-value. Beyond the highest twentieth, an exponential takes
//! over, so that p-values of the far-off still differ.
//!
//! p-values of several models are combined by their mean. Twice the mean of p-values is a p-value again however the models depend on one
//! another (L. Rüschendorf, "Random variables with maximum sums", 1982; V. Vovk, R. Wang, "Combining p-values via averaging", Biometrika
//! 107, 2020), which cannot be said of products.

use serde::{Deserialize, Serialize};

use super::call_mix::{CallMixes, call_mix};
use crate::alphabet::Symbol;

/// How many frames a frame is compared with.
pub(crate) const NEIGHBOURS: usize = 60;

/// Most held-out frames that are kept. More make the search slower, not the neighbours nearer.
pub(crate) const MAX_HELD_OUT: usize = 1024;

/// Share of the spread among all frames that is added to the spread among the likes of a frame: some have none.
const SHARED_SPREAD: f64 = 0.3;

/// Share of held-out frames that the tail is fitted to.
const TAIL: f64 = 0.05;

/// A held-out normal frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeldOutFrame {
    /// Its calls, as [`call_mix`] gives them.
    pub(crate) mix: Vec<(Symbol, f32)>,
    /// The raw score that each model gave it without knowing it.
    pub(crate) scores: Vec<f64>,
    /// How often it occurred.
    pub(crate) count: u64,
}

/// Turns the raw scores of several models into p-values.
#[derive(Debug, Clone)]
pub(crate) struct LocalCalibration {
    held_out: Vec<HeldOutFrame>,
    mixes: CallMixes,
    models: Vec<ModelCalibration>,
}

#[derive(Debug, Clone)]
struct ModelCalibration {
    /// Standard deviation of all raw scores.
    spread: f64,
    /// Deviations of the held-out frames from their likes, ascending, with the number of frames from each on.
    deviations: Vec<(f64, f64)>,
    /// Number of held-out frames.
    frames: f64,
    /// Deviation from which on the tail holds, the share of frames from there on, and their mean excess.
    tail: (f64, f64, f64),
}

/// Held-out frames that no calibration can be made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("held-out frame {frame} {problem}")]
pub(crate) struct HeldOutError {
    /// Which one.
    pub(crate) frame: usize,
    /// What is wrong with it.
    pub(crate) problem: &'static str,
}

impl LocalCalibration {
    /// Calibrates `models` models on held-out frames, of which the first [`MAX_HELD_OUT`] are used.
    pub(crate) fn new(mut held_out: Vec<HeldOutFrame>, models: usize) -> Result<Self, HeldOutError> {
        held_out.truncate(MAX_HELD_OUT);
        for (number, frame) in held_out.iter().enumerate() {
            check(frame, models).map_err(|problem| HeldOutError { frame: number, problem })?;
        }
        let mixes = CallMixes::new(held_out.iter().map(|frame| frame.mix.as_slice()));
        let neighbours: Vec<Vec<u32>> = held_out
            .iter()
            .enumerate()
            .map(|(number, frame)| mixes.most_alike(&frame.mix, NEIGHBOURS, Some(number as u32)))
            .collect();
        let models = (0..models).map(|model| ModelCalibration::new(&held_out, &neighbours, model)).collect();
        Ok(Self { held_out, mixes, models })
    }

    /// The p-value of each model's raw score of a frame: the probability that a normal frame like it scores as high.
    pub(crate) fn p_values(&self, calls: &[Symbol], raw: &[f64]) -> Vec<f64> {
        let neighbours = self.mixes.most_alike(&call_mix(calls), NEIGHBOURS, None);
        self.models
            .iter()
            .zip(raw)
            .enumerate()
            .map(|(place, (model, &raw))| {
                model.p_value(deviation(&self.held_out, &neighbours, place, model.spread, raw))
            })
            .collect()
    }
}

/// The mean of p-values; 1 of none.
pub(crate) fn mean_p_value(p_values: &[f64]) -> f64 {
    if p_values.is_empty() { 1.0 } else { p_values.iter().sum::<f64>() / p_values.len() as f64 }
}

fn check(frame: &HeldOutFrame, models: usize) -> Result<(), &'static str> {
    if frame.scores.len() != models {
        return Err("does not have one score a model");
    }
    if !frame.scores.iter().all(|score| score.is_finite()) {
        return Err("has a score that is no number");
    }
    if !frame.mix.iter().all(|(_, root)| (0.0..=1.001).contains(root)) {
        return Err("has a call whose share is no share");
    }
    if !frame.mix.is_sorted_by(|a, b| a.0 < b.0) || frame.count == 0 || frame.count > 1 << 48 {
        return Err("has calls that do not ascend, or a count that cannot be");
    }
    Ok(())
}

/// How many spreads `raw` lies above the mean of the neighbours' scores.
fn deviation(held_out: &[HeldOutFrame], neighbours: &[u32], model: usize, spread: f64, raw: f64) -> f64 {
    let of_frame = |&frame: &u32| (held_out[frame as usize].scores[model], 1.0);
    let (mean, local) = moments(&neighbours.iter().map(of_frame));
    let spread = local + SHARED_SPREAD * spread;
    if spread > 0.0 { (raw - mean) / spread } else { (raw - mean) / f64::MIN_POSITIVE.sqrt() }
}

/// Mean and standard deviation of weighted values.
fn moments(values: &(impl Iterator<Item = (f64, f64)> + Clone)) -> (f64, f64) {
    let sum =
        |of: &dyn Fn(f64) -> f64| -> f64 { values.clone().map(|(value, weight)| of(value) * weight).sum() };
    let weight = sum(&|_| 1.0);
    if weight <= 0.0 {
        return (0.0, 0.0);
    }
    let mean = sum(&|value| value) / weight;
    (mean, (sum(&|value| (value - mean) * (value - mean)) / weight).sqrt())
}

impl ModelCalibration {
    fn new(held_out: &[HeldOutFrame], neighbours: &[Vec<u32>], model: usize) -> Self {
        let (_, spread) = moments(&held_out.iter().map(|frame| (frame.scores[model], frame.count as f64)));
        let mut counted: Vec<(f64, f64)> = held_out
            .iter()
            .zip(neighbours)
            .map(|(frame, neighbours)| {
                let deviation = deviation(held_out, neighbours, model, spread, frame.scores[model]);
                (deviation, frame.count as f64)
            })
            .collect();
        counted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let frames: f64 = counted.iter().map(|(_, count)| count).sum();
        let mut from_here = 0.0;
        let mut tail = (f64::INFINITY, 0.0, 0.0);
        let mut excess = 0.0;
        let mut deviations = vec![(0.0, 0.0); counted.len()];
        for (place, &(deviation, count)) in counted.iter().enumerate().rev() {
            from_here += count;
            excess += deviation * count;
            deviations[place] = (deviation, from_here);
            if tail.1 < TAIL && frames > 0.0 {
                tail = (deviation, from_here / frames, excess / from_here - deviation);
            }
        }
        Self { spread, deviations, frames, tail }
    }

    fn p_value(&self, deviation: f64) -> f64 {
        let (begin, share, mean_excess) = self.tail;
        if deviation > begin && mean_excess > 0.0 {
            // Never 0: what lies at infinity would be beyond comparison.
            return (share * (-(deviation - begin) / mean_excess).exp()).max(1e-300);
        }
        let below = self.deviations.partition_point(|&(other, _)| other < deviation);
        let at_least = self.deviations.get(below).map_or(0.0, |&(_, at_least)| at_least);
        (at_least + 1.0) / (self.frames + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held_out(frames: &[(Vec<Symbol>, f64)]) -> Vec<HeldOutFrame> {
        frames
            .iter()
            .map(|(calls, score)| HeldOutFrame { mix: call_mix(calls), scores: vec![*score], count: 1 })
            .collect()
    }

    proptest! {
        #[test]
        fn a_p_value_is_a_probability_and_falls_as_the_raw_score_rises(
            frames in proptest::collection::vec((proptest::collection::vec(0u16..6, 1..15), -10.0f64..10.0), 0..200),
            probe in proptest::collection::vec(0u16..8, 0..15),
        ) {
            let calibration = LocalCalibration::new(held_out(&frames), 1).unwrap();
            let p: Vec<f64> = (-40..40).map(|raw| calibration.p_values(&probe, &[f64::from(raw)])[0]).collect();
            prop_assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{:?}", p);
            prop_assert!(p.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12), "{:?}", p);
            prop_assert!((mean_p_value(&p) - p.iter().sum::<f64>() / 80.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_score_is_judged_among_frames_that_behave_alike() {
        // Frames of calls 0 and 1 score around 1, frames of calls 2 and 3 around 10.
        let frames: Vec<(Vec<Symbol>, f64)> = (0..400u16)
            .map(|number| {
                let noise = f64::from(number * 37 % 101) / 100.0;
                if number % 2 == 0 {
                    (vec![0, 1, number % 3], 1.0 + noise)
                } else {
                    (vec![2, 3, 3], 10.0 + noise)
                }
            })
            .collect();
        let calibration = LocalCalibration::new(held_out(&frames), 1).unwrap();
        let p = |calls: &[Symbol], raw: f64| calibration.p_values(calls, &[raw])[0];
        assert!(p(&[0, 1], 5.0) < 0.01, "{}", p(&[0, 1], 5.0));
        assert!(p(&[2, 3], 5.0) > 0.9, "{}", p(&[2, 3], 5.0));
        assert!(p(&[2, 3], 10.5) > 0.3);
        assert!(p(&[2, 3], 30.0) < p(&[2, 3], 20.0));
    }

    #[test]
    fn held_out_frames_that_contradict_themselves_are_refused() {
        let good = HeldOutFrame { mix: call_mix(&[1, 2]), scores: vec![1.0], count: 1 };
        assert!(LocalCalibration::new(vec![good.clone()], 1).is_ok());
        for bad in [
            HeldOutFrame { scores: vec![], ..good.clone() },
            HeldOutFrame { scores: vec![f64::NAN], ..good.clone() },
            HeldOutFrame { count: 0, ..good.clone() },
            HeldOutFrame { mix: vec![(1, f32::NAN)], ..good.clone() },
            HeldOutFrame { mix: vec![(2, 0.5), (1, 0.5)], ..good.clone() },
        ] {
            assert_eq!(LocalCalibration::new(vec![good.clone(), bad], 1).unwrap_err().frame, 1);
        }
    }
}

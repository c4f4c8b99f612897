//! What a threshold that is set before any test trace was seen really gives.
//!
//! A curve shows what the best threshold would have given; in use, the threshold must come from normal traces that the model did not
//! learn: separate ones, or training traces held out in turn (cross-validation over whole traces). It is the conformal one: of *m* held-out scores
//! the ⌈(m + 1)(1 − rate)⌉-th smallest (V. Vovk, A. Gammerman, G. Shafer, "Algorithmic learning in a random world", 2005), which
//! keeps the rate if normal traces to come are like the held-out ones. Where they are not, the realised rate tells how far off it is.

use serde::Serialize;

use super::{bootstrap::Interval, random::Random};

/// The rate that thresholds are set for.
pub const WANTED_FALSE_ALARM_RATE: f64 = 0.01;

/// Where the normal scores came from that a threshold was set on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldOutFrom {
    /// Training traces, each scored by a model that did not learn it.
    CrossValidation,
    /// Separate normal traces.
    SeparateTraces,
}

/// A threshold set before the test, and what it gave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RealisedThreshold {
    /// The false-alarm rate it was set for.
    pub wanted: f64,
    /// What it was set on.
    pub held_out_from: HeldOutFrom,
    /// Number of scores it was set on.
    pub held_out: u64,
    /// Everything that scores above alarms.
    pub threshold: f64,
    /// Share of the normal test traces that alarm.
    pub false_alarm_rate: f64,
    /// 95 % interval of that share (Wilson).
    pub false_alarm_interval: Interval,
    /// Share of the attack traces that alarm.
    pub detection_rate: f64,
}

/// Sets the threshold on `held_out` scores and measures it; `None` without held-out scores.
pub(crate) fn realised(
    held_out: &[f64],
    held_out_from: HeldOutFrom,
    normal: &[f64],
    attack: &[f64],
) -> Option<RealisedThreshold> {
    let mut sorted = held_out.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = ((sorted.len() + 1) as f64 * (1.0 - WANTED_FALSE_ALARM_RATE)).ceil() as usize;
    // With too few scores for the rate, the highest of them is the best that can be said.
    let threshold = *sorted.get(rank.saturating_sub(1)).or(sorted.last())?;
    let above = |scores: &[f64]| scores.iter().filter(|&&score| score > threshold).count();
    let false_alarms = above(normal);
    Some(RealisedThreshold {
        wanted: WANTED_FALSE_ALARM_RATE,
        held_out_from,
        held_out: held_out.len() as u64,
        threshold,
        false_alarm_rate: false_alarms as f64 / normal.len() as f64,
        false_alarm_interval: wilson(false_alarms, normal.len()),
        detection_rate: above(attack) as f64 / attack.len() as f64,
    })
}

/// The interval of a share (E. B. Wilson, Journal of the American Statistical Association 22, 1927).
fn wilson(successes: usize, trials: usize) -> Interval {
    const Z: f64 = 1.959_963_984_540_054;
    let trials = trials as f64;
    let share = successes as f64 / trials;
    let scale = 1.0 + Z * Z / trials;
    let middle = (share + Z * Z / (2.0 * trials)) / scale;
    let half = Z * (share * (1.0 - share) / trials + Z * Z / (4.0 * trials * trials)).sqrt() / scale;
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// In which of `folds` folds each of `count` traces is: as even as can be, drawn by the seed. Fewer than two folds, or fewer traces than
/// folds, make one fold a trace.
pub(crate) fn folds(count: usize, folds: usize, seed: u64) -> Vec<usize> {
    let folds = folds.clamp(1, count.max(1));
    let mut places: Vec<usize> = (0..count).map(|place| place % folds).collect();
    Random::stream(seed, u64::MAX).shuffle(&mut places);
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_traces_keep_the_wanted_rate_and_others_are_shown_not_to() {
        let mut random = Random::stream(3, 0);
        let mut draw = |count: usize| (0..count).map(|_| random.below(1 << 40) as f64).collect::<Vec<_>>();
        let (held_out, normal, attack) = (draw(5000), draw(20_000), draw(10));
        let kept = realised(&held_out, HeldOutFrom::CrossValidation, &normal, &attack).unwrap();
        assert!((kept.false_alarm_rate - 0.01).abs() < 0.005, "{kept:?}");
        let Interval { low, high } = kept.false_alarm_interval;
        assert!(low < kept.false_alarm_rate && kept.false_alarm_rate < high && high - low < 0.004);
        let shifted: Vec<f64> = normal.iter().map(|score| score * 1.2).collect();
        let missed = realised(&held_out, HeldOutFrom::SeparateTraces, &shifted, &attack).unwrap();
        assert!(missed.false_alarm_rate > 0.15, "{missed:?}");
        assert_eq!(realised(&[], HeldOutFrom::SeparateTraces, &normal, &attack), None);
    }

    #[test]
    fn of_too_few_scores_the_highest_is_the_threshold() {
        let set = realised(&[0.1, 0.3, 0.2], HeldOutFrom::CrossValidation, &[0.3, 0.4], &[0.5]).unwrap();
        assert!((set.threshold - 0.3).abs() < 1e-12);
        assert!((set.false_alarm_rate - 0.5).abs() < 1e-12 && set.detection_rate >= 1.0);
    }

    #[test]
    fn folds_are_even_and_depend_on_the_seed_alone() {
        let drawn = folds(103, 5, 1);
        let sizes: Vec<usize> =
            (0..5).map(|fold| drawn.iter().filter(|&&place| place == fold).count()).collect();
        assert_eq!((sizes.iter().min(), sizes.iter().max()), (Some(&20), Some(&21)));
        assert_eq!(drawn, folds(103, 5, 1));
        assert_ne!(drawn, folds(103, 5, 2));
        assert_eq!(folds(0, 5, 1), Vec::<usize>::new());
    }
}

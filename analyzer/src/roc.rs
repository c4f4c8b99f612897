//! How well scores tell attacks from normal: receiver operating characteristic.
//!
//! T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27, 2006.

use serde::Serialize;

/// False-alarm rates at which detection rates are told.
pub const FALSE_ALARM_RATES: [f64; 6] = [0.001, 0.01, 0.05, 0.10, 0.15, 0.20];

/// One way to set the threshold: everything that scores at least `threshold` alarms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RocPoint {
    /// Lowest score that alarms.
    pub threshold: f64,
    /// Share of the normal ones that alarm.
    pub false_alarm_rate: f64,
    /// Share of the attacks that alarm.
    pub detection_rate: f64,
}

/// Every way to set the threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Roc {
    /// Area under the curve: the probability that an attack scores higher than a normal one, ties counted half (Mann and Whitney).
    pub auc: f64,
    /// Points by falling threshold, from the first that alarms on something to the one that alarms on everything.
    pub points: Vec<RocPoint>,
}

impl Roc {
    /// The curve of these scores; higher means more anomalous. `None` if one side is empty or a score is not a number.
    pub fn of(normal: &[f64], attack: &[f64]) -> Option<Self> {
        if normal.is_empty() || attack.is_empty() || normal.iter().chain(attack).any(|score| score.is_nan()) {
            return None;
        }
        // Adding zero makes a negative zero positive, so that the two tie.
        let mut scores: Vec<(f64, bool)> = normal.iter().map(|&score| (score + 0.0, false)).collect();
        scores.extend(attack.iter().map(|&score| (score + 0.0, true)));
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (normals, attacks) = (normal.len() as u64, attack.len() as u64);
        let (mut false_alarms, mut detections) = (0u64, 0u64);
        // Twice the number of pairs in which the attack scores higher: whole numbers, so ties cost no precision.
        let mut twice_won: u128 = 0;
        let mut points = Vec::new();
        for same in scores.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let tied_attacks = same.iter().filter(|(_, is_attack)| *is_attack).count() as u64;
            let tied_normals = same.len() as u64 - tied_attacks;
            let below = normals - false_alarms - tied_normals;
            twice_won += u128::from(tied_attacks) * u128::from(2 * below + tied_normals);
            false_alarms += tied_normals;
            detections += tied_attacks;
            points.push(RocPoint {
                threshold: same[0].0,
                false_alarm_rate: false_alarms as f64 / normals as f64,
                detection_rate: detections as f64 / attacks as f64,
            });
        }
        let auc = twice_won as f64 / (2 * u128::from(normals) * u128::from(attacks)) as f64;
        Some(Self { auc, points })
    }

    /// The highest detection rate whose false-alarm rate is at most this.
    pub fn detection_rate_at(&self, false_alarm_rate: f64) -> f64 {
        let within = self.points.iter().take_while(|point| point.false_alarm_rate <= false_alarm_rate);
        within.last().map_or(0.0, |point| point.detection_rate)
    }

    /// Detection rates at [`FALSE_ALARM_RATES`].
    pub fn detection_rates(&self) -> Vec<(f64, f64)> {
        FALSE_ALARM_RATES.iter().map(|&rate| (rate, self.detection_rate_at(rate))).collect()
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "areas and rates of so few scores are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn perfect_scores_have_an_area_of_one_and_constant_ones_of_a_half() {
        let roc = Roc::of(&[0.0, 0.1, 0.2], &[0.5, 0.9]).unwrap();
        assert_eq!(roc.auc, 1.0);
        assert_eq!(roc.detection_rate_at(0.0), 1.0);
        let roc = Roc::of(&[1.0; 7], &[1.0; 3]).unwrap();
        assert_eq!(roc.auc, 0.5);
        assert_eq!(roc.detection_rate_at(0.2), 0.0);
        assert_eq!(roc.detection_rate_at(1.0), 1.0);
        assert_eq!(Roc::of(&[], &[1.0]), None);
        assert_eq!(Roc::of(&[f64::NAN], &[1.0]), None);
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs_won(
            normal in proptest::collection::vec(0u8..10, 1..40),
            attack in proptest::collection::vec(0u8..10, 1..40),
        ) {
            let normal: Vec<f64> = normal.into_iter().map(f64::from).collect();
            let attack: Vec<f64> = attack.into_iter().map(f64::from).collect();
            let roc = Roc::of(&normal, &attack).unwrap();
            let mut won = 0.0;
            for a in &attack {
                for n in &normal {
                    won += if a > n { 1.0 } else if a == n { 0.5 } else { 0.0 };
                }
            }
            let expected = won / (normal.len() * attack.len()) as f64;
            prop_assert!((roc.auc - expected).abs() < 1e-12);
            let last = roc.points.last().unwrap();
            prop_assert_eq!((last.false_alarm_rate, last.detection_rate), (1.0, 1.0));
            prop_assert!(roc.points.is_sorted_by(|a, b| a.threshold > b.threshold));
        }
    }
}

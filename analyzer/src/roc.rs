//! How well scores tell attacks from normal: receiver operating characteristic, and precision where attacks are rare.
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
    /// Mean over the attacks of the share of attacks among what scores at least as high. Unlike the area it depends on how rare
    /// attacks are among the traces.
    pub average_precision: f64,
    /// Points by falling threshold, from the first that alarms on something to the one that alarms on everything.
    pub points: Vec<RocPoint>,
}

/// Which scores are equal, and in which order they fall: all that a curve depends on.
#[derive(Debug)]
pub(crate) struct Levels {
    /// Scores, falling.
    scores: Vec<f64>,
    /// Place in `scores` of each normal one.
    pub(crate) normal: Vec<u32>,
    /// The same of each attack.
    pub(crate) attack: Vec<u32>,
}

/// The areas of a curve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Curve {
    pub(crate) auc: f64,
    pub(crate) average_precision: f64,
}

impl Levels {
    /// `None` if one side is empty or a score is not a number.
    pub(crate) fn of(normal: &[f64], attack: &[f64]) -> Option<Self> {
        if normal.is_empty() || attack.is_empty() || normal.iter().chain(attack).any(|score| score.is_nan()) {
            return None;
        }
        // Adding zero makes a negative zero positive, so that the two tie.
        let mut scores: Vec<f64> = normal.iter().chain(attack).map(|&score| score + 0.0).collect();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        scores.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let level =
            |score: &f64| scores.partition_point(|other| other.total_cmp(&(score + 0.0)).is_gt()) as u32;
        let (normal, attack) = (normal.iter().map(level).collect(), attack.iter().map(level).collect());
        Some(Self { scores, normal, attack })
    }

    pub(crate) fn count(&self) -> usize {
        self.scores.len()
    }

    /// How many normal ones and attacks have each score.
    fn counts(&self) -> Vec<(u32, u32)> {
        let mut counts = vec![(0, 0); self.count()];
        for &level in &self.normal {
            counts[level as usize].0 += 1;
        }
        for &level in &self.attack {
            counts[level as usize].1 += 1;
        }
        counts
    }
}

impl Curve {
    /// The curve of so many normal ones and attacks for each score, from the highest down. `point` is told the false-alarm rate
    /// and the detection rate of every threshold.
    pub(crate) fn of(
        counts: impl Iterator<Item = (u32, u32)> + Clone,
        mut point: impl FnMut(f64, f64),
    ) -> Self {
        let (normals, attacks) = counts.clone().fold((0u64, 0u64), |sums, (normal, attack)| {
            (sums.0 + u64::from(normal), sums.1 + u64::from(attack))
        });
        let (mut false_alarms, mut detections) = (0u64, 0u64);
        // Twice the number of pairs in which the attack scores higher: whole numbers, so ties cost no precision.
        let mut twice_won: u128 = 0;
        let mut precision = 0.0;
        for (tied_normals, tied_attacks) in counts {
            let (tied_normals, tied_attacks) = (u64::from(tied_normals), u64::from(tied_attacks));
            if tied_normals + tied_attacks == 0 {
                continue;
            }
            let below = normals - false_alarms - tied_normals;
            twice_won += u128::from(tied_attacks) * u128::from(2 * below + tied_normals);
            false_alarms += tied_normals;
            detections += tied_attacks;
            precision += tied_attacks as f64 * (detections as f64 / (detections + false_alarms) as f64);
            point(false_alarms as f64 / normals as f64, detections as f64 / attacks as f64);
        }
        Self {
            auc: twice_won as f64 / (2 * u128::from(normals) * u128::from(attacks)) as f64,
            average_precision: precision / attacks as f64,
        }
    }
}

impl Roc {
    /// The curve of these scores; higher means more anomalous. `None` if one side is empty or a score is not a number.
    pub fn of(normal: &[f64], attack: &[f64]) -> Option<Self> {
        let levels = Levels::of(normal, attack)?;
        let mut points = Vec::with_capacity(levels.count());
        let mut thresholds = levels.scores.iter();
        let curve = Curve::of(levels.counts().into_iter(), |false_alarm_rate, detection_rate| {
            if let Some(&threshold) = thresholds.next() {
                points.push(RocPoint { threshold, false_alarm_rate, detection_rate });
            }
        });
        Some(Self { auc: curve.auc, average_precision: curve.average_precision, points })
    }

    /// The lowest threshold whose false-alarm rate is at most this; `None` if every threshold gives more.
    pub fn point_at(&self, false_alarm_rate: f64) -> Option<&RocPoint> {
        self.points.iter().take_while(|point| point.false_alarm_rate <= false_alarm_rate).last()
    }

    /// The highest detection rate whose false-alarm rate is at most this.
    pub fn detection_rate_at(&self, false_alarm_rate: f64) -> f64 {
        self.point_at(false_alarm_rate).map_or(0.0, |point| point.detection_rate)
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
        assert_eq!((roc.auc, roc.average_precision), (1.0, 1.0));
        assert_eq!(roc.detection_rate_at(0.0), 1.0);
        assert_eq!(roc.point_at(0.0).unwrap().threshold, 0.5);
        let roc = Roc::of(&[1.0; 7], &[1.0; 3]).unwrap();
        assert_eq!((roc.auc, roc.average_precision), (0.5, 0.3));
        assert_eq!(roc.detection_rate_at(0.2), 0.0);
        assert_eq!(roc.detection_rate_at(1.0), 1.0);
        assert_eq!(Roc::of(&[0.0], &[-0.0]).unwrap().auc, 0.5);
        assert_eq!(Roc::of(&[], &[1.0]), None);
        assert_eq!(Roc::of(&[f64::NAN], &[1.0]), None);
    }

    proptest! {
        #[test]
        fn the_areas_are_what_their_definitions_say(
            normal in proptest::collection::vec(0u8..10, 1..40),
            attack in proptest::collection::vec(0u8..10, 1..40),
        ) {
            let normal: Vec<f64> = normal.into_iter().map(f64::from).collect();
            let attack: Vec<f64> = attack.into_iter().map(f64::from).collect();
            let roc = Roc::of(&normal, &attack).unwrap();
            let (mut won, mut precision) = (0.0, 0.0);
            for a in &attack {
                for n in &normal {
                    won += if a > n { 1.0 } else if a == n { 0.5 } else { 0.0 };
                }
                let at_least = |scores: &[f64]| scores.iter().filter(|score| *score >= a).count() as f64;
                precision += at_least(&attack) / (at_least(&attack) + at_least(&normal));
            }
            let expected = won / (normal.len() * attack.len()) as f64;
            prop_assert!((roc.auc - expected).abs() < 1e-12);
            prop_assert!((roc.average_precision - precision / attack.len() as f64).abs() < 1e-12);
            let last = roc.points.last().unwrap();
            prop_assert_eq!((last.false_alarm_rate, last.detection_rate), (1.0, 1.0));
            prop_assert!(roc.points.is_sorted_by(|a, b| a.threshold > b.threshold));
        }
    }
}

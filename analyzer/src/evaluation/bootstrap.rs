//! How far figures may be off because the traces are a sample: the bootstrap over traces (B. Efron, "Bootstrap methods: another look at
//! the jackknife", Annals of Statistics 7, 1979), percentile intervals of 95 %.
//!
//! Normal and attack traces are drawn again with replacement, each as many as there are; the detector stays as it was trained. So the
//! intervals tell how much the *test* traces decide, and nothing of another training set.

use serde::Serialize;

use super::{parallel, random::Random};
use crate::roc::{Curve, FALSE_ALARM_RATES, Levels};

/// Share of the resamples that lie outside, half of it on either side.
const OUTSIDE: f64 = 0.05;

/// Resamples of one piece of work.
const PIECE: usize = 50;

/// Bounds between which a figure lies in 95 % of the resamples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
}

/// Intervals of the figures of one score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Intervals {
    /// Of the area under the curve.
    pub auc: Interval,
    /// Of the average precision.
    pub average_precision: Interval,
    /// Of the detection rates, in the order of [`FALSE_ALARM_RATES`].
    pub detection_rates: Vec<Interval>,
}

/// Intervals from `resamples` resamples; `None` where none are wanted or the scores cannot be compared.
pub(crate) fn intervals(
    normal: &[f64],
    attack: &[f64],
    resamples: usize,
    seed: u64,
    cores: usize,
) -> Option<Intervals> {
    if resamples == 0 {
        return None;
    }
    let levels = Levels::of(normal, attack)?;
    let pieces = parallel::map(resamples.div_ceil(PIECE), cores, |piece| {
        let mut counts = vec![(0u32, 0u32); levels.count()];
        let first = piece * PIECE;
        (first..(first + PIECE).min(resamples))
            .map(|number| {
                let mut random = Random::stream(seed, number as u64);
                counts.fill((0, 0));
                for _ in &levels.normal {
                    counts[levels.normal[random.below(levels.normal.len())] as usize].0 += 1;
                }
                for _ in &levels.attack {
                    counts[levels.attack[random.below(levels.attack.len())] as usize].1 += 1;
                }
                figures(&counts)
            })
            .collect::<Vec<_>>()
    });
    let drawn: Vec<[f64; FIGURES]> = pieces.into_iter().flatten().collect();
    let interval = |figure: usize| {
        let mut values: Vec<f64> = drawn.iter().map(|figures| figures[figure]).collect();
        values.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
        Interval { low: at(OUTSIDE / 2.0), high: at(1.0 - OUTSIDE / 2.0) }
    };
    Some(Intervals {
        auc: interval(0),
        average_precision: interval(1),
        detection_rates: (2..FIGURES).map(interval).collect(),
    })
}

const FIGURES: usize = 2 + FALSE_ALARM_RATES.len();

/// Area, average precision and detection rates of a resample.
fn figures(counts: &[(u32, u32)]) -> [f64; FIGURES] {
    let mut figures = [0.0; FIGURES];
    let curve = Curve::of(counts.iter().copied(), |false_alarm_rate, detection_rate| {
        for (figure, rate) in figures[2..].iter_mut().zip(FALSE_ALARM_RATES) {
            if false_alarm_rate <= rate {
                *figure = detection_rate;
            }
        }
    });
    figures[0] = curve.auc;
    figures[1] = curve.average_precision;
    figures
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same numbers must come out, to the bit")]
mod tests {
    use super::*;
    use crate::roc::Roc;

    fn scores(count: usize, seed: u64, offset: f64) -> Vec<f64> {
        let mut random = Random::stream(seed, 0);
        (0..count).map(|_| (random.below(50) as f64) / 50.0 + offset).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_on_any_number_of_cores() {
        let (normal, attack) = (scores(300, 1, 0.0), scores(80, 2, 0.3));
        let one = intervals(&normal, &attack, 230, 9, 1).unwrap();
        assert_eq!(one, intervals(&normal, &attack, 230, 9, 5).unwrap());
        assert_ne!(one, intervals(&normal, &attack, 230, 10, 5).unwrap());
        assert_eq!(intervals(&normal, &attack, 0, 9, 1), None);
    }

    #[test]
    fn an_interval_holds_the_figure_and_shrinks_with_more_traces() {
        let width = |count: usize| {
            let (normal, attack) = (scores(count, 3, 0.0), scores(count, 4, 0.3));
            let intervals = intervals(&normal, &attack, 400, 1, 2).unwrap();
            let roc = Roc::of(&normal, &attack).unwrap();
            assert!((intervals.auc.low..=intervals.auc.high).contains(&roc.auc));
            let precision = &intervals.average_precision;
            assert!((precision.low..=precision.high).contains(&roc.average_precision));
            let at_a_fifth = intervals.detection_rates[5];
            assert!((at_a_fifth.low..=at_a_fifth.high).contains(&roc.detection_rate_at(0.2)));
            intervals.auc.high - intervals.auc.low
        };
        assert!(width(1600) < 0.6 * width(100));
    }

    /// For a single kind of score the spread is known: the share of attacks above everything normal is binomial.
    #[test]
    fn the_interval_of_a_share_is_as_wide_as_its_binomial_spread() {
        let normal = vec![0.0; 50];
        let attack: Vec<f64> = (0..400).map(|place| f64::from(place % 4 == 0)).collect();
        let intervals = intervals(&normal, &attack, 2000, 5, 2).unwrap();
        let expected = 1.96 * (0.25_f64 * 0.75 / 400.0).sqrt();
        let Interval { low, high } = intervals.detection_rates[0];
        assert!(
            (low - (0.25 - expected)).abs() < 0.01 && (high - (0.25 + expected)).abs() < 0.01,
            "{low} {high}"
        );
    }
}

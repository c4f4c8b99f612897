//! Sequential minimal optimisation for the one-class support vector machine.
//!
//! Minimises ½ αᵀKα with 0 ≤ αᵢ ≤ uᵢ and Σα = s. Two multipliers are moved at a time, chosen by second-order information
//! (R.-E. Fan, P.-H. Chen, C.-J. Lin, "Working set selection using second order information for training support vector machines",
//! JMLR 6, 2005). Rows of the kernel are made when they are first asked for: most of them never are.
//!
//! Ours, because `linfa-svm` gives every example the same upper bound (frames that occur many times count once or are stored many
//! times) and wants the kernel as a dense matrix of all pairs.

/// How far the optimality conditions may be off.
const TOLERANCE: f64 = 1e-5;

/// Steps an example; it bounds the time of what would never converge.
const MAX_STEPS_PER_EXAMPLE: usize = 400;

/// Smallest curvature: two equal examples have none.
const LEAST_CURVATURE: f64 = 1e-12;

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Solution {
    /// The multipliers.
    pub(crate) alpha: Vec<f64>,
    /// The value of `Kα` at examples that are neither at 0 nor at their bound: the border.
    pub(crate) border: f64,
}

/// Solves for `upper.len()` examples. `row` gives a row of the kernel, whose diagonal is 1 everywhere. `sum` must be at most the sum of
/// `upper`.
pub(crate) fn solve(upper: &[f64], sum: f64, row: impl Fn(usize) -> Vec<f32>) -> Solution {
    let count = upper.len();
    let mut rows: Vec<Option<Vec<f32>>> = vec![None; count];
    let mut alpha = vec![0.0; count];
    let mut gradient = vec![0.0; count];
    let mut rest = sum;
    for example in 0..count {
        alpha[example] = f64::min(rest, upper[example]);
        rest -= alpha[example];
        if alpha[example] > 0.0 {
            let row = rows[example].get_or_insert_with(|| row(example));
            for (slope, &kernel) in gradient.iter_mut().zip(row.iter()) {
                *slope += alpha[example] * f64::from(kernel);
            }
        }
    }
    for _ in 0..count * MAX_STEPS_PER_EXAMPLE {
        // Who gains most by growing, …
        let can_grow = |&example: &usize| alpha[example] < upper[example];
        let Some(grows) = lowest((0..count).filter(can_grow).map(|example| (gradient[example], example)))
        else {
            break;
        };
        let grown_row = rows[grows].get_or_insert_with(|| row(grows));
        // … and at whose cost.
        let mut steepest = 0.0;
        let mut shrinks = None;
        let mut best_gain = 0.0;
        for (example, &slope) in gradient.iter().enumerate() {
            if alpha[example] <= 0.0 {
                continue;
            }
            let violation = slope - gradient[grows];
            if violation > 0.0 {
                steepest = f64::max(steepest, violation);
                let curvature = (2.0 - 2.0 * f64::from(grown_row[example])).max(LEAST_CURVATURE);
                let gain = violation * violation / curvature;
                if gain > best_gain {
                    best_gain = gain;
                    shrinks = Some((example, violation / curvature));
                }
            }
        }
        let Some((shrinks, step)) = shrinks.filter(|_| steepest > TOLERANCE) else { break };
        let room = upper[grows] - alpha[grows];
        let step = step.min(room).min(alpha[shrinks]);
        // The bounds are reached exactly, or rounding would leave crumbs that are moved for ever.
        alpha[grows] = if step >= room { upper[grows] } else { alpha[grows] + step };
        alpha[shrinks] = if step >= alpha[shrinks] { 0.0 } else { alpha[shrinks] - step };
        if rows[shrinks].is_none() {
            rows[shrinks] = Some(row(shrinks));
        }
        if let (Some(grown), Some(shrunk)) = (&rows[grows], &rows[shrinks]) {
            for ((slope, &up), &down) in gradient.iter_mut().zip(grown).zip(shrunk) {
                *slope += step * (f64::from(up) - f64::from(down));
            }
        }
    }
    let border = border(&alpha, upper, &gradient);
    Solution { alpha, border }
}

fn lowest(slopes: impl Iterator<Item = (f64, usize)>) -> Option<usize> {
    slopes.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, example)| example)
}

/// The mean over free examples; where there is none, the middle between those at their bound and those at 0.
fn border(alpha: &[f64], upper: &[f64], gradient: &[f64]) -> f64 {
    let (mut free, mut sum) = (0.0, 0.0);
    let (mut highest_bound, mut lowest_zero) = (f64::NEG_INFINITY, f64::INFINITY);
    for ((&alpha, &upper), &slope) in alpha.iter().zip(upper).zip(gradient) {
        if alpha >= upper {
            highest_bound = f64::max(highest_bound, slope);
        } else if alpha <= 0.0 {
            lowest_zero = f64::min(lowest_zero, slope);
        } else {
            free += 1.0;
            sum += slope;
        }
    }
    match (free > 0.0, highest_bound.is_finite(), lowest_zero.is_finite()) {
        (true, _, _) => sum / free,
        (false, true, true) => f64::midpoint(highest_bound, lowest_zero),
        (false, true, false) => highest_bound,
        (false, false, true) => lowest_zero,
        (false, false, false) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kernel(points: &[[f64; 3]]) -> Vec<Vec<f32>> {
        let unit: Vec<[f64; 3]> = points
            .iter()
            .map(|point| {
                let length = point.iter().map(|x| x * x).sum::<f64>().sqrt();
                point.map(|x| x / length)
            })
            .collect();
        let dot = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() as f32;
        unit.iter().map(|a| unit.iter().map(|b| dot(a, b)).collect()).collect()
    }

    fn objective(kernel: &[Vec<f32>], alpha: &[f64]) -> f64 {
        let pairs = kernel
            .iter()
            .zip(alpha)
            .map(|(row, &a)| row.iter().zip(alpha).map(|(&k, &b)| a * b * f64::from(k)).sum::<f64>());
        pairs.sum::<f64>() / 2.0
    }

    proptest! {
        #[test]
        fn no_move_between_two_multipliers_makes_the_solution_better(
            points in proptest::collection::vec([0.1f64..1.0, 0.1f64..1.0, 0.1f64..1.0], 2..25),
            weights in proptest::collection::vec(1u32..4, 25),
            share in 0.05f64..1.0,
        ) {
            let kernel = kernel(&points);
            let upper: Vec<f64> = points.iter().zip(&weights).map(|(_, &weight)| f64::from(weight)).collect();
            let sum = upper.iter().sum::<f64>() * share;
            let solution = solve(&upper, sum, |example| kernel[example].clone());
            prop_assert!((solution.alpha.iter().sum::<f64>() - sum).abs() < 1e-9);
            let best = objective(&kernel, &solution.alpha);
            for from in 0..points.len() {
                for to in 0..points.len() {
                    let step = (solution.alpha[from]).min(upper[to] - solution.alpha[to]).min(0.05);
                    let mut moved = solution.alpha.clone();
                    moved[from] -= step;
                    moved[to] += step;
                    prop_assert!(objective(&kernel, &moved) >= best - 1e-5);
                }
            }
        }
    }

    #[test]
    fn an_outlier_has_its_bound_and_lies_below_the_border() {
        let points = [[1.0, 0.1, 0.1], [1.0, 0.12, 0.1], [1.0, 0.1, 0.14], [1.0, 0.11, 0.1], [0.1, 1.0, 0.1]];
        let kernel = kernel(&points);
        let solution = solve(&[1.0; 5], 2.5, |example| kernel[example].clone());
        assert!((solution.alpha[4] - 1.0).abs() < 1e-9, "{solution:?}");
        let of_outlier: f64 =
            kernel[4].iter().zip(&solution.alpha).map(|(&k, alpha)| f64::from(k) * alpha).sum();
        assert!(of_outlier < solution.border, "{of_outlier} {solution:?}");
    }
}

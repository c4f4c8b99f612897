//! Logistic regression: every gram speaks for or against an attack, by as much as the labels say.
//!
//! Minimises log loss with a penalty on squared weights by Newton's method on conjugate gradients (C.-J. Lin, R. C. Weng, S. S. Keerthi,
//! "Trust region Newton method for large-scale logistic regression", JMLR 9, 2008, without the trust region: the step is halved until the
//! loss falls). Ours, because `linfa-logistic` brings a second optimiser framework for what are a hundred lines here.

use super::supervised::{CountSpace, LabelModel, Labelled, LearnerInfo, MAX_FEATURES};
use crate::alphabet::Symbol;

/// Its line of the table.
pub(crate) const LEARNER: LearnerInfo = LearnerInfo {
    name: "logistic",
    title: "Logistic regression",
    description: "Every call speaks for or against an attack, by as much as the labels say (Lin, Weng and Keerthi 2008).",
    learn: |traces, _| Box::new(LogisticRegression::fit(traces, 1, 1.0)),
};

/// Steps of Newton's method.
const MAX_STEPS: usize = 50;

/// Steps of conjugate gradients for each.
const MAX_INNER_STEPS: usize = 100;

/// Gradient at which the optimum is reached, relative to where it began.
const TOLERANCE: f64 = 1e-6;

/// Weights of grams.
#[derive(Debug, Clone)]
pub(crate) struct LogisticRegression {
    space: CountSpace,
    /// By coordinate, and behind them the bias.
    weights: Vec<f64>,
}

impl LogisticRegression {
    /// Fits weights to grams of 1 to `order` calls; a larger `penalty` keeps them smaller. The same traces in the same order give the same
    /// weights.
    pub(crate) fn fit(traces: &[Labelled<'_>], order: u32, penalty: f64) -> Self {
        let space = CountSpace::of(traces.iter().map(|trace| trace.0), order, MAX_FEATURES);
        let points: Vec<(Vec<f64>, f64)> = traces
            .iter()
            .map(|&(calls, is_attack)| {
                let point = space.point(calls).into_iter().map(f64::from).chain([1.0]).collect();
                (point, if is_attack { 1.0 } else { -1.0 })
            })
            .collect();
        let weights = minimise(&Loss { points, penalty: penalty.max(1e-6) }, space.dimensions() + 1);
        Self { space, weights }
    }

    /// The logarithm of the odds that the trace is an attack.
    pub(crate) fn score(&self, calls: &[Symbol]) -> f64 {
        let bias = self.weights.last().copied().unwrap_or(0.0);
        let point = self.space.point(calls);
        point.iter().zip(&self.weights).map(|(&x, weight)| f64::from(x) * weight).sum::<f64>() + bias
    }
}

impl LabelModel for LogisticRegression {
    fn score(&self, calls: &[Symbol]) -> f64 {
        self.score(calls)
    }
}

/// Points with labels −1 and 1; the last coordinate is 1 and its weight free.
struct Loss {
    points: Vec<(Vec<f64>, f64)>,
    penalty: f64,
}

impl Loss {
    fn value(&self, weights: &[f64]) -> f64 {
        let of_point = |(point, label): &(Vec<f64>, f64)| {
            let margin = label * dot(point, weights);
            // ln(1 + e^−m) without overflow.
            if margin > 0.0 { (-margin).exp().ln_1p() } else { margin.exp().ln_1p() - margin }
        };
        let free = weights.len() - 1;
        self.points.iter().map(of_point).sum::<f64>()
            + self.penalty / 2.0 * dot(&weights[..free], &weights[..free])
    }

    /// The gradient, and for each point how much it bends the loss.
    fn gradient(&self, weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut gradient: Vec<f64> = weights.iter().map(|weight| self.penalty * weight).collect();
        if let Some(bias) = gradient.last_mut() {
            *bias = 0.0;
        }
        let mut curvatures = Vec::with_capacity(self.points.len());
        for (point, label) in &self.points {
            let wrong = 1.0 / (1.0 + (label * dot(point, weights)).exp());
            curvatures.push(wrong * (1.0 - wrong));
            add(&mut gradient, -label * wrong, point);
        }
        (gradient, curvatures)
    }

    fn bend(&self, curvatures: &[f64], direction: &[f64]) -> Vec<f64> {
        let mut bent: Vec<f64> = direction.iter().map(|x| self.penalty * x).collect();
        if let Some(bias) = bent.last_mut() {
            // A trace of a penalty, or the system has no solution where only one label is known.
            *bias *= 1e-6;
        }
        for ((point, _), curvature) in self.points.iter().zip(curvatures) {
            add(&mut bent, curvature * dot(point, direction), point);
        }
        bent
    }
}

fn minimise(loss: &Loss, dimensions: usize) -> Vec<f64> {
    let mut weights = vec![0.0; dimensions];
    let mut value = loss.value(&weights);
    let mut first_length = None;
    for _ in 0..MAX_STEPS {
        let (gradient, curvatures) = loss.gradient(&weights);
        let length = dot(&gradient, &gradient).sqrt();
        let first = *first_length.get_or_insert(length);
        if length <= TOLERANCE * first {
            break;
        }
        let step = newton_step(loss, &gradient, &curvatures);
        let mut share = 1.0;
        let better = (0..30).find_map(|_| {
            let mut moved = weights.clone();
            add(&mut moved, share, &step);
            share /= 2.0;
            let reached = loss.value(&moved);
            (reached < value).then_some((moved, reached))
        });
        let Some((moved, reached)) = better else { break };
        weights = moved;
        value = reached;
    }
    weights
}

/// Solves for the step by conjugate gradients.
fn newton_step(loss: &Loss, gradient: &[f64], curvatures: &[f64]) -> Vec<f64> {
    let mut step = vec![0.0; gradient.len()];
    let mut rest: Vec<f64> = gradient.iter().map(|x| -x).collect();
    let mut direction = rest.clone();
    let mut squares = dot(&rest, &rest);
    let enough = squares * 1e-4;
    for _ in 0..MAX_INNER_STEPS {
        if squares <= enough {
            break;
        }
        let bent = loss.bend(curvatures, &direction);
        let bending = dot(&direction, &bent);
        if bending <= 0.0 {
            break;
        }
        let along = squares / bending;
        add(&mut step, along, &direction);
        add(&mut rest, -along, &bent);
        let left = dot(&rest, &rest);
        for (to, from) in direction.iter_mut().zip(&rest) {
            *to = from + left / squares * *to;
        }
        squares = left;
    }
    step
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn add(to: &mut [f64], times: f64, other: &[f64]) {
    for (to, x) in to.iter_mut().zip(other) {
        *to += times * x;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_gradient_vanishes_at_the_solution(
            traces in proptest::collection::vec((proptest::collection::vec(0u16..5, 1..15), any::<bool>()), 0..30),
            probe in proptest::collection::vec(0u16..8, 0..15),
        ) {
            let labelled: Vec<Labelled<'_>> = traces.iter().map(|(calls, label)| (calls.as_slice(), *label)).collect();
            let model = LogisticRegression::fit(&labelled, 1, 0.5);
            let points = labelled.iter().map(|&(calls, label)| {
                let point = model.space.point(calls).into_iter().map(f64::from).chain([1.0]).collect();
                (point, if label { 1.0 } else { -1.0 })
            });
            let loss = Loss { points: points.collect(), penalty: 0.5 };
            let both = traces.iter().any(|trace| trace.1) && traces.iter().any(|trace| !trace.1);
            if both {
                let (gradient, _) = loss.gradient(&model.weights);
                prop_assert!(dot(&gradient, &gradient).sqrt() < 1e-3, "{:?}", gradient);
            }
            prop_assert!(model.score(&probe).is_finite());
        }
    }

    #[test]
    fn a_call_that_only_attacks_make_speaks_for_an_attack() {
        let traces: Vec<(Vec<Symbol>, bool)> = (0..40u16)
            .map(|number| {
                let extra = if number % 2 == 0 { 7 } else { 3 };
                (vec![1, 2, number % 3, extra], number % 2 == 0)
            })
            .collect();
        let labelled: Vec<Labelled<'_>> =
            traces.iter().map(|(calls, label)| (calls.as_slice(), *label)).collect();
        let model = LogisticRegression::fit(&labelled, 1, 1.0);
        assert!(model.score(&[1, 2, 7]) > 1.0 && model.score(&[1, 2, 3]) < -1.0);
    }
}

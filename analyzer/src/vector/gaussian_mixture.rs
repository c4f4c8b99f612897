//! Mixture of Gaussians: how improbable is a frame, if normal frames are of a few kinds, each scattered around a centre?
//!
//! The mixture lies in the subspace of the principal components; what is left of a frame outside it is noise that is alike in all
//! directions (M. E. Tipping, C. M. Bishop, "Mixtures of probabilistic principal component analyzers", Neural Computation 11, 1999, with
//! one subspace for all). The score is the negative logarithm of the density, told as a
//! number of standard deviations. The mixture is fitted by `linfa-clustering`.

use linfa::{DatasetBase, ParamGuard, traits::Fit};
use linfa_clustering::GaussianMixtureModel;
use ndarray::Array2;
use rand_xoshiro::{Xoshiro256Plus, rand_core::SeedableRng};

use super::{
    FrameScore,
    feature_space::Weighting,
    frame_sample::FrameSample,
    principal_components::{MAX_COMPONENTS, PrincipalComponents},
};
use crate::{
    alphabet::Symbol,
    fitted::{Fitting, Member},
    registry::{DetectorInfo, Maker, ParameterInfo},
};

/// Decides about everything that is left to chance.
const SEED: u64 = 0;

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "gmm",
    title: "Mixture of Gaussians",
    description: "How improbable a frame is if normal frames are scattered around a few centres (Tipping and Bishop 1999).",
    parameters: &[
        ParameterInfo::whole("n", 1, (1, 4)).about("longest n-gram, calls"),
        ParameterInfo::whole("components", 10, (1, MAX_COMPONENTS)).about("main directions"),
        ParameterInfo::whole("gaussians", 8, (1, MAX_GAUSSIANS)).about("kinds of normal frames"),
    ],
    maker: Maker::Fitted(&FITTING),
};

static FITTING: Fitting = Fitting::single(
    &[Member {
        scores: &["mixture of Gaussians"],
        fit: |spec, sample| {
            let size = (spec.whole("components"), spec.whole("gaussians"));
            Box::new(GaussianMixture::fit(sample, spec.whole("n"), Weighting::Set, size, SEED))
        },
    }],
    super::DEVIATIONS,
);

/// Most Gaussians.
pub(crate) const MAX_GAUSSIANS: u32 = 64;

/// Added to variances: frames of one kind may be all alike.
const LEAST_VARIANCE: f64 = 1e-3;

/// Steps of expectation and maximisation.
const MAX_STEPS: u64 = 100;

/// A mixture.
#[derive(Debug, Clone)]
pub(crate) struct GaussianMixture {
    components: PrincipalComponents,
    gaussians: Vec<Gaussian>,
    /// Variance of what is left outside the subspace.
    noise: f64,
}

#[derive(Debug, Clone)]
struct Gaussian {
    centre: Vec<f64>,
    /// Rows of the inverse of the covariance's Cholesky factor; only up to the diagonal.
    whitening: Vec<Vec<f64>>,
    /// Logarithm of weight and normalisation.
    constant: f64,
}

impl GaussianMixture {
    /// Fits at most so many Gaussians in the subspace of so many components. The same sample and seed give the same mixture.
    pub(crate) fn fit(
        sample: &FrameSample,
        order: u32,
        weighting: Weighting,
        (components, gaussians): (u32, u32),
        seed: u64,
    ) -> Self {
        let components = PrincipalComponents::fit(sample, order, weighting, components);
        let count = components.count();
        let mut projected = Array2::zeros((sample.distinct(), count));
        let mut left_sum = 0.0;
        for (mut row, (frame, _)) in projected.rows_mut().into_iter().zip(sample.frames()) {
            let (coordinates, left) = components.project(&components.space().point(frame));
            row.iter_mut().zip(coordinates).for_each(|(place, value)| *place = value);
            left_sum += left;
        }
        let outside = components.space().dimensions().saturating_sub(count).max(1) as f64;
        let noise = (left_sum / sample.distinct().max(1) as f64 / outside).max(LEAST_VARIANCE / outside);
        let gaussians = if count == 0 { Vec::new() } else { mixture(projected, gaussians, seed) };
        Self { components, gaussians, noise }
    }
}

impl FrameScore for GaussianMixture {
    /// How many standard deviations from the densest point a single Gaussian would have to place the frame to find it as improbable.
    fn score(&self, calls: &[Symbol]) -> f64 {
        let (coordinates, left) = self.components.project(&self.components.space().point(calls));
        let logarithms: Vec<f64> =
            self.gaussians.iter().map(|gaussian| gaussian.ln_density(&coordinates)).collect();
        let highest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let inside = if highest.is_finite() {
            highest + logarithms.iter().map(|logarithm| (logarithm - highest).exp()).sum::<f64>().ln()
        } else {
            0.0
        };
        // The densest points that there can be have 0.
        let peak = self.gaussians.iter().map(|gaussian| gaussian.constant.exp()).sum::<f64>();
        let densest = if peak > 0.0 { peak.ln() } else { 0.0 };
        let nats = left / (2.0 * self.noise) + densest - inside;
        (2.0 * nats).max(0.0).sqrt()
    }
}

impl Gaussian {
    /// `None` where the covariance is not positive.
    fn new(weight: f64, centre: Vec<f64>, covariance: &[Vec<f64>]) -> Option<Self> {
        let factor = cholesky(covariance)?;
        let whitening = inverse_of_triangle(&factor);
        let determinant: f64 = factor.iter().enumerate().map(|(place, row)| row[place].ln()).sum();
        let dimensions = centre.len() as f64;
        let constant = weight.max(1e-12).ln() - determinant - dimensions / 2.0 * std::f64::consts::TAU.ln();
        constant.is_finite().then_some(Self { centre, whitening, constant })
    }

    fn ln_density(&self, point: &[f64]) -> f64 {
        let centred: Vec<f64> = point.iter().zip(&self.centre).map(|(x, centre)| x - centre).collect();
        let squares = |row: &Vec<f64>| {
            let white: f64 = row.iter().zip(&centred).map(|(w, x)| w * x).sum();
            white * white
        };
        self.constant - self.whitening.iter().map(squares).sum::<f64>() / 2.0
    }
}

/// As many Gaussians as can be fitted, at most `count`.
fn mixture(points: Array2<f64>, count: u32, seed: u64) -> Vec<Gaussian> {
    let rows = points.nrows();
    let dataset = DatasetBase::from(points);
    let mut count = (count.clamp(1, MAX_GAUSSIANS) as usize).min(rows / 4).max(1);
    loop {
        let parameters = GaussianMixtureModel::params_with_rng(count, Xoshiro256Plus::seed_from_u64(seed))
            .n_runs(1)
            .max_n_iterations(MAX_STEPS)
            .tolerance(1e-3)
            .reg_covariance(LEAST_VARIANCE)
            .check();
        // It does not converge, or a cluster becomes empty: fewer may do.
        let fitted = parameters.ok().and_then(|parameters| parameters.fit(&dataset).ok());
        if let Some(fitted) = fitted {
            let gaussians =
                fitted.weights().iter().zip(fitted.means().rows()).zip(fitted.covariances().outer_iter());
            return gaussians
                .filter_map(|((&weight, centre), covariance)| {
                    let rows: Vec<Vec<f64>> = covariance.rows().into_iter().map(|row| row.to_vec()).collect();
                    Gaussian::new(weight, centre.to_vec(), &rows)
                })
                .collect();
        }
        if count == 1 {
            return Vec::new();
        }
        count /= 2;
    }
}

/// The lower triangle whose square is `matrix`.
fn cholesky(matrix: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let mut factor: Vec<Vec<f64>> = Vec::with_capacity(matrix.len());
    for (place, row) in matrix.iter().enumerate() {
        let mut made = Vec::with_capacity(place + 1);
        for column in 0..=place {
            let above = factor.get(column).unwrap_or(&made);
            let known: f64 = made.iter().zip(above).map(|(x, y)| x * y).take(column).sum();
            let rest = row.get(column)? - known;
            if column == place {
                made.push((rest > 0.0).then(|| rest.sqrt())?);
            } else {
                made.push(rest / factor[column][column]);
            }
        }
        factor.push(made);
    }
    Some(factor)
}

/// The inverse of a lower triangle without zeros on its diagonal.
fn inverse_of_triangle(factor: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut inverse: Vec<Vec<f64>> = Vec::with_capacity(factor.len());
    for (place, row) in factor.iter().enumerate() {
        let mut made: Vec<f64> = (0..place)
            .map(|column| -(column..place).map(|k| row[k] * inverse[k][column]).sum::<f64>() / row[place])
            .collect();
        made.push(1.0 / row[place]);
        inverse.push(made);
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_density_of_a_gaussian_is_that_of_the_textbook() {
        let covariance = [vec![2.0, 0.6, 0.1], vec![0.6, 1.0, 0.2], vec![0.1, 0.2, 0.5]];
        let gaussian = Gaussian::new(1.0, vec![1.0, -1.0, 0.5], &covariance).unwrap();
        // Determinant and inverse by the rule of Sarrus.
        let [a, b, c] = &covariance;
        let determinant = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
            + a[2] * (b[0] * c[1] - b[1] * c[0]);
        let inverse = [
            [b[1] * c[2] - b[2] * c[1], a[2] * c[1] - a[1] * c[2], a[1] * b[2] - a[2] * b[1]],
            [b[2] * c[0] - b[0] * c[2], a[0] * c[2] - a[2] * c[0], a[2] * b[0] - a[0] * b[2]],
            [b[0] * c[1] - b[1] * c[0], a[1] * c[0] - a[0] * c[1], a[0] * b[1] - a[1] * b[0]],
        ];
        let x: [f64; 3] = [0.3 - 1.0, 0.2 + 1.0, -0.4 - 0.5];
        let mut form = 0.0;
        for i in 0..3 {
            for j in 0..3 {
                form += x[i] * inverse[i][j] / determinant * x[j];
            }
        }
        let expected = -form / 2.0 - determinant.ln() / 2.0 - 1.5 * std::f64::consts::TAU.ln();
        assert!((gaussian.ln_density(&[0.3, 0.2, -0.4]) - expected).abs() < 1e-12);
        assert!(Gaussian::new(1.0, vec![0.0, 0.0], &[vec![1.0, 2.0], vec![2.0, 1.0]]).is_none());
    }
}

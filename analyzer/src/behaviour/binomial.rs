//! How surprising it is that something happened so often.

/// Natural logarithm of the gamma function for `x` ≥ 1 (Stirling's series behind a shift to where it converges fast).
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 12.0 {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse / 12.0 * (1.0 - square / 30.0 * (1.0 - square * 2.0 / 7.0));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

/// Surprise, in nats, at `times` or more of `calls` where each happens with `probability`: −ln P(X ≥ times). 0 where so many are
/// no more than expected.
pub(crate) fn surprise(times: u64, calls: u64, probability: f64) -> f64 {
    let (k, n) = (times.min(calls) as f64, calls as f64);
    if k <= n * probability || probability >= 1.0 {
        return 0.0;
    }
    let probability = probability.max(1e-300);
    let ln_first = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
        + k * probability.ln()
        + (n - k) * (-probability).ln_1p();
    // Behind the mean, terms fall at least as fast as a geometric series.
    let odds = probability / (1.0 - probability);
    let (mut sum, mut term, mut i) = (1.0f64, 1.0f64, k);
    while i < n && term > 1e-15 * sum {
        term *= (n - i) / (i + 1.0) * odds;
        sum += term;
        i += 1.0;
    }
    (-(ln_first + sum.ln())).max(0.0)
}

/// The same where what happens comes in bunches that make its number `dispersion` times as scattered as if calls were independent:
/// every bunch counts once.
pub(crate) fn bunched_surprise(times: u64, calls: u64, probability: f64, dispersion: f64) -> f64 {
    if dispersion <= 1.0 || times == 0 {
        return surprise(times, calls, probability);
    }
    let bunches = (calls as f64 / dispersion).round().max(1.0);
    let happened = (times as f64 / calls.max(1) as f64 * bunches).round().clamp(1.0, bunches);
    surprise(happened as u64, bunches as u64, probability)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Summed term by term, from binomial coefficients made by multiplication.
    fn naive(times: u64, calls: u64, probability: f64) -> f64 {
        let term = |k: u64| {
            let coefficient: f64 = (0..k).map(|i| (calls - i) as f64 / (i + 1) as f64).product();
            coefficient * probability.powi(k as i32) * (1.0 - probability).powi((calls - k) as i32)
        };
        (times..=calls).map(term).sum()
    }

    proptest! {
        #[test]
        fn surprise_is_the_logarithm_of_the_summed_tail(
            calls in 1u64..60,
            times in 0u64..60,
            probability in 0.001f64..0.999,
        ) {
            let times = times.min(calls);
            let surprise = surprise(times, calls, probability);
            if times as f64 <= calls as f64 * probability {
                prop_assert!(surprise.to_bits() == 0);
            } else {
                let expected = -naive(times, calls, probability).ln();
                prop_assert!((surprise - expected).abs() < 1e-7 * (1.0 + expected), "{surprise} {expected}");
            }
        }

        #[test]
        fn more_is_never_less_surprising_and_nothing_is_infinite(
            calls in 1u64..100_000,
            share in 0.0f64..1.0,
            probability in 0.0f64..1.0,
            dispersion in 0.5f64..80.0,
        ) {
            let times = (calls as f64 * share) as u64;
            let less = surprise(times, calls, probability);
            let more = surprise((times + 1).min(calls), calls, probability);
            prop_assert!(less.is_finite() && less >= 0.0);
            prop_assert!(more >= less - 1e-6 * (1.0 + less), "{less} {more}");
            let bunched = bunched_surprise(times, calls, probability, dispersion);
            prop_assert!(bunched.is_finite() && bunched >= 0.0);
        }
    }

    #[test]
    fn bunches_are_less_surprising_than_as_many_single_events() {
        let single = surprise(12, 14, 0.02);
        let bunched = bunched_surprise(12, 14, 0.02, 4.0);
        assert!(single > 35.0 && bunched < single / 2.0 && bunched > 5.0, "{single} {bunched}");
    }
}

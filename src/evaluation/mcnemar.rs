//! Whether two classifiers differ by more than chance, from the documents that only one of them got right.

use std::f64::consts::{LN_2, PI};

/// The p-value of McNemar's test (McNemar 1947) for two classifiers of which each alone got so many documents right: how
/// probable a split at least as uneven is when both are equally likely to be the one that is right. From 0 to 1; 1 when
/// there is no such document.
///
/// It is the exact, two-sided one, twice the smaller tail of Binomial(n, ½) and at most 1, for any n: the chi-squared
/// approximation needs Edwards' correction (Edwards 1948) and many documents. It keeps its level always, and errs towards
/// seeing no difference (Fagerland, Lydersen & Laake 2013).
pub fn mcnemar_p_value(n_only_first: u64, n_only_second: u64) -> f64 {
    let n = n_only_first + n_only_second;
    let fewer = n_only_first.min(n_only_second);
    if n - fewer <= fewer + 1 {
        // The tail is half of the distribution or more.
        return 1.0;
    }
    // The terms of the tail fall from the largest on, each by a known ratio: after some √n of them the rest adds nothing.
    let (mut sum, mut term, mut k) = (0.0, 1.0, fewer as f64);
    while term > sum * f64::EPSILON {
        sum += term;
        term *= k / (n as f64 - k + 1.0);
        k -= 1.0;
    }
    (2.0 * sum * ln_half_binomial(fewer, n).exp()).min(1.0)
}

/// ln P(X = k) of X ~ Binomial(n, ½), by the saddle-point form (Loader 2000, "Fast and accurate computation of binomial
/// probabilities"), in which no large numbers cancel.
fn ln_half_binomial(k: u64, n: u64) -> f64 {
    if k == 0 || k == n {
        return -(n as f64) * LN_2;
    }
    let (a, b, n_all) = (k as f64, (n - k) as f64, n as f64);
    let deviance = a * (2.0 * a / n_all).ln() + b * (2.0 * b / n_all).ln();
    let remainders = stirling_remainder(n) - stirling_remainder(k) - stirling_remainder(n - k);
    remainders - deviance + 0.5 * (n_all / (2.0 * PI * a * b)).ln()
}

/// What Stirling's formula lacks: ln n! - (½ ln(2πn) + n ln n - n), for n from 1 on.
fn stirling_remainder(n: u64) -> f64 {
    let x = n as f64;
    if n <= 16 {
        let ln_factorial: f64 = (2..=n).map(|i| (i as f64).ln()).sum();
        return ln_factorial - (0.5 * (2.0 * PI * x).ln() + x * x.ln() - x);
    }
    // The next term of the series is below 1e-12.
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * x * x)) / (x * x)) / x
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against 2 · Σ C(n, k) / 2ⁿ in whole numbers of any length (Python's `math.comb` and `fractions`); the values of
    /// `scipy.stats.binomtest` and `statsmodels.stats.contingency_tables.mcnemar(exact=True)` are defined by the same sum.
    #[test]
    fn p_values_are_those_of_the_exact_binomial_test() {
        for (first, second, expected) in [
            (0, 0, 1.0),
            (0, 1, 1.0),
            (5, 5, 1.0),
            (4, 5, 1.0),
            (0, 5, 0.0625),
            (1, 9, 0.021484375),
            (6, 16, 0.052478790283203125),
            (10, 20, 0.09873714670538902),
            (37, 60, 0.02499073659259803),
            (59, 6, 4.964650327128617e-12),
            (150, 101, 0.0023809925216453426),
            (5100, 4900, 0.04658552770494739),
            (501_000, 499_000, 0.04560829986538208),
            (0, 1000, 1.8665272370064378e-301),
        ] {
            for (first, second) in [(first, second), (second, first)] {
                let p = mcnemar_p_value(first, second);
                assert!((p - expected).abs() <= 1e-9 * expected, "{first} {second}: {p} instead of {expected}");
            }
        }
    }

    #[test]
    fn what_is_beyond_a_float_is_0_and_any_size_has_an_answer() {
        assert_eq!(mcnemar_p_value(0, 1_000_000), 0.0);
        assert_eq!(mcnemar_p_value(500_000_000_000, 500_000_000_000), 1.0);
        // Two standard deviations of a normal distribution, which it is by then: 0.0455.
        let p = mcnemar_p_value(500_001_000_000, 499_999_000_000);
        assert!((p - 0.0455).abs() < 1e-4, "{p}");
    }
}

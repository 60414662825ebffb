//! The differences that a set is large enough to show.

use super::{mcnemar, normal_quantile, reach};

/// The true difference that a comparison with this standard error finds significant with
/// probability `power`: `(z(1 − α/2) + z(power)) · standard error`. `confidence` is `1 − α`.
///
/// For two runs on the same 0/1 items that disagree on a share `q` of `n`, the standard error is at
/// most `√(q / n)`; for one run against a fixed score `p`, it is `√(p (1 − p) / n)`.
pub fn smallest_detectable_difference(standard_error: f64, confidence: f64, power: f64) -> f64 {
    (reach(confidence) + normal_quantile(power)) * standard_error
}

/// The smallest difference between two runs on `count` 0/1 items that McNemar's exact test calls
/// significant when they disagree on `disagreeing` of them, as a difference of means. `None` when
/// even one that goes all one way is not: five items or fewer at a confidence of 0.95.
pub fn smallest_significant_difference(
    count: usize,
    disagreeing: usize,
    confidence: f64,
) -> Option<f64> {
    let significant = |&worse: &usize| mcnemar(disagreeing - worse, worse) < 1.0 - confidence;
    let worse = (0..=disagreeing / 2).rev().find(significant)?;
    Some((disagreeing - 2 * worse) as f64 / count as f64)
}

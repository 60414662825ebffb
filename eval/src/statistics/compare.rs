//! Whether two runs on the same items differ.

use super::bootstrap::{percentiles, sorted_means};
use super::{Interval, clustered_standard_error, mean, totals};
use statrs::distribution::{Binomial, DiscreteCDF};
use std::hash::Hash;

/// What was tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Test {
    /// McNemar's, exact: every score is 0 or 1 and no items are clustered.
    McNemar,
    /// The paired bootstrap, by item or by cluster.
    Bootstrap,
}

/// How two runs on the same items differ.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// The mean of the second run less that of the first.
    pub difference: f64,
    /// The paired bootstrap interval of the difference.
    pub interval: Interval,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// How often a difference as large, to either side, would come by chance were there none.
    pub p_value: f64,
    /// What gave `p_value`.
    pub test: Test,
    /// Items on which the second run scores higher.
    pub better: usize,
    /// Items on which the second run scores lower.
    pub worse: usize,
}

/// Compares the scores of two runs, item by item, with a confidence between 0 and 1. `None` unless
/// there are at least two items, and as many in either run.
pub fn compare(first: &[f64], second: &[f64], confidence: f64) -> Option<Comparison> {
    let items: Vec<usize> = (0..first.len()).collect();
    let mut comparison = compare_clustered(first, second, &items, confidence)?;
    let is_binary = |score: &f64| *score == 0.0 || *score == 1.0;
    if first.iter().chain(second).all(is_binary) {
        comparison.p_value = mcnemar(comparison.better, comparison.worse);
        comparison.test = Test::McNemar;
    }
    Some(comparison)
}

/// Compares the scores of two runs on items that depend on one another within clusters. `None`
/// unless there are at least two clusters, and as many items in either run as keys.
pub fn compare_clustered<K: Hash + Eq>(
    first: &[f64],
    second: &[f64],
    clusters: &[K],
    confidence: f64,
) -> Option<Comparison> {
    if first.len() != second.len() || first.len() != clusters.len() {
        return None;
    }
    let differences: Vec<f64> = second.iter().zip(first).map(|(b, a)| b - a).collect();
    let difference = mean(&differences);
    let standard_error = clustered_standard_error(&differences, clusters)?;
    let totals = totals(&differences, clusters);
    let means = sorted_means(totals.len(), |cluster| totals[cluster])?;
    Some(Comparison {
        difference,
        interval: percentiles(&means, confidence),
        standard_error,
        p_value: chance(&means, difference),
        test: Test::Bootstrap,
        better: differences.iter().filter(|&&difference| difference > 0.0).count(),
        worse: differences.iter().filter(|&&difference| difference < 0.0).count(),
    })
}

/// The share of resampled means that are as far from the mean as that is from 0. The observed one
/// counts too, so that it is never 0 (Davison and Hinkley 1997, section 4.2).
fn chance(means: &[f64], observed: f64) -> f64 {
    // Sums in another order differ in their last bits.
    let far = |mean: &&f64| (*mean - observed).abs() >= observed.abs() - 1e-12;
    (1 + means.iter().filter(far).count()) as f64 / (1 + means.len()) as f64
}

/// The p-value of McNemar's exact test (1947), two-sided: of the items on which two runs differ,
/// `better` went one way and `worse` the other. 1 where none differ.
pub fn mcnemar(better: usize, worse: usize) -> f64 {
    let fewer = better.min(worse) as u64;
    match Binomial::new(0.5, (better + worse) as u64) {
        Ok(binomial) => (2.0 * binomial.cdf(fewer)).min(1.0),
        Err(_) => 1.0,
    }
}

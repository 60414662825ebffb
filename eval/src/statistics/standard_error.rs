//! Standard errors of means.

use super::{mean, totals};
use std::hash::Hash;

/// The standard error of the mean of independent scores, `s / √n` with `n − 1` in `s`. `None` for
/// fewer than two.
pub fn standard_error(scores: &[f64]) -> Option<f64> {
    let clusters: Vec<usize> = (0..scores.len()).collect();
    clustered_standard_error(scores, &clusters)
}

/// The standard error of the mean when scores depend on one another within clusters: the sandwich
/// estimator of Liang and Zeger (1986) with the correction `G / (G − 1)` for `G` clusters. `None` for
/// fewer than two clusters.
pub fn clustered_standard_error<K: Hash + Eq>(scores: &[f64], clusters: &[K]) -> Option<f64> {
    let center = mean(scores);
    let totals = totals(scores, clusters);
    let count = totals.len() as f64;
    if totals.len() < 2 {
        return None;
    }
    let squares: f64 = totals.iter().map(|(sum, items)| (sum - items * center).powi(2)).sum();
    Some((squares * count / (count - 1.0)).sqrt() / scores.len() as f64)
}

//! How far scores can be trusted: intervals of means, differences between two runs, and the smallest
//! difference that a set could show. Plain functions of scores, the same every time they are asked.
//!
//! Items that share an image or a document are not independent. The functions on `clusters` take
//! one key an item, and treat the items with equal keys as one draw.

mod bootstrap;
mod compare;
mod power;
mod proportion;
mod standard_error;

pub use bootstrap::{
    bootstrap_interval, clustered_bootstrap_interval, sums_bootstrap_interval,
    weighted_bootstrap_interval,
};
pub use compare::{Comparison, Test, compare, compare_clustered, mcnemar};
pub use power::{smallest_detectable_difference, smallest_significant_difference};
pub use proportion::{clustered_wilson_interval, wilson_interval};
pub use standard_error::{clustered_standard_error, standard_error};

use statrs::distribution::{ContinuousCDF, Normal};
use std::collections::HashMap;
use std::hash::Hash;

/// A range that holds the true value with the confidence asked for.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The mean; nan for no values.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard normal's quantile.
fn normal_quantile(share: f64) -> f64 {
    Normal::standard().inverse_cdf(share)
}

/// How many standard errors an interval of this confidence, between 0 and 1, reaches to either side.
fn reach(confidence: f64) -> f64 {
    normal_quantile(0.5 + confidence / 2.0)
}

/// The sum and the number of the scores of each cluster, in the order in which clusters are met.
fn totals<K: Hash + Eq>(scores: &[f64], clusters: &[K]) -> Vec<(f64, f64)> {
    weighted_totals(scores.iter().map(|&score| (score, 1.0)), clusters)
}

/// The sums of scores, each times its weight, and of weights of each cluster.
fn weighted_totals<K: Hash + Eq>(
    scores: impl Iterator<Item = (f64, f64)>,
    clusters: &[K],
) -> Vec<(f64, f64)> {
    let mut places = HashMap::new();
    let mut totals: Vec<(f64, f64)> = Vec::new();
    for ((score, weight), cluster) in scores.zip(clusters) {
        let place = *places.entry(cluster).or_insert(totals.len());
        if place == totals.len() {
            totals.push((0.0, 0.0));
        }
        totals[place].0 += score * weight;
        totals[place].1 += weight;
    }
    totals
}

//! Intervals of proportions.

use super::{Interval, clustered_standard_error, mean, reach, totals};
use std::hash::Hash;

/// Wilson's score interval (1927) of a proportion, with a confidence between 0 and 1: unlike the
/// normal one it never leaves 0 to 1, and is no point at its ends. `None` for nothing counted.
pub fn wilson_interval(successes: usize, count: usize, confidence: f64) -> Option<Interval> {
    (count > 0).then(|| wilson(successes as f64 / count as f64, count as f64, confidence))
}

/// Wilson's interval of 0/1 scores that depend on one another within clusters, with the number of
/// independent items that would leave as large a standard error (Korn and Graubard 1998). Where all
/// scores are the same, that number is the clusters'. `None` for no scores.
pub fn clustered_wilson_interval<K: Hash + Eq>(
    scores: &[f64],
    clusters: &[K],
    confidence: f64,
) -> Option<Interval> {
    let independent = totals(scores, clusters).len() as f64;
    if independent == 0.0 {
        return None;
    }
    let share = mean(scores);
    let count = match clustered_standard_error(scores, clusters) {
        Some(error) if error > 0.0 => share * (1.0 - share) / error.powi(2),
        _ => independent,
    };
    Some(wilson(share, count, confidence))
}

fn wilson(share: f64, count: f64, confidence: f64) -> Interval {
    let z = reach(confidence);
    let spread = z * z / count;
    let center = (share + spread / 2.0) / (1.0 + spread);
    let half = z * (share * (1.0 - share) / count + spread / (4.0 * count)).sqrt() / (1.0 + spread);
    Interval { low: (center - half).max(0.0), high: (center + half).min(1.0) }
}

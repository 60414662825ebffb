//! Bootstrap intervals.

use super::{Interval, totals, weighted_totals};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;
use std::collections::HashMap;
use std::hash::Hash;

/// Resamples drawn; enough for the second decimal of a percentage.
const RESAMPLES: usize = 1000;
/// The same scores always give the same interval.
const SEED: u64 = 0;

/// The percentile interval of the mean (Efron 1979) with a confidence between 0 and 1. `None` for no
/// scores.
pub fn bootstrap_interval(scores: &[f64], confidence: f64) -> Option<Interval> {
    let means = sorted_means(scores.len(), |item| (scores[item], 1.0))?;
    Some(percentiles(&means, confidence))
}

/// The percentile interval of the mean over all items, drawn cluster by cluster. `None` for no
/// scores.
pub fn clustered_bootstrap_interval<K: Hash + Eq>(
    scores: &[f64],
    clusters: &[K],
    confidence: f64,
) -> Option<Interval> {
    let totals = totals(scores, clusters);
    let means = sorted_means(totals.len(), |cluster| totals[cluster])?;
    Some(percentiles(&means, confidence))
}

/// As [`clustered_bootstrap_interval`], of a mean in which each score has a weight, as an error rate
/// over a whole set is the mean of its texts' rates by their lengths. `None` for no scores, or where
/// all weights are 0.
pub fn weighted_bootstrap_interval<K: Hash + Eq>(
    scores: &[f64],
    weights: &[f64],
    clusters: &[K],
    confidence: f64,
) -> Option<Interval> {
    let totals = weighted_totals(scores.iter().copied().zip(weights.iter().copied()), clusters);
    // A resample without any weight has no mean.
    let totals: Vec<(f64, f64)> = totals.into_iter().filter(|(_, weight)| *weight > 0.0).collect();
    let means = sorted_means(totals.len(), |cluster| totals[cluster])?;
    Some(percentiles(&means, confidence))
}

/// The percentile interval of a `score` that is a function of sums over samples, such as an F1 of
/// counts, drawn cluster by cluster. Each sample gives as many numbers as there are sums. Draws
/// without a score are left out; `None` where that is all of them, or there are no samples.
pub fn sums_bootstrap_interval<K: Hash + Eq>(
    samples: &[Vec<f64>],
    clusters: &[K],
    score: impl Fn(&[f64]) -> Option<f64> + Sync,
    confidence: f64,
) -> Option<Interval> {
    let totals = cluster_sums(samples, clusters);
    let length = totals.first()?.len();
    let resample = |resample: usize| {
        let mut random = SmallRng::seed_from_u64(SEED + resample as u64);
        let mut sums = vec![0.0; length];
        for _ in 0..totals.len() {
            let drawn = &totals[random.random_range(0..totals.len())];
            sums.iter_mut().zip(drawn).for_each(|(sum, more)| *sum += more);
        }
        score(&sums)
    };
    let mut scores: Vec<f64> = (0..RESAMPLES).into_par_iter().filter_map(resample).collect();
    scores.sort_by(f64::total_cmp);
    (!scores.is_empty()).then(|| percentiles(&scores, confidence))
}

/// The sums of each cluster's samples, in the order in which clusters are met.
fn cluster_sums<K: Hash + Eq>(samples: &[Vec<f64>], clusters: &[K]) -> Vec<Vec<f64>> {
    let mut places = HashMap::new();
    let mut totals: Vec<Vec<f64>> = Vec::new();
    for (sample, cluster) in samples.iter().zip(clusters) {
        let place = *places.entry(cluster).or_insert(totals.len());
        match totals.get_mut(place) {
            Some(total) => total.iter_mut().zip(sample).for_each(|(sum, more)| *sum += more),
            None => totals.push(sample.clone()),
        }
    }
    totals
}

/// The means of resamples in ascending order, given the sum and the number of items of each draw.
pub(super) fn sorted_means(
    draws: usize,
    total: impl Fn(usize) -> (f64, f64) + Sync,
) -> Option<Vec<f64>> {
    if draws == 0 {
        return None;
    }
    // A generator for each resample, so that threads do not change what is drawn.
    let resample = |resample: usize| {
        let mut random = SmallRng::seed_from_u64(SEED + resample as u64);
        let (mut sum, mut count) = (0.0, 0.0);
        for _ in 0..draws {
            let (more, items) = total(random.random_range(0..draws));
            sum += more;
            count += items;
        }
        sum / count
    };
    let mut means: Vec<f64> = (0..RESAMPLES).into_par_iter().map(resample).collect();
    means.sort_by(f64::total_cmp);
    Some(means)
}

/// The interval that leaves out equally many of sorted values on either side.
pub(super) fn percentiles(sorted: &[f64], confidence: f64) -> Interval {
    let at = |share: f64| {
        let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(place).copied().unwrap_or(f64::NAN)
    };
    let outside = (1.0 - confidence) / 2.0;
    Interval { low: at(outside), high: at(1.0 - outside) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_mean_and_narrows_with_more_scores() {
        let scores = |n: usize| (0..n).map(|i| f64::from(u8::from(i % 4 == 0))).collect::<Vec<_>>();
        let wide = bootstrap_interval(&scores(100), 0.95).unwrap();
        // The normal approximation gives 0.25 ± 1.96 · sqrt(0.25 · 0.75 / 100) = 0.165 … 0.335.
        assert!((wide.low - 0.165).abs() < 0.02 && (wide.high - 0.335).abs() < 0.02, "{wide:?}");
        let narrow = bootstrap_interval(&scores(1600), 0.95).unwrap();
        assert!(narrow.high - narrow.low < (wide.high - wide.low) / 3.0);
    }

    #[test]
    fn a_mean_is_a_function_of_sums() {
        let scores: Vec<f64> = (0..60).map(|i| f64::from(i % 7) / 6.0).collect();
        let clusters: Vec<usize> = (0..60).map(|i| i / 3).collect();
        let samples: Vec<Vec<f64>> = scores.iter().map(|&score| vec![score, 1.0]).collect();
        let of_sums = sums_bootstrap_interval(&samples, &clusters, |s| Some(s[0] / s[1]), 0.95);
        let (of_sums, of_mean) =
            (of_sums.unwrap(), clustered_bootstrap_interval(&scores, &clusters, 0.95).unwrap());
        assert!((of_sums.low - of_mean.low).abs() < 1e-12, "{of_sums:?} {of_mean:?}");
        assert!((of_sums.high - of_mean.high).abs() < 1e-12, "{of_sums:?} {of_mean:?}");
        assert_eq!(sums_bootstrap_interval(&samples, &clusters, |_| None, 0.95), None);
        assert_eq!(sums_bootstrap_interval(&[], &clusters, |s| Some(s[0]), 0.95), None);
    }

    #[test]
    fn equal_scores_leave_no_doubt() {
        let sure = Some(Interval { low: 0.5, high: 0.5 });
        assert_eq!(bootstrap_interval(&[0.5; 10], 0.95), sure);
        assert_eq!(bootstrap_interval(&[], 0.95), None);
    }

    #[test]
    fn a_weight_counts_as_so_many_copies() {
        let scores: Vec<f64> = (0..40).map(|i| f64::from(i % 5) / 4.0).collect();
        let weights: Vec<f64> = (0..40).map(|i| f64::from(1 + i % 3)).collect();
        let alone: Vec<usize> = (0..40).collect();
        let copied: Vec<(f64, usize)> =
            (0..40).flat_map(|i| vec![(scores[i], i); 1 + i % 3]).collect();
        let (copies, clusters): (Vec<f64>, Vec<usize>) = copied.into_iter().unzip();
        let weighted = weighted_bootstrap_interval(&scores, &weights, &alone, 0.95).unwrap();
        let together = clustered_bootstrap_interval(&copies, &clusters, 0.95).unwrap();
        assert!((weighted.low - together.low).abs() < 1e-12, "{weighted:?} {together:?}");
        assert!((weighted.high - together.high).abs() < 1e-12, "{weighted:?} {together:?}");
        assert_eq!(weighted_bootstrap_interval(&[1.0], &[0.0], &[0], 0.95), None);
    }

    #[test]
    fn copies_of_an_item_add_nothing_when_clustered() {
        let scores: Vec<f64> = (0..40).map(|i| f64::from(i % 5) / 4.0).collect();
        let copied: Vec<f64> = scores.iter().flat_map(|&score| [score; 7]).collect();
        let clusters: Vec<usize> = (0..40).flat_map(|i| [i; 7]).collect();
        let alone = bootstrap_interval(&scores, 0.95).unwrap();
        let together = clustered_bootstrap_interval(&copied, &clusters, 0.95).unwrap();
        assert!((alone.low - together.low).abs() < 1e-12, "{alone:?} {together:?}");
        assert!((alone.high - together.high).abs() < 1e-12, "{alone:?} {together:?}");
    }
}

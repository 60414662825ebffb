//! Bootstrap intervals.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Resamples drawn; enough for the second decimal of a percentage.
const RESAMPLES: usize = 1000;
/// The same scores always give the same interval.
const SEED: u64 = 0;

/// The 95 % percentile interval of the mean (Efron 1979). `None` for no scores.
pub(crate) fn mean_interval(scores: &[f64]) -> Option<(f64, f64)> {
    if scores.is_empty() {
        return None;
    }
    let mut random = StdRng::seed_from_u64(SEED);
    let mut draw = || scores.get(random.random_range(0..scores.len())).copied().unwrap_or_default();
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..scores.len()).map(|_| draw()).sum::<f64>() / scores.len() as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means.get((share * (RESAMPLES - 1) as f64).round() as usize).copied();
    Some((at(0.025)?, at(0.975)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_mean_and_narrows_with_more_scores() {
        let scores = |n: usize| (0..n).map(|i| f64::from(u8::from(i % 4 == 0))).collect::<Vec<_>>();
        let (low, high) = mean_interval(&scores(100)).unwrap();
        // The normal approximation gives 0.25 ± 1.96 · sqrt(0.25 · 0.75 / 100) = 0.165 … 0.335.
        assert!((low - 0.165).abs() < 0.02 && (high - 0.335).abs() < 0.02, "{low} {high}");
        let (narrow_low, narrow_high) = mean_interval(&scores(1600)).unwrap();
        assert!(narrow_high - narrow_low < (high - low) / 3.0);
    }

    #[test]
    fn equal_scores_leave_no_doubt() {
        assert_eq!(mean_interval(&[0.5; 10]), Some((0.5, 0.5)));
        assert_eq!(mean_interval(&[]), None);
    }
}

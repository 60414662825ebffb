//! Our statistics held against scipy's and statsmodels', and against published examples.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_eval::statistics::{
    Interval, Test, bootstrap_interval, clustered_standard_error, clustered_wilson_interval,
    compare, compare_clustered, mcnemar, smallest_detectable_difference,
    smallest_significant_difference, standard_error, wilson_interval,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    wilson: Vec<Wilson>,
    mcnemar: Vec<McNemar>,
    standard_errors: Vec<StandardErrors>,
    paired: Vec<Paired>,
    detectable: Vec<Detectable>,
}

#[derive(Deserialize)]
struct Wilson {
    successes: usize,
    count: usize,
    confidence: f64,
    interval: [f64; 2],
}

#[derive(Deserialize)]
struct McNemar {
    better: usize,
    worse: usize,
    p_value: f64,
}

#[derive(Deserialize)]
struct StandardErrors {
    scores: Vec<f64>,
    clusters: Vec<usize>,
    standard_error: f64,
    standard_error_unclustered: f64,
}

#[derive(Deserialize)]
struct Paired {
    first: Vec<f64>,
    second: Vec<f64>,
    difference: f64,
    interval: [f64; 2],
    t_test_p_value: f64,
}

#[derive(Deserialize)]
struct Detectable {
    count: usize,
    deviation: f64,
    confidence: f64,
    power: f64,
    difference: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../../tests/fixtures/statistics.json")).unwrap()
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} instead of {expected}");
}

#[track_caller]
fn near_interval(found: Interval, expected: [f64; 2], tolerance: f64) {
    near(found.low, expected[0], tolerance);
    near(found.high, expected[1], tolerance);
}

#[test]
fn wilson_is_that_of_statsmodels() {
    for case in fixture().wilson {
        let found = wilson_interval(case.successes, case.count, case.confidence).unwrap();
        near_interval(found, case.interval, 1e-9);
    }
    assert_eq!(wilson_interval(0, 0, 0.95), None);
}

#[test]
fn wilson_is_that_of_newcombe() {
    // Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    for (successes, count, interval) in [
        (81, 263, [0.2553, 0.3662]),
        (15, 148, [0.0624, 0.1605]),
        (0, 20, [0.0, 0.1611]),
        (1, 29, [0.0061, 0.1718]),
    ] {
        near_interval(wilson_interval(successes, count, 0.95).unwrap(), interval, 5e-5);
    }
}

#[test]
fn clustered_wilson_counts_what_is_independent() {
    let scores: Vec<f64> = (0..50).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
    let copied: Vec<f64> = scores.iter().flat_map(|&score| [score; 4]).collect();
    let clusters: Vec<usize> = (0..50).flat_map(|i| [i; 4]).collect();
    let found = clustered_wilson_interval(&copied, &clusters, 0.95).unwrap();
    // The standard error divides by 49 rather than 50, so that one item less counts.
    let expected = wilson_interval(17, 50, 0.95).unwrap();
    near_interval(found, [expected.low, expected.high], 2e-3);
    let all_right = clustered_wilson_interval(&[1.0; 200], &clusters, 0.95).unwrap();
    assert_eq!(Some(all_right), wilson_interval(50, 50, 0.95));
}

#[test]
fn mcnemar_is_that_of_statsmodels() {
    for case in fixture().mcnemar {
        near(mcnemar(case.better, case.worse), case.p_value, 1e-9);
    }
}

#[test]
fn standard_errors_are_those_of_statsmodels() {
    for case in fixture().standard_errors {
        let clustered = clustered_standard_error(&case.scores, &case.clusters).unwrap();
        near(clustered, case.standard_error, 1e-9);
        near(standard_error(&case.scores).unwrap(), case.standard_error_unclustered, 1e-9);
    }
    assert_eq!(standard_error(&[1.0]), None);
    assert_eq!(clustered_standard_error(&[1.0, 0.0], &["same", "same"]), None);
}

#[test]
fn paired_bootstrap_is_near_scipy() {
    for case in fixture().paired {
        let found = compare(&case.first, &case.second, 0.95).unwrap();
        assert_eq!(found.test, Test::Bootstrap);
        near(found.difference, case.difference, 1e-12);
        // Of 1,000 resamples the ends waver.
        let width = case.interval[1] - case.interval[0];
        near_interval(found.interval, case.interval, 0.06 * width);
        near(found.p_value, case.t_test_p_value, 0.04);
        let differences: Vec<f64> =
            case.second.iter().zip(&case.first).map(|(b, a)| b - a).collect();
        assert_eq!(bootstrap_interval(&differences, 0.95), Some(found.interval));
    }
}

#[test]
fn right_or_wrong_is_tested_exactly() {
    let first: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i >= 10))).collect();
    let second: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i != 39))).collect();
    let found = compare(&first, &second, 0.95).unwrap();
    assert_eq!((found.test, found.better, found.worse), (Test::McNemar, 10, 1));
    near(found.difference, 9.0 / 40.0, 1e-12);
    // 2 · (C(11, 0) + C(11, 1)) / 2¹¹
    near(found.p_value, 24.0 / 2048.0, 1e-12);
    // In two documents of twenty there is little to go by.
    let documents: Vec<usize> = (0..40).map(|i| i / 20).collect();
    let clustered = compare_clustered(&first, &second, &documents, 0.95).unwrap();
    assert_eq!(clustered.test, Test::Bootstrap);
    assert!(clustered.p_value > 0.2, "{}", clustered.p_value);
    assert_eq!(compare(&first, &second[1..], 0.95), None);
}

#[test]
fn equal_runs_do_not_differ() {
    let scores = [0.0, 0.5, 1.0];
    let found = compare(&scores, &scores, 0.95).unwrap();
    assert_eq!((found.difference, found.p_value, found.standard_error), (0.0, 1.0, 0.0));
}

#[test]
fn detectable_differences_are_those_of_statsmodels() {
    for case in fixture().detectable {
        let standard_error = case.deviation / (case.count as f64).sqrt();
        let found = smallest_detectable_difference(standard_error, case.confidence, case.power);
        near(found, case.difference, 1e-5);
    }
}

#[test]
fn six_items_one_way_are_the_fewest_that_tell() {
    assert_eq!(smallest_significant_difference(100, 5, 0.95), None);
    assert_eq!(smallest_significant_difference(100, 6, 0.95), Some(0.06));
    // 9 to 1 has p = 22 / 1024, 8 to 2 has 112 / 1024.
    assert_eq!(smallest_significant_difference(100, 10, 0.95), Some(0.08));
}

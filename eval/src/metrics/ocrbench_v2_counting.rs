//! OCRBench v2's counting of words and characters (Fu et al. 2024), as in its `vqa_metric.py`.

use super::{Item, MetricInfo, ScoreError};
use crate::python::{int, is_decimal, strip};
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("official.exact_match", |item| {
        Ok(exact_match(item.text()?, &item.reference_texts()?).into())
    }),
    info("official.regression", of_regression),
    info("vlmevalkit.exact_match", |item| {
        Ok(exact_match(item.text()?, &item.reference_texts()?).into())
    }),
    info("vlmevalkit.regression", of_regression),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "ocrbench_v2_counting",
        variant,
        summary: "the count occurs in the prediction, or its first number is near it",
        score,
    }
}

fn of_regression(item: &Item) -> Result<Value, ScoreError> {
    regression(item.text()?, &item.reference_texts()?)
        .map(Value::from)
        .ok_or(ScoreError::Undefined("a reference is no whole number"))
}

/// 1 when a reference, in small letters and on one line, occurs in the prediction as it is; else 0.
pub fn exact_match(prediction: &str, references: &[&str]) -> f64 {
    let plain = |text: &str| strip(&text.to_lowercase()).replace('\n', " ");
    f64::from(references.iter().any(|reference| prediction.contains(&plain(reference))))
}

/// 1 − relative error, 0 to 1, of the first number in the prediction to the best of the references;
/// 0 at an error of one half or more. `None` where the prediction has a number to compare and a
/// reference is none, as the reference scorer then raises.
pub fn regression(prediction: &str, references: &[&str]) -> Option<f64> {
    let Some(found) = first_number(prediction).filter(|&found| found != 0.0) else {
        return Some(0.0);
    };
    let nearness = |reference: &&str| {
        let wanted = int(reference)?;
        let nearness = 1.0 - (found - wanted).abs() / wanted;
        Some(if found < 2.0 * wanted && nearness > 0.5 { nearness } else { 0.0 })
    };
    references.iter().map(nearness).try_fold(0.0, |best: f64, score| Some(best.max(score?)))
}

fn first_number(text: &str) -> Option<f64> {
    let digits = text.trim_start_matches(|c| !is_decimal(c));
    int(&digits[..digits.find(|c| !is_decimal(c)).unwrap_or(digits.len())])
}

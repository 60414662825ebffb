//! Average normalised Levenshtein similarity (Biten et al. 2019), for DocVQA, InfographicVQA, ….

use super::{Item, MetricInfo, ScoreError};
use crate::python::{collapse_spaces, length};
use crate::text::edit_distance;
use serde_json::Value;

const SUMMARY: &str = "edit similarity of short answers, 0 below one half";

pub(super) const METRICS: &[MetricInfo] = &[
    MetricInfo {
        name: "anls",
        variant: "vlmevalkit",
        summary: SUMMARY,
        score: |item| of_item(item, Variant::Harness),
    },
    MetricInfo {
        name: "anls",
        variant: "lmms_eval",
        summary: SUMMARY,
        score: |item| of_item(item, Variant::Harness),
    },
    MetricInfo {
        name: "anls",
        variant: "anls_pypi",
        summary: SUMMARY,
        score: |item| of_item(item, Variant::Package),
    },
    MetricInfo {
        name: "anls",
        variant: "pix2struct",
        summary: SUMMARY,
        score: |item| of_item(item, Variant::Pix2struct),
    },
    MetricInfo {
        name: "anls",
        variant: "anls_star",
        summary: SUMMARY,
        score: |item| of_item(item, Variant::Star),
    },
];

fn of_item(item: &Item, variant: Variant) -> Result<Value, ScoreError> {
    let score = score(item.text()?, &item.reference_texts()?, variant);
    score.map(Value::from).ok_or(ScoreError::Undefined("nothing to divide by"))
}

/// Whose definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// lmms-eval and VLMEvalKit: the distance of normalised texts over the longer *raw* one, so
    /// that blanks around a wrong answer raise its score.
    Harness,
    /// The `anls` package, which ChartQAPro uses: a similarity of exactly one half is 0.
    Package,
    /// pix2struct: no trimming; it raises where both texts are empty.
    Pix2struct,
    /// The `anls-star` package, on plain texts.
    Star,
}

/// Similarities below this are 0.
const THRESHOLD: f64 = 0.5;

/// The best similarity, 0 to 1, of a prediction to any of its references. `None` where the
/// reference scorer raises: no references, or pix2struct with nothing on both sides.
pub fn score(prediction: &str, references: &[&str], variant: Variant) -> Option<f64> {
    let scores: Option<Vec<f64>> =
        references.iter().map(|reference| similarity(prediction, reference, variant)).collect();
    scores?.into_iter().reduce(f64::max)
}

fn similarity(prediction: &str, reference: &str, variant: Variant) -> Option<f64> {
    let (a, b) = match variant {
        Variant::Pix2struct => (prediction.to_lowercase(), reference.to_lowercase()),
        _ => (
            collapse_spaces(&prediction.to_lowercase()),
            collapse_spaces(&reference.to_lowercase()),
        ),
    };
    let longest = |a: &str, b: &str| length(a).max(length(b));
    let over = match variant {
        Variant::Harness => longest(&prediction.to_uppercase(), &reference.to_uppercase()),
        Variant::Package => longest(&a.to_uppercase(), &b.to_uppercase()),
        Variant::Pix2struct | Variant::Star => longest(&a, &b),
    };
    if over == 0 && variant == Variant::Pix2struct {
        return None;
    }
    let distance = if over == 0 { 0.0 } else { edit_distance(&a, &b) as f64 / over as f64 };
    let counts = match variant {
        Variant::Harness | Variant::Star => 1.0 - distance >= THRESHOLD,
        Variant::Package | Variant::Pix2struct => distance < THRESHOLD,
    };
    Some(if counts { 1.0 - distance } else { 0.0 })
}

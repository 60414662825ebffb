//! lmms-eval's own page score for OmniDocBench's texts and formulas: blocks are paired at the
//! lowest total edit distance, and the edits counted over the pairs.

use super::{Item, MetricInfo, ScoreError, formula_normalize, text_normalize};
use crate::assignment::assign;
use crate::python::length;
use crate::text::edit_distance;
use serde_json::{Value, json};

pub(super) const METRICS: &[MetricInfo] = &[
    info("text", |item| of_item(item, text_normalize::lmms_eval)),
    info("formula", |item| of_item(item, formula_normalize::lmms_eval)),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "lmms_omnidocbench",
        variant,
        summary: "edits over length of a page's blocks, paired at the lowest cost",
        score,
    }
}

fn of_item(item: &Item, normalise: fn(&str) -> String) -> Result<Value, ScoreError> {
    let page = score(&item.prediction_texts()?, &item.reference_texts()?, normalise);
    Ok(json!({"distance": page.distance, "weight": page.weight as f64}))
}

/// The edits of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageEdits {
    /// Edits over length, 0 (equal) to 1; 0 for a page without references.
    pub distance: f64,
    /// The length that the distance is over, in code points of normalised text: the page's weight
    /// in the mean over pages.
    pub weight: usize,
}

/// Pairs further apart than this count as unmatched.
const MATCH_THRESHOLD: f64 = 0.7;

/// The edits of predicted blocks against a page's reference blocks, each normalised first. A
/// reference without a partner counts in full, a prediction without one not at all.
pub fn score(
    predictions: &[&str],
    references: &[&str],
    normalise: fn(&str) -> String,
) -> PageEdits {
    let predictions: Vec<String> = predictions.iter().map(|text| normalise(text)).collect();
    let references: Vec<String> = references.iter().map(|text| normalise(text)).collect();
    let (mut edits, mut weight) = (0, 0);
    for (reference, partner) in references.iter().zip(pair(&predictions, &references)) {
        let partner = partner.and_then(|at| predictions.get(at));
        let longest = length(reference).max(partner.map_or(0, |partner| length(partner)));
        edits += partner.map_or(longest, |partner| edit_distance(partner, reference));
        weight += longest;
    }
    PageEdits { distance: edits as f64 / weight.max(1) as f64, weight }
}

/// The prediction that each reference is paired with, at the lowest total distance.
pub(super) fn pair(predictions: &[String], references: &[String]) -> Vec<Option<usize>> {
    let mut costs = Vec::with_capacity(references.len() * predictions.len());
    for reference in references {
        costs.extend(predictions.iter().map(|prediction| relative_distance(prediction, reference)));
    }
    let mut partner = vec![None; references.len()];
    for (row, column) in assign(references.len(), predictions.len(), &costs) {
        if costs[row * predictions.len() + column] <= MATCH_THRESHOLD {
            partner[row] = Some(column);
        }
    }
    partner
}

fn relative_distance(a: &str, b: &str) -> f64 {
    edit_distance(a, b) as f64 / length(a).max(length(b)).max(1) as f64
}

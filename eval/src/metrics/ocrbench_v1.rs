//! OCRBench's first version (Liu et al. 2023), as in its `example.py`: a reference has to occur in
//! the prediction.

use super::{Item, MetricInfo, ScoreError};
use crate::python::strip;
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("official", |item| of_item(item, is_hme100k(item), plain)),
    info("vlmevalkit", |item| {
        let formula = "Handwritten Mathematical Expression Recognition";
        of_item(item, item.extra["question_type"] == formula, plain)
    }),
    info("lmms_eval", |item| of_item(item, is_hme100k(item), folded)),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "ocrbench_v1",
        variant,
        summary: "1 when a reference occurs in the prediction",
        score,
    }
}

fn is_hme100k(item: &Item) -> bool {
    item.extra["dataset_name"] == "HME100k"
}

/// Of an item with `extra` as `{"dataset_name", "question_type"}`, by which the references tell
/// handwritten formulas from the rest.
fn of_item(item: &Item, is_formula: bool, rest: fn(&str) -> String) -> Result<Value, ScoreError> {
    let normalise = if is_formula { formula } else { rest };
    Ok(score(item.text()?, &item.reference_texts()?, normalise).into())
}

/// 1 when a reference occurs in the prediction, both normalised; else 0. An empty reference occurs
/// in anything.
pub fn score(prediction: &str, references: &[&str], normalise: fn(&str) -> String) -> f64 {
    let prediction = normalise(prediction);
    f64::from(references.iter().any(|reference| prediction.contains(&normalise(reference))))
}

/// The official rule: small letters, on one line.
pub fn plain(text: &str) -> String {
    strip(&text.to_lowercase()).replace('\n', " ")
}

/// The rule for handwritten formulas: no blanks and no line ends within; the case is kept.
pub fn formula(text: &str) -> String {
    strip(text).replace(['\n', ' '], "")
}

/// lmms-eval's rule: as [`plain`], with full-width forms of ASCII taken for ASCII.
pub fn folded(text: &str) -> String {
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    };
    plain(&text.chars().map(narrow).collect::<String>())
}

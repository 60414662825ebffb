//! ChartQA's relaxed accuracy (Methani et al. 2020; Masry et al. 2022): numbers may be 5 % off.

use super::{Item, MetricInfo, ScoreError};
use crate::python::{float, strip};
use serde_json::Value;

const NAME: &str = "relaxed_accuracy";
const SUMMARY: &str = "right when equal, or a number within 5 %";

pub(super) const METRICS: &[MetricInfo] = &[
    MetricInfo {
        name: NAME,
        variant: "vlmevalkit",
        summary: SUMMARY,
        score: |item| of_item(item, Variant::Vlmevalkit),
    },
    MetricInfo {
        name: NAME,
        variant: "lmms_eval",
        summary: SUMMARY,
        score: |item| of_item(item, Variant::Unstripped),
    },
    MetricInfo {
        name: NAME,
        variant: "pix2struct",
        summary: SUMMARY,
        score: |item| of_item(item, Variant::Unstripped),
    },
];

fn of_item(item: &Item, variant: Variant) -> Result<Value, ScoreError> {
    let score = score(item.text()?, &item.reference_texts()?, variant);
    score.map(Value::from).ok_or(ScoreError::Undefined("no references"))
}

/// Whose definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// lmms-eval and pix2struct: the prediction is taken as it is.
    Unstripped,
    /// VLMEvalKit: the prediction is trimmed, and a list literal among the references stands for
    /// its items.
    Vlmevalkit,
}

/// The largest relative error that counts as right, inclusive.
const TOLERANCE: f64 = 0.05;

/// 1 when the prediction agrees with any of its references, else 0. `None` without references.
pub fn score(prediction: &str, references: &[&str], variant: Variant) -> Option<f64> {
    let references: Vec<String> = match variant {
        Variant::Unstripped => references.iter().map(|&text| text.to_owned()).collect(),
        Variant::Vlmevalkit => {
            references.iter().flat_map(|reference| list_items(reference)).collect()
        }
    };
    let prediction = if variant == Variant::Vlmevalkit { strip(prediction) } else { prediction };
    references.iter().map(|reference| f64::from(agrees(prediction, reference))).reduce(f64::max)
}

fn agrees(prediction: &str, target: &str) -> bool {
    if let (Some(found), Some(wanted)) = (number(prediction), number(target))
        && wanted != 0.0
    {
        return (found - wanted).abs() / wanted.abs() <= TOLERANCE;
    }
    prediction.to_lowercase() == target.to_lowercase()
}

/// A number, or a percentage as its hundredth: only a text that ends in `%` is one.
pub(crate) fn number(text: &str) -> Option<f64> {
    match text.ends_with('%') {
        true => float(text.trim_end_matches('%')).map(|value| value / 100.0),
        false => float(text),
    }
}

/// The items of a Python list literal as Python's `str` writes them; any other text as it is.
fn list_items(text: &str) -> Vec<String> {
    let trimmed = strip(text);
    let literal = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let Some(items) = literal else { return vec![text.to_owned()] };
    let items: Option<Vec<String>> =
        items.split(',').map(|item| literal_text(strip(item))).collect();
    items.unwrap_or_else(|| vec![text.to_owned()])
}

/// A quoted text or a number of a list literal.
fn literal_text(item: &str) -> Option<String> {
    for quote in ['\'', '"'] {
        if let Some(inner) = item.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Some(inner.to_owned());
        }
    }
    float(item).map(|_| item.to_owned())
}

//! Key information extraction: dictionaries of fields, by each reference's measure.
//!
//! Predictions and references are dictionaries, as JSON or in a text. The references of OCRBench v2
//! list the values that will do for each key; the other measures know one value a key, and where a
//! key lists several texts take the first.

mod anls_star;
mod donut;
mod ocrbench_v2;

use super::{Item, MetricInfo, ScoreError};
use crate::python::{Literal, json};
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("ocrbench_v2_en", |item| {
        ocrbench_v2_score(item.text()?, &item.references[0]).map(Value::from)
    }),
    info("ocrbench_v2_parsed_dict", |item| {
        let fields = super::answer_dict::parse(item.text()?);
        Ok(Value::Object(fields.into_iter().map(|(key, value)| (key, value.into())).collect()))
    }),
    info("donut_field_f1", |item| of_dicts(item, donut_field_f1)),
    info("donut_nted_acc", |item| of_dicts(item, donut_tree_accuracy)),
    info("anls_star_dict", |item| of_dicts(item, anls_star_score)),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "kie_f1",
        variant,
        summary: "how well the fields of a dictionary agree",
        score,
    }
}

fn of_dicts(
    item: &Item,
    score: fn(&Value, &Value) -> Result<f64, ScoreError>,
) -> Result<Value, ScoreError> {
    score(&item.prediction, &item.references[0]).map(Value::from)
}

/// OCRBench v2's share, 0 to 1, of right values among the keys of both sides. The reference, or a
/// text that holds it, has for each key a value or a list of those that will do.
///
/// # Errors
/// [`ScoreError::Undefined`] where the reference scorer raises: the reference is no dictionary of
/// texts.
pub fn ocrbench_v2_score(prediction: &str, reference: &Value) -> Result<f64, ScoreError> {
    let wanted = match reference {
        Value::String(text) => ocrbench_v2::alternatives(text),
        _ => ocrbench_v2::alternatives(&reference.to_string()),
    };
    wanted
        .and_then(|wanted| ocrbench_v2::score(prediction, &wanted))
        .ok_or(ScoreError::Undefined("the reference is no dictionary of texts"))
}

/// Donut's field F1, 0 to 1: the values of both sides at equal paths, as a multiset.
///
/// The reference takes it over a whole set, adding up the counts before it divides.
///
/// # Errors
/// [`ScoreError::Undefined`] where the reference scorer raises: a side is no JSON, or both are
/// empty.
pub fn donut_field_f1(prediction: &Value, reference: &Value) -> Result<f64, ScoreError> {
    donut::field_f1(&read(prediction)?, &first_values(read(reference)?))
        .ok_or(ScoreError::Undefined("nothing to divide by"))
}

/// What [`donut_field_f1`] of a set adds up over its documents: values that both sides have at equal
/// paths, and values of both sides.
///
/// # Errors
/// [`ScoreError::Undefined`] when a side is no JSON.
pub fn donut_field_counts(
    prediction: &Value,
    reference: &Value,
) -> Result<(usize, usize), ScoreError> {
    Ok(donut::field_counts(&read(prediction)?, &first_values(read(reference)?)))
}

/// Donut's tree accuracy, 0 to 1: 1 − edit distance of the trees ÷ that of an empty tree to the
/// reference's, or 0 if that is less or there is nothing in the reference.
///
/// # Errors
/// [`ScoreError::Undefined`] when a side is no JSON.
pub fn donut_tree_accuracy(prediction: &Value, reference: &Value) -> Result<f64, ScoreError> {
    Ok(donut::tree_accuracy(&read(prediction)?, &first_values(read(reference)?)))
}

/// ANLS*, 0 to 1: the similarities of texts at equal keys, lists in the best order, over the texts
/// of the larger side.
///
/// # Errors
/// [`ScoreError::Undefined`] when a side is no JSON.
pub fn anls_star_score(prediction: &Value, reference: &Value) -> Result<f64, ScoreError> {
    Ok(anls_star::score(&read(prediction)?, &first_values(read(reference)?)))
}

/// A value, or that which a text holds as JSON.
fn read(value: &Value) -> Result<Literal, ScoreError> {
    let parsed = match value {
        Value::String(text) => json::parse(text),
        _ => json::parse(&value.to_string()),
    };
    parsed.ok_or(ScoreError::Undefined("a side is no JSON"))
}

/// A dictionary in which each key that lists texts has the first of them.
fn first_values(reference: Literal) -> Literal {
    let first = |value: Literal| match value {
        Literal::List(items) if matches!(items[..], [Literal::Text(_), ..]) => {
            items.into_iter().next().unwrap_or(Literal::Constant("None"))
        }
        _ => value,
    };
    match reference {
        Literal::Dict(entries) => {
            Literal::Dict(entries.into_iter().map(|(key, value)| (key, first(value))).collect())
        }
        _ => reference,
    }
}

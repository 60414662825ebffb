//! OCRBench v2's questions that ask for the place of the answer too (Fu et al. 2024), as in its
//! `IoUscore_metric.py`: half for the answer, half for its box.

use super::answer_dict;
use super::ocrbench_v2_grounding::{Corners, gold_box, overlap};
use super::ocrbench_v2_vqa::{self, Kind};
use super::{Item, MetricInfo};
use crate::python::{Literal, int};

/// Of an item with `extra` as `{"bbox": [left, top, right, bottom]}`.
pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "ocrbench_v2_vqa_position",
    variant: "official",
    summary: "half for the answer, half for the overlap of its box",
    score: |item: &Item| {
        let references = item.reference_texts()?;
        Ok(score(item.text()?, &references, gold_box(&item.extra["bbox"])).into())
    },
}];

/// The score, 0 to 1, of a prediction that holds a dictionary with `answer` and `bbox`.
pub fn score(prediction: &str, references: &[&str], wanted: Option<Corners>) -> f64 {
    let fields = answer_dict::parse(prediction);
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let answer =
        field("answer").map_or(0.0, |answer| ocrbench_v2_vqa::score(answer, references, Kind::Vqa));
    let found = field("bbox").and_then(|text| corners(&Literal::parse(text)?));
    let place = found.zip(wanted).map_or(0.0, |(found, wanted)| overlap(found, wanted));
    0.5 * answer + 0.5 * place
}

/// The first four numbers of anything that Python iterates, as long as all are numbers.
fn corners(value: &Literal) -> Option<Corners> {
    let number = |item: &Literal| match item {
        Literal::Int(digits) => digits.parse::<f64>().ok(),
        Literal::Float(value) => value.is_finite().then(|| value.trunc()),
        Literal::Text(text) => int(text),
        Literal::Constant("True") => Some(1.0),
        Literal::Constant("False") => Some(0.0),
        _ => None,
    };
    let numbers: Option<Vec<f64>> = match value {
        Literal::List(items) | Literal::Tuple(items) => items.iter().map(number).collect(),
        Literal::Dict(entries) => entries.iter().map(|(key, _)| number(key)).collect(),
        Literal::Text(text) => text.chars().map(|c| int(c.encode_utf8(&mut [0; 4]))).collect(),
        _ => None,
    };
    numbers?.get(..4)?.try_into().ok()
}

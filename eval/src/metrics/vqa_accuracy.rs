//! VQA accuracy (Antol et al. 2015; Goyal et al. 2017), for TextVQA, VQA v2, ST-VQA and OK-VQA: how
//! many of the people who were asked gave the answer, three being enough.

use super::vqa_normalize::{self, normalised, on_one_line};
use super::{Item, MetricInfo, ScoreError};
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("vqa_official", |item| of_item(item, vqa_normalize::Variant::Official)),
    info("lmms_eval_textvqa", |item| of_item(item, vqa_normalize::Variant::LmmsEval)),
    info("vlmevalkit_textvqa", |item| of_item(item, vqa_normalize::Variant::VlmEvalKit)),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "vqa_accuracy",
        variant,
        summary: "share of the people who answered so, three others being enough",
        score,
    }
}

fn of_item(item: &Item, variant: vqa_normalize::Variant) -> Result<Value, ScoreError> {
    score(item.text()?, &item.reference_texts()?, variant)
        .map(Value::from)
        .ok_or(ScoreError::Undefined("no references"))
}

/// The accuracy, 0 to 1: for each reference, a third for every *other* reference that equals the
/// prediction, at most 1; the mean of that. `None` without references.
///
/// The official script normalises neither side where all references are the same text.
pub fn score(
    prediction: &str,
    references: &[&str],
    variant: vqa_normalize::Variant,
) -> Option<f64> {
    let as_is = variant == vqa_normalize::Variant::Official && all_equal(references);
    let normalise =
        |answer: &str| if as_is { on_one_line(answer) } else { normalised(answer, variant) };
    let prediction = normalise(prediction);
    let equal: Vec<bool> =
        references.iter().map(|reference| normalise(reference) == prediction).collect();
    let all = equal.iter().filter(|&&equal| equal).count();
    let accuracy = |&equal: &bool| (all - usize::from(equal)).min(3) as f64 / 3.0;
    let sum: f64 = equal.iter().map(accuracy).sum();
    (!equal.is_empty()).then(|| sum / equal.len() as f64)
}

fn all_equal(references: &[&str]) -> bool {
    let mut lines = references.iter().map(|reference| on_one_line(reference));
    let first = lines.next();
    lines.all(|line| Some(line) == first)
}

//! OCRBench v2's questions with short answers (Fu et al. 2024), as in its `vqa_metric.py`: a short
//! reference has to occur in the prediction, a long one to be near it.

use super::{Item, MetricInfo, ScoreError};
use crate::python::{is_space, length, strip};
use crate::text::edit_distance;
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("official.vqa", |item| of_list(item, Kind::Vqa)),
    info("official.cn_vqa", |item| of_list(item, Kind::Chinese)),
    info("official.case_sensitive", |item| of_list(item, Kind::CaseSensitive)),
    info("official.vqa_str", |item| of_text(item, Kind::Vqa, LongBranch::Long)),
    info("official.cn_vqa_str", |item| of_text(item, Kind::Chinese, LongBranch::ShortMiss)),
    info("official.case_sensitive_str", |item| {
        of_text(item, Kind::CaseSensitive, LongBranch::ShortMiss)
    }),
    info("vlmevalkit.vqa", |item| of_list(item, Kind::Vqa)),
    info("vlmevalkit.cn_vqa", |item| of_list(item, Kind::Chinese)),
    info("vlmevalkit.case_sensitive", |item| of_list(item, Kind::CaseSensitive)),
    info("vlmevalkit.vqa_str", |item| of_text(item, Kind::Vqa, LongBranch::ShortMiss)),
    info("vlmevalkit.case_sensitive_str", |item| {
        of_text(item, Kind::CaseSensitive, LongBranch::ShortMiss)
    }),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "ocrbench_v2_vqa",
        variant,
        summary: "a short reference occurs in the prediction, a long one is near it",
        score,
    }
}

fn of_list(item: &Item, kind: Kind) -> Result<Value, ScoreError> {
    Ok(score(item.text()?, &item.reference_texts()?, kind).into())
}

/// Of the first reference, as the references score a plain text instead of a list.
fn of_text(item: &Item, kind: Kind, long: LongBranch) -> Result<Value, ScoreError> {
    let references = item.reference_texts()?;
    let reference = references.first().ok_or(ScoreError::Undefined("no references"))?;
    Ok(one_score(item.text()?, reference, kind, long).into())
}

/// Which of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In any case; a reference is short below five words.
    Vqa,
    /// In any case and without blanks; a reference is short below four parts between commas.
    Chinese,
    /// As [`Kind::Vqa`], but case counts.
    CaseSensitive,
}

/// When a reference that does not occur is compared by edit distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LongBranch {
    /// When it is long.
    Long,
    /// When it is short: the references' branch for plain texts is indented one step too far, so
    /// that a long text never scores.
    ShortMiss,
}

/// The best score, 0 to 1, over the references: 1 when a short one occurs in the prediction; for a
/// long one, 1 − Levenshtein ÷ longer text, or 0 below one half.
pub fn score(prediction: &str, references: &[&str], kind: Kind) -> f64 {
    let scores =
        references.iter().map(|reference| one_score(prediction, reference, kind, LongBranch::Long));
    scores.fold(0.0, f64::max)
}

fn one_score(prediction: &str, reference: &str, kind: Kind, long: LongBranch) -> f64 {
    let (prediction, reference) = (normalised(prediction, kind), normalised(reference, kind));
    let short = match kind {
        Kind::Chinese => reference.split(',').count() < 4,
        _ => reference.split(is_space).filter(|word| !word.is_empty()).count() < 5,
    };
    match (short, long) {
        (true, _) if prediction.contains(&reference) => 1.0,
        (true, LongBranch::Long) | (false, LongBranch::ShortMiss) => 0.0,
        (false, LongBranch::Long) | (true, LongBranch::ShortMiss) => {
            similarity(&prediction, &reference)
        }
    }
}

fn normalised(text: &str, kind: Kind) -> String {
    match kind {
        Kind::Vqa => strip(&text.to_lowercase()).replace('\n', " "),
        Kind::Chinese => strip(&text.to_lowercase()).replace(['\n', ' '], ""),
        Kind::CaseSensitive => strip(text).replace('\n', " "),
    }
}

fn similarity(a: &str, b: &str) -> f64 {
    let longer = length(a).max(length(b)).max(1) as f64;
    let similarity = 1.0 - edit_distance(a, b) as f64 / longer;
    if similarity >= 0.5 { similarity } else { 0.0 }
}

//! OCRBench v2's recognition of formulas (Fu et al. 2024), as in its `vqa_metric.py`: the formula
//! has to occur in the prediction, blanks aside.

use super::{Item, MetricInfo, ScoreError};
use crate::python::strip;
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("official.math", of_english),
    info("official.cn_math", of_chinese),
    info("vlmevalkit.math", of_english),
    info("vlmevalkit.cn_math", of_chinese),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "ocrbench_v2_math",
        variant,
        summary: "1 when the formula occurs in the prediction, blanks aside",
        score,
    }
}

fn of_english(item: &Item) -> Result<Value, ScoreError> {
    Ok(score(item.text()?, &item.reference_texts()?).into())
}

fn of_chinese(item: &Item) -> Result<Value, ScoreError> {
    match item.reference_texts()?[..] {
        [reference] => {
            let prediction = without_text_marks(item.text()?);
            Ok(score(&prediction, &[&without_text_marks(reference)]).into())
        }
        _ => Err(ScoreError::Undefined("more or less than one reference")),
    }
}

/// 1 when a reference occurs in the prediction, both without blanks and line ends; else 0. Case
/// counts.
pub fn score(prediction: &str, references: &[&str]) -> f64 {
    let plain = |text: &str| strip(text).replace(['\n', ' '], "");
    let prediction = plain(prediction);
    f64::from(references.iter().any(|reference| prediction.contains(&plain(reference))))
}

/// What stands in each `\text{…}` instead of it, unless there are braces within; the Chinese tasks
/// compare so.
pub fn without_text_marks(formula: &str) -> String {
    const MARK: &str = "\\text{";
    let mut plain = String::with_capacity(formula.len());
    let mut rest = formula;
    while let Some(start) = rest.find(MARK) {
        let (before, marked) = rest.split_at(start);
        let within = &marked[MARK.len()..];
        plain += before;
        rest = match within.find(['{', '}']) {
            Some(end) if within[end..].starts_with('}') => {
                plain += &within[..end];
                &within[end + 1..]
            }
            _ => {
                plain += MARK;
                within
            }
        };
    }
    plain + rest
}

//! GSM8K (Cobbe et al. 2021) as lm-eval-harness scores it: the number that a solution ends in.

use super::{Item, MetricInfo, ScoreError};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

pub(super) const METRICS: &[MetricInfo] = &[
    info("lm_eval_flexible", |item| of_item(item, flexible(item.text()?))),
    info("lm_eval_strict", |item| of_item(item, strict(item.text()?))),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    let summary = "the last number, or that behind `####`, equals the solution's";
    MetricInfo { name: "gsm8k", variant, summary, score }
}

/// What stands for an answer where there is none, as in lm-eval-harness.
const INVALID: &str = "[invalid]";

fn of_item(item: &Item, found: Option<&str>) -> Result<Value, ScoreError> {
    let found = normalised(found.unwrap_or(INVALID));
    let references = item.reference_texts()?;
    let right = references.iter().any(|reference| normalised(reference) == found);
    Ok(f64::from(right).into())
}

/// The last number in a text, a currency sign and commas included.
pub fn flexible(response: &str) -> Option<&str> {
    static NUMBER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"-?[$0-9.,]{2,}|-?[0-9]+").ok());
    NUMBER.as_ref()?.find_iter(response).last().map(|found| found.as_str())
}

/// The first number behind `#### `.
pub fn strict(response: &str) -> Option<&str> {
    static NUMBER: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"#### (-?[0-9.,]+)").ok());
    Some(NUMBER.as_ref()?.captures(response)?.get(1)?.as_str())
}

/// Small letters, nothing up to the last `#### `, no commas, dollar signs or dot at the end.
fn normalised(text: &str) -> String {
    let text = text.rsplit_once("#### ").map_or(text, |(_, answer)| answer);
    let text = text.replace([',', '$'], "");
    text.strip_suffix('.').unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_found_as_lm_eval_finds_them() {
        let score = |variant: usize, text: &str| {
            let references = json!(["1234"]);
            let item =
                Item { id: Value::Null, prediction: text.into(), references, extra: json!({}) };
            (METRICS[variant].score)(&item).unwrap()
        };
        assert_eq!(score(0, "4 + 5 = 9, so she pays $1,234."), 1.0);
        assert_eq!(score(0, "1234 or 7"), 0.0);
        assert_eq!(score(0, "no idea"), 0.0);
        assert_eq!(score(1, "so\n#### 1,234"), 1.0);
        assert_eq!(score(1, "so 1234"), 0.0);
    }
}

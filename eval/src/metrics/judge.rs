//! The verdict of a model that judges, such as CharXiv (Wang et al. 2024) asks for: a JSON object
//! with `score` 0 or 1, of which anything else counts 0.

use super::MetricInfo;
use serde_json::{Value, json};

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "judge",
    variant: "verdict",
    summary: "what a judge's JSON object says under `score`, 0 or 1",
    score: |item| {
        Ok(match verdict(item.text()?) {
            Some((right, extracted)) => {
                json!({ "score": f64::from(u8::from(right)), "extracted": extracted })
            }
            None => json!({ "score": 0.0, "unparsed": true }),
        })
    },
}];

/// Whether a reply's last object with a verdict says right, and the answer that it took out.
pub fn verdict(reply: &str) -> Option<(bool, String)> {
    let starts = reply.char_indices().rev().filter(|(_, c)| *c == '{');
    starts.map(|(at, _)| &reply[at..]).find_map(|text| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let object = values.next()?.ok()?;
        let right = match &object["score"] {
            Value::Bool(right) => *right,
            Value::Number(score) => binary(score.as_f64()?)?,
            Value::String(score) => binary(score.trim().parse().ok()?)?,
            _ => return None,
        };
        let extracted = object["extracted_answer"].as_str().unwrap_or_default();
        Some((right, extracted.to_owned()))
    })
}

fn binary(score: f64) -> Option<bool> {
    match score {
        0.0 => Some(false),
        1.0 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_found_and_nothing_else_is_one() {
        let score = |reply: &str| verdict(reply).map(|(right, _)| right);
        assert_eq!(score(r#"{"extracted_answer": "12", "score": 1}"#), Some(true));
        assert_eq!(score("```json\n{\"score\": \"0\"}\n```"), Some(false));
        assert_eq!(
            score(r#"First {"score": 1}, no: {"score": 0.0, "why": {"a": 2}}."#),
            Some(false)
        );
        assert_eq!(score(r#"{"score": 0.5}"#), None);
        assert_eq!(score(r#"{"score": null} 1"#), None);
        assert_eq!(score("right"), None);
        assert_eq!(score("{"), None);
        let found = verdict(r#"{"score": true, "extracted_answer": "n} {"}"#);
        assert_eq!(found, Some((true, "n} {".to_owned())));
    }
}

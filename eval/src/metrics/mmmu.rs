//! MMMU (Yue et al. 2024): questions with options and open ones, each by its harness's rule.

use super::{Item, MetricInfo, ScoreError, find};
use serde_json::{Value, json};

/// Of an item with `extra` as `{"options": [text, …]}`; without options, or with
/// `"question_type": "open"`, the question is an open one. The first reference is the right letter.
pub(super) const METRICS: &[MetricInfo] = &[
    info("official", |item| of_item(item, "mmmu_official", "official")),
    info("lmms_eval", |item| of_item(item, "lmms_eval_mmmu", "lmms_eval_0_7_3")),
    info("vlmevalkit", of_vlmevalkit),
    info("official_random", |item| drawn(item, "mmmu_official", "official")),
    info("lmms_eval_random", |item| drawn(item, "lmms_eval_mmmu", "lmms_eval_0_7_3")),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "mmmu",
        variant,
        summary: "right choice, or right open answer; says where no choice was found",
        score,
    }
}

fn is_open(item: &Item) -> bool {
    let options = item.extra["options"].as_array().is_some_and(|options| !options.is_empty());
    item.extra["question_type"] == "open" || !options
}

fn of_item(item: &Item, choice: &str, open: &str) -> Result<Value, ScoreError> {
    let metric = match is_open(item) {
        true => find(&format!("mmmu_open:{open}")),
        false => find(&format!("mcq_extract:{choice}")),
    };
    let found = metric.map_or(Ok(Value::Null), |metric| (metric.score)(item))?;
    Ok(match is_open(item) {
        true => json!({ "score": found }),
        false => chosen(item, &found),
    })
}

/// As [`of_item`], but where the harness draws an option at random, the score that it can expect:
/// one of so many options is right.
fn drawn(item: &Item, choice: &str, open: &str) -> Result<Value, ScoreError> {
    let mut found = of_item(item, choice, open)?;
    let options = item.extra["options"].as_array().map_or(0, Vec::len);
    if found["unparsed"] == true && options > 0 {
        found["score"] = (1.0 / options as f64).into();
    }
    Ok(found)
}

/// VLMEvalKit puts an open question as one between its answer and `Other Answers`.
fn of_vlmevalkit(item: &Item) -> Result<Value, ScoreError> {
    let mut item = item.clone();
    if is_open(&item) {
        let right = item.reference_texts()?.first().copied().unwrap_or_default().to_owned();
        item.extra = json!({ "options": [right, "Other Answers"] });
        item.references = json!(["A"]);
    }
    let metric = find("mcq_extract:vlmevalkit_can_infer");
    let found = metric.map_or(Ok(Value::Null), |metric| (metric.score)(&item))?;
    Ok(chosen(&item, &found))
}

fn chosen(item: &Item, found: &Value) -> Value {
    let wanted = item.references.get(0).and_then(Value::as_str).map(str::trim);
    match found.as_str().filter(|letter| *letter != "Z" && *letter != "__RANDOM__") {
        Some(letter) => json!({ "score": f64::from(Some(letter) == wanted), "choice": letter }),
        None => json!({ "score": 0.0, "unparsed": true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(variant: &str, prediction: &str, references: Value, options: Value) -> Value {
        let extra = json!({ "options": options });
        let item = Item { id: Value::Null, prediction: prediction.into(), references, extra };
        let metric = find(&format!("mmmu:{variant}")).unwrap();
        (metric.score)(&item).unwrap()
    }

    #[test]
    fn choices_and_open_answers_go_different_ways() {
        let options = json!(["cat", "dog"]);
        let right = score("official", "The answer is (B).", json!(["B"]), options.clone());
        assert_eq!(right, json!({ "score": 1.0, "choice": "B" }));
        let unclear = score("official", "hmm", json!(["B"]), options);
        assert_eq!(unclear, json!({ "score": 0.0, "unparsed": true }));
        let options = json!(["cat", "dog", "cow", "owl"]);
        for variant in ["official_random", "lmms_eval_random"] {
            let drawn = score(variant, "hmm", json!(["B"]), options.clone());
            assert_eq!(drawn, json!({ "score": 0.25, "unparsed": true }));
            let right = score(variant, "The answer is (B).", json!(["B"]), options.clone());
            assert_eq!(right, json!({ "score": 1.0, "choice": "B" }));
        }
        let open = score("official", "So the answer is 3.5", json!(["3.5", "7/2"]), json!([]));
        assert_eq!(open["score"], 1.0);
        let pseudo = score("vlmevalkit", "It is 24/7", json!(["24/7"]), json!([]));
        assert_eq!(pseudo["choice"], "A");
    }
}

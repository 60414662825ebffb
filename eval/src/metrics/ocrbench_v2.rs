//! OCRBench v2 (Fu et al. 2024): the metric of each kind of question, as in its `eval.py`.

use super::ocrbench_v2_vqa::Kind;
use super::teds::{self, Compared};
use super::{Item, MetricInfo, ScoreError};
use super::{find, md_table_to_html, ocrbench_v2_page_ocr, ocrbench_v2_vqa, table_normalize};
use serde_json::Value;

/// Of an item with `extra` as `{"type", "eval"?, "question"?, "bbox"?, "bbox_list"?, "content"?}`,
/// the fields of the published rows. References are the row's `answers`, or a text that holds them
/// as JSON.
pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "ocrbench_v2",
    variant: "official",
    summary: "the metric that belongs to the question's type; null for spotting without boxes",
    score: of_item,
}];

/// The types whose answers are short texts, in any language but Chinese.
const SHORT_ANSWERS: [&str; 9] = [
    "APP agent en",
    "ASCII art classification en",
    "math QA en",
    "reasoning VQA en",
    "science QA en",
    "text recognition en",
    "document classification en",
    "cognition VQA en",
    "diagram QA en",
];

fn of_item(item: &Item) -> Result<Value, ScoreError> {
    let text = |name: &str| item.extra[name].as_str().unwrap_or_default();
    let (kind, rule, question) = (text("type"), text("eval"), text("question"));
    let answers = answers(&item.references);
    let prediction = item.text()?;
    let by = |metric: &str, references: Value| {
        let item = Item { references, ..item.clone() };
        find(metric).map_or(Ok(Value::Null), |metric| (metric.score)(&item))
    };
    match kind {
        _ if SHORT_ANSWERS.contains(&kind) => by_rule(prediction, &answers, rule, "vqa", by),
        "cognition VQA cn" | "reasoning VQA cn" => {
            by_rule(prediction, &answers, rule, "cn_vqa", by)
        }
        "text counting en" if rule == "regression" => {
            by("ocrbench_v2_counting:official.regression", texts(&answers))
        }
        "text counting en" => by("ocrbench_v2_counting:official.exact_match", texts(&answers)),
        "formula recognition en" => by("ocrbench_v2_math:official.math", texts(&answers)),
        "formula recognition cn" => by("ocrbench_v2_math:official.cn_math", texts(&answers)),
        "key information extraction en"
        | "key information mapping en"
        | "key information extraction cn" => {
            by("kie_f1:ocrbench_v2_en", vec![first(&answers).clone()].into())
        }
        "document parsing en" | "document parsing cn" => {
            by("ocrbench_v2_doc:official.steds", texts(&answers))
        }
        "chart parsing en" => by("ocrbench_v2_chart:official", texts(&answers)),
        "table parsing en" if question.to_lowercase().contains("markdown") => {
            let html = md_table_to_html::ocrbench_v2;
            let reference = first_text(&answers);
            Ok(teds_or_zero(&html(prediction), &html(&reference)))
        }
        "table parsing en" | "table parsing cn" => {
            Ok(html_table(prediction, &first_text(&answers)))
        }
        "text grounding en" => by("ocrbench_v2_grounding:official", vec![answers.clone()].into()),
        "VQA with position en" => by("ocrbench_v2_vqa_position:official", texts(&answers)),
        "full-page OCR en"
        | "full-page OCR cn"
        | "fine-grained text recognition en"
        | "text translation cn" => Ok(page_text(prediction, &first_text(&answers))),
        "handwritten answer extraction cn" if question.contains("简答") => {
            Ok(page_text(prediction, &first_text(&answers)))
        }
        "handwritten answer extraction cn" => {
            Ok(f64::from(holds_letters(prediction, &first_text(&answers))).into())
        }
        "text spotting en" if item.extra["content"].is_null() => Ok(Value::Null),
        "text spotting en" => by("ocrbench_v2_spotting:official", texts(&answers)),
        _ => Err(ScoreError::WrongForm {
            field: "extra.type",
            expected: "one of OCRBench v2's types of question",
        }),
    }
}

/// The answers themselves, where they came as JSON in a text.
fn answers(references: &Value) -> Value {
    if let Some([Value::String(text)]) = references.as_array().map(Vec::as_slice)
        && let Ok(parsed @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(text)
    {
        return parsed;
    }
    references.clone()
}

/// A short answer: the letter of a choice, a text in its case, or else as `plain` says.
fn by_rule(
    prediction: &str,
    answers: &Value,
    rule: &str,
    plain: &str,
    by: impl Fn(&str, Value) -> Result<Value, ScoreError>,
) -> Result<Value, ScoreError> {
    // A plain text instead of a list goes another way in the reference.
    let form = if answers.is_string() { "_str" } else { "" };
    match rule {
        "multiple choice" => {
            let letters: String = prediction.chars().filter(|c| c.is_alphabetic()).collect();
            Ok(f64::from(letters == first_text(answers)).into())
        }
        "case sensitive" if form.is_empty() => {
            let list = answer_texts(answers);
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            Ok(ocrbench_v2_vqa::score(prediction, &list, Kind::CaseSensitive).into())
        }
        "case sensitive" => by("ocrbench_v2_vqa:official.case_sensitive_str", texts(answers)),
        _ => by(&format!("ocrbench_v2_vqa:official.{plain}{form}"), texts(answers)),
    }
}

fn first(answers: &Value) -> &Value {
    answers.get(0).unwrap_or(answers)
}

fn first_text(answers: &Value) -> String {
    text_of(first(answers))
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn answer_texts(answers: &Value) -> Vec<String> {
    match answers {
        Value::Array(items) => items.iter().map(text_of).collect(),
        other => vec![text_of(other)],
    }
}

fn texts(answers: &Value) -> Value {
    answer_texts(answers).into()
}

fn teds_or_zero(prediction: &str, reference: &str) -> Value {
    teds::score(prediction, reference, Compared::Content).unwrap_or(0.0).into()
}

/// What begins with the first `<body` or `<table`, against the reference.
fn html_table(prediction: &str, reference: &str) -> Value {
    let prediction = prediction.replace('\n', "");
    let start = prediction.find("<body").or_else(|| prediction.find("<table"));
    match start.and_then(|start| prediction.get(start..)) {
        Some(table) => teds_or_zero(
            &table_normalize::ocrbench_v2(table),
            &table_normalize::ocrbench_v2(reference),
        ),
        None => 0.0.into(),
    }
}

fn page_text(prediction: &str, reference: &str) -> Value {
    if prediction.is_empty() {
        return 0.0.into();
    }
    ocrbench_v2_page_ocr::score(prediction, reference).map_or(0.0, |page| page.task_score).into()
}

/// Whether several choices occur in the prediction, with any of the signs that stand between them.
fn holds_letters(prediction: &str, answer: &str) -> bool {
    let letters: Vec<String> = answer.chars().map(String::from).collect();
    let signs = ["", ".", ". ", ",", ", ", "、", ";", "; ", " ", "和"];
    signs.iter().any(|sign| prediction.contains(&letters.join(sign)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn score(kind: &str, extra: Value, prediction: &str, answers: Value) -> Value {
        let mut extra = extra;
        extra["type"] = kind.into();
        // As the task hands them over: as JSON in a text.
        let references = json!([answers.to_string()]);
        let item = Item { id: Value::Null, prediction: prediction.into(), references, extra };
        of_item(&item).unwrap()
    }

    #[test]
    fn each_type_goes_to_its_metric() {
        let none = || json!({});
        assert_eq!(score("text recognition en", none(), "It says STOP.", json!(["stop"])), 1.0);
        assert_eq!(
            score("diagram QA en", json!({"eval": "multiple choice"}), "B.", json!(["B"])),
            1.0
        );
        assert_eq!(
            score(
                "text recognition en",
                json!({"eval": "case sensitive"}),
                "stop",
                json!(["STOP"])
            ),
            0.0
        );
        assert_eq!(
            score("text counting en", json!({"eval": "regression"}), "9 words", json!([12])),
            0.75
        );
        assert_eq!(score("formula recognition en", none(), "x ^2", json!(["x^2"])), 1.0);
        assert_eq!(score("text grounding en", none(), "(0,0,10,10)", json!([0, 0, 10, 20])), 0.5);
        assert_eq!(
            score(
                "VQA with position en",
                json!({"bbox": [0, 0, 10, 10]}),
                r#"{"answer": "cat", "bbox": "[0, 0, 10, 10]"}"#,
                json!(["cat"])
            ),
            1.0
        );
        assert_eq!(
            score(
                "key information extraction en",
                none(),
                r#"{"total": "5"}"#,
                json!([{"total": ["5", "5.00"]}])
            ),
            1.0
        );
        assert_eq!(
            score("handwritten answer extraction cn", none(), "选A、B。", json!(["AB"])),
            1.0
        );
        assert_eq!(score("text spotting en", none(), "", json!([])), Value::Null);
    }

    #[test]
    fn tables_are_read_in_the_form_that_was_asked_for() {
        let html = "<table><tr><td>a</td></tr></table>";
        let asked = |form: &str| json!({"question": format!("Write the table as {form}.")});
        let kind = "table parsing en";
        let spoken = format!("Here:\n{html}");
        assert_eq!(score(kind, asked("HTML"), &spoken, json!([html])), 1.0);
        assert_eq!(score(kind, asked("HTML"), "none", json!([html])), 0.0);
        let markdown = "| a | b |\n|---|---|\n| 1 | 2 |";
        assert_eq!(score(kind, asked("Markdown"), markdown, json!([markdown])), 1.0);
    }
}

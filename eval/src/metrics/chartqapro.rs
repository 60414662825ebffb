//! ChartQAPro's accuracy (Masry et al. 2025), as in its `evaluate_predictions.py`: years exactly,
//! other numbers within 5 %, texts by ANLS, and lists item by item.

use super::{Item, MetricInfo, ScoreError, anls};
use crate::python::{Literal, float, is_word, strip};
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("official", |item| of_item(item, Variant::Official)),
    info("vlmevalkit", |item| of_item(item, Variant::Official)),
    info("lmms_eval", |item| of_item(item, Variant::LmmsEval)),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "chartqapro",
        variant,
        summary: "years exactly, numbers within 5 %, texts by edit similarity, lists item by item",
        score,
    }
}

/// Of an item with `extra` as `{"question_type": …, "year": ["YES" or "NO", …]}`.
fn of_item(item: &Item, variant: Variant) -> Result<Value, ScoreError> {
    let question_type = item.extra["question_type"].as_str().unwrap_or_default();
    let flags = match &item.extra["year"] {
        Value::Array(flags) => flags.iter().map(|flag| flag.as_str().unwrap_or_default()).collect(),
        Value::String(flag) => vec![flag.as_str()],
        _ => Vec::new(),
    };
    score(item.text()?, &item.reference_texts()?, question_type, &flags, variant)
        .map(Value::from)
        .ok_or(ScoreError::Undefined("no references, or no flag that says whether it is a year"))
}

/// Whose definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The official script, and VLMEvalKit: true or false and multiple choice get the lenient rule
    /// too, as the switch for them is computed but not passed on.
    Official,
    /// lmms-eval: those question types need equal texts; white space is trimmed before dots; a
    /// missing year flag is a no.
    LmmsEval,
}

/// The largest relative error that counts as right, inclusive.
const TOLERANCE: f64 = 0.05;

/// The score, 0 to 1, of a prediction against the last of the references. `year_flags` say of each
/// answer whether it is a year (`YES` in any case). `None` where the reference scorer raises:
/// without references, or in [`Variant::Official`] with an answer that has no flag.
pub fn score(
    prediction: &str,
    references: &[&str],
    question_type: &str,
    year_flags: &[&str],
    variant: Variant,
) -> Option<f64> {
    let (prediction, target) = (trimmed(prediction, variant), trimmed(references.last()?, variant));
    let exact =
        variant == Variant::LmmsEval && matches!(question_type, "Fact Checking" | "Multi Choice");
    let flags = match question_type {
        "Conversational" => &year_flags[year_flags.len().saturating_sub(1)..],
        _ => year_flags,
    };
    let (wanted, found) = (target_items(target), items(prediction));
    let mut sum = 0.0;
    for (at, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
        // Flags are repeated when there are fewer than answers.
        let flag = match flags.get(at % flags.len().max(1)) {
            Some(flag) => flag,
            None if variant == Variant::LmmsEval => "NO",
            None => return None,
        };
        sum += item_score(wanted, found, exact || flag.to_uppercase() == "YES");
    }
    Some(sum / wanted.len().max(found.len()) as f64)
}

fn trimmed(text: &str, variant: Variant) -> &str {
    let text = if variant == Variant::LmmsEval { strip(text) } else { text };
    text.trim_matches('.').trim_matches('\n')
}

/// The answers of a text: the items of a list literal that has some, else the text itself.
fn items(text: &str) -> Vec<String> {
    match Literal::parse(text) {
        Some(Literal::List(items)) if !items.is_empty() => {
            items.iter().map(|item| item.to_text().trim_matches([' ', '\'']).to_owned()).collect()
        }
        _ => vec![text.to_owned()],
    }
}

/// The answers of a target: in a list, words need no quotes.
fn target_items(target: &str) -> Vec<String> {
    let inner = strip(target).strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let quoted = inner.filter(|inner| !inner.contains('\n')).map(quote_words);
    let Some(list) = quoted.and_then(|quoted| Literal::parse(&format!("[{quoted}]"))) else {
        return items(target);
    };
    // The script writes the list out and reads it again: where Python cannot, as with an infinity,
    // the target stays as it is.
    let written = list.repr();
    match Literal::parse(&written) {
        Some(again) if again != Literal::List(Vec::new()) => items(&written),
        _ => vec![target.to_owned()],
    }
}

/// Puts words into quotes that have none: the script's
/// `re.sub(r"(?<!['\w])(\w[^,]*?)(?!['\w])", r"'\1'", text)`.
fn quote_words(text: &str) -> String {
    let in_word = |c: char| c == '\'' || is_word(c);
    let mut quoted = String::with_capacity(text.len() + 8);
    let mut rest = text;
    let mut after = None;
    while let Some(first) = rest.chars().next() {
        let starts = is_word(first) && !after.is_some_and(in_word);
        let end = match starts {
            // A comma is no part of a word, so that it ends one at the latest.
            true => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        let (token, remaining) = rest.split_at(end);
        let quote = if starts { "'" } else { "" };
        quoted.extend([quote, token, quote]);
        after = token.chars().next_back();
        rest = remaining;
    }
    quoted
}

fn item_score(wanted: &str, found: &str, exact: bool) -> f64 {
    if exact {
        return f64::from(strip(wanted).to_lowercase() == strip(found).to_lowercase());
    }
    let without_percent = |text| strip(strip(text).trim_matches('%'));
    let (wanted, found) = (without_percent(wanted), without_percent(found));
    match (number(wanted), number(found)) {
        (Some(0.0), Some(found)) => f64::from(found == 0.0),
        (Some(wanted), Some(found)) => {
            f64::from((found - wanted).abs() / wanted.abs() <= TOLERANCE)
        }
        _ => {
            let (wanted, found) = (wanted.to_lowercase(), found.to_lowercase());
            anls::score(&found, &[&wanted], anls::Variant::Package).unwrap_or(0.0)
        }
    }
}

fn number(text: &str) -> Option<f64> {
    float(strip(text).trim_matches('%'))
}

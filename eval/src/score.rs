//! Predictions in JSON lines to scores.

use crate::EvalError;
use crate::metrics::{self, Item, MetricInfo, ScoreError};
use crate::statistics::bootstrap_interval;
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::BufRead;

/// The score of one prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ItemScore {
    /// The line's id.
    pub id: Value,
    /// Its score: a number, or the text or list that the metric extracts; null where the reference
    /// scorer raises.
    pub score: Value,
}

/// The scores of a predictions file.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreReport {
    /// The metric's name.
    pub metric: &'static str,
    /// Whose definition.
    pub variant: &'static str,
    /// Predictions scored.
    pub count: usize,
    /// The mean score, a null counting as 0; `None` when scores are no numbers.
    pub mean: Option<f64>,
    /// 95 % bootstrap interval of the mean.
    pub interval: Option<(f64, f64)>,
    /// The score of each prediction, in the file's order.
    #[serde(skip)]
    pub items: Vec<ItemScore>,
}

/// Scores lines of `{"id", "prediction", "references": […], "extra"?}` with `metric`, a name such
/// as `anls:lmms_eval`; without a variant, the metric's default.
///
/// # Errors
/// When the metric is unknown, or a line is not of that form.
pub fn score_predictions(metric: &str, input: impl BufRead) -> Result<ScoreReport, EvalError> {
    let metric = metrics::find(metric).ok_or_else(|| unknown(metric))?;
    let mut lines = filled_lines(input);
    let mut items = Vec::new();
    loop {
        let some: Vec<_> = lines.by_ref().take(LINES_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let scored: Vec<_> = some.into_par_iter().map(|line| scored(metric, line?)).collect();
        // The first line that fails is the one to tell of.
        items.extend(scored.into_iter().collect::<Result<Vec<_>, _>>()?);
    }
    if items.is_empty() {
        return Err(EvalError::Empty);
    }
    let number = |item: &ItemScore| match &item.score {
        Value::Null => Some(0.0),
        // Some metrics say more than the score.
        Value::Object(found) => found.get("score")?.as_f64(),
        score => score.as_f64(),
    };
    let numbers: Option<Vec<f64>> = items.iter().map(number).collect();
    Ok(ScoreReport {
        metric: metric.name,
        variant: metric.variant,
        count: items.len(),
        mean: numbers.as_ref().map(|numbers| numbers.iter().sum::<f64>() / numbers.len() as f64),
        interval: numbers.as_deref().and_then(|numbers| {
            bootstrap_interval(numbers, 0.95).map(|interval| (interval.low, interval.high))
        }),
        items,
    })
}

/// Lines that are scored side by side; no more than these are in memory besides their scores.
const LINES_AT_ONCE: usize = 8192;

fn scored(metric: &MetricInfo, (line, text): (usize, String)) -> Result<ItemScore, EvalError> {
    let item: Item = parsed(line, &text, r#"{"id", "prediction", "references": […]}"#)?;
    match (metric.score)(&item) {
        Ok(score) => Ok(ItemScore { id: item.id, score }),
        Err(ScoreError::Undefined(_)) => Ok(ItemScore { id: item.id, score: Value::Null }),
        Err(source) => Err(EvalError::NoScore { line, source }),
    }
}

/// One line of a goldens file: an item with the score that the reference gave it.
#[derive(Deserialize)]
struct Golden {
    metric: String,
    variant: String,
    #[serde(flatten)]
    item: Item,
    score: Value,
    /// The exception that the reference raised, if it did.
    #[serde(default)]
    error: Option<String>,
}

/// A line whose score is not the reference's.
#[derive(Clone, Debug, Serialize)]
pub struct GoldenMismatch {
    /// The line, from 1.
    pub line: usize,
    /// Its id.
    pub id: Value,
    /// The metric and variant, as in `anls:lmms_eval`.
    pub metric: String,
    /// What we gave; a text where we gave no score.
    pub found: Value,
    /// What the reference gave.
    pub expected: Value,
}

/// How our scores compare with the references'.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GoldenReport {
    /// Lines compared.
    pub count: usize,
    /// Those that differ, in the file's order.
    pub mismatches: Vec<GoldenMismatch>,
}

/// Scores each line with its own metric and variant, and compares with the score beside it. A line
/// whose metric is not known counts as a mismatch.
///
/// # Errors
/// When a line is no golden.
pub fn score_goldens(input: impl BufRead) -> Result<GoldenReport, EvalError> {
    let mut report = GoldenReport::default();
    let form = r#"{"id", "metric", "variant", "prediction", "references", "score"}"#;
    for line in filled_lines(input) {
        let (line, text) = line?;
        let golden: Golden = parsed(line, &text, form)?;
        report.count += 1;
        let metric = format!("{}:{}", golden.metric, golden.variant);
        let found = golden_score(metrics::find(&metric), &golden.item);
        let equal = match &found {
            Ok(found) => same_score(found, &golden.score, tolerance(&golden.variant)),
            Err(_) => false,
        };
        // Where the reference raises, any score of ours, or none, will do.
        if !equal && golden.error.is_none() {
            let found = found.unwrap_or_else(Value::String);
            report.mismatches.push(GoldenMismatch {
                line,
                id: golden.item.id,
                metric,
                found,
                expected: golden.score,
            });
        }
    }
    match report.count {
        0 => Err(EvalError::Empty),
        _ => Ok(report),
    }
}

fn golden_score(metric: Option<&MetricInfo>, item: &Item) -> Result<Value, String> {
    let metric = metric.ok_or("no such metric or variant")?;
    match (metric.score)(item) {
        // As the peers write it where there is nothing to score.
        Err(ScoreError::Undefined(_)) => Ok(Value::Null),
        score => score.map_err(|error| error.to_string()),
    }
}

/// How far numbers may be apart: torchmetrics counts in f32.
fn tolerance(variant: &str) -> f64 {
    if variant.starts_with("torchmetrics") { 1e-6 } else { 1e-9 }
}

/// Numbers within the tolerance; texts, lists and objects equal, the numbers in them likewise.
fn same_score(found: &Value, expected: &Value, tolerance: f64) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            match (found.as_f64(), expected.as_f64()) {
                (Some(found), Some(expected)) => (found - expected).abs() <= tolerance,
                _ => false,
            }
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len()
                && found
                    .iter()
                    .zip(expected)
                    .all(|(found, expected)| same_score(found, expected, tolerance))
        }
        (Value::Object(found), Value::Object(expected)) => {
            let same = |(key, expected)| {
                found.get(key).is_some_and(|found| same_score(found, expected, tolerance))
            };
            found.len() == expected.len() && expected.iter().all(same)
        }
        _ => found == expected,
    }
}

pub(crate) fn unknown(name: &str) -> EvalError {
    let known: Vec<_> =
        metrics::all().map(|info| format!("{}:{}", info.name, info.variant)).collect();
    EvalError::UnknownMetric { name: name.to_owned(), known: known.join(", ") }
}

/// Lines numbered from 1; empty ones are passed over.
fn filled_lines(input: impl BufRead) -> impl Iterator<Item = Result<(usize, String), EvalError>> {
    let numbered = input.lines().enumerate().map(|(index, line)| (index + 1, line));
    let filled =
        numbered.filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
    filled.map(|(line, text)| match text {
        Ok(text) => Ok((line, text)),
        Err(source) => Err(EvalError::Unreadable { line, source }),
    })
}

fn parsed<T: DeserializeOwned>(
    line: usize,
    text: &str,
    expected: &'static str,
) -> Result<T, EvalError> {
    serde_json::from_str(text).map_err(|source| EvalError::BadLine { line, expected, source })
}

//! Predictions in JSON lines to scores.

use crate::EvalError;
use crate::bootstrap::mean_interval;
use crate::metrics::{anls, relaxed_accuracy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::BufRead;

/// A metric with one of its variants.
#[derive(Clone, Copy)]
pub struct MetricInfo {
    /// The metric's name.
    pub name: &'static str,
    /// Whose definition.
    pub variant: &'static str,
    /// What it measures.
    pub summary: &'static str,
    score: fn(&str, &[String]) -> Option<f64>,
}

/// Every metric and variant.
pub fn metrics() -> &'static [MetricInfo] {
    METRICS
}

const ANLS: &str = "edit similarity of short answers, 0 below one half";
const RELAXED: &str = "right when equal, or a number within 5 %";

macro_rules! metric {
    ($name:literal, $variant:literal, $summary:expr, $score:path, $which:expr) => {
        MetricInfo {
            name: $name,
            variant: $variant,
            summary: $summary,
            score: |prediction, references| $score(prediction, references, $which),
        }
    };
}

const METRICS: &[MetricInfo] = &[
    metric!("anls", "vlmevalkit", ANLS, anls::score, anls::Variant::Harness),
    metric!("anls", "lmms_eval", ANLS, anls::score, anls::Variant::Harness),
    metric!("anls", "anls_pypi", ANLS, anls::score, anls::Variant::Package),
    metric!("anls", "pix2struct", ANLS, anls::score, anls::Variant::Pix2struct),
    metric!("anls", "anls_star", ANLS, anls::score, anls::Variant::Star),
    metric!(
        "relaxed_accuracy",
        "vlmevalkit",
        RELAXED,
        relaxed_accuracy::score,
        relaxed_accuracy::Variant::Vlmevalkit
    ),
    metric!(
        "relaxed_accuracy",
        "lmms_eval",
        RELAXED,
        relaxed_accuracy::score,
        relaxed_accuracy::Variant::Unstripped
    ),
    metric!(
        "relaxed_accuracy",
        "pix2struct",
        RELAXED,
        relaxed_accuracy::score,
        relaxed_accuracy::Variant::Unstripped
    ),
];

/// One line of a predictions file.
#[derive(Deserialize)]
struct Prediction {
    id: Value,
    prediction: String,
    references: Vec<String>,
}

/// One line of a goldens file: a prediction with the score that the reference gave it.
#[derive(Deserialize)]
struct Golden {
    id: Value,
    metric: String,
    variant: String,
    prediction: Value,
    references: Value,
    score: Value,
}

/// The score of one prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ItemScore {
    /// The line's id.
    pub id: Value,
    /// Its score; `None` where the reference scorer raises, which counts as 0.
    pub score: Option<f64>,
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
    /// The mean score.
    pub mean: f64,
    /// 95 % bootstrap interval of the mean.
    pub interval: (f64, f64),
    /// The score of each prediction, in the file's order.
    #[serde(skip)]
    pub items: Vec<ItemScore>,
}

/// Scores lines of `{"id", "prediction", "references": […]}` with `metric`, a name such as
/// `anls:lmms_eval`; without a variant, a metric's default, the leaderboard's.
///
/// # Errors
/// When the metric is unknown, or a line is not of that form.
pub fn score_predictions(metric: &str, input: impl BufRead) -> Result<ScoreReport, EvalError> {
    let metric = find(metric)?;
    let expected = r#"{"id", "prediction", "references": […]}"#;
    let mut items = Vec::new();
    for line in lines::<Prediction>(input, expected) {
        let line = line?;
        items.push(ItemScore {
            id: line.id,
            score: (metric.score)(&line.prediction, &line.references),
        });
    }
    let scores: Vec<f64> = items.iter().map(|item| item.score.unwrap_or(0.0)).collect();
    let interval = mean_interval(&scores).ok_or(EvalError::Empty)?;
    Ok(ScoreReport {
        metric: metric.name,
        variant: metric.variant,
        count: scores.len(),
        mean: scores.iter().sum::<f64>() / scores.len() as f64,
        interval,
        items,
    })
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
    /// What we gave.
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

/// Numbers this near the reference's are equal.
const GOLDEN_TOLERANCE: f64 = 1e-9;

/// Scores each line with its own metric and variant, and compares with the score beside it. A line
/// whose metric is not known counts as a mismatch.
///
/// # Errors
/// When a line is no golden.
pub fn score_goldens(input: impl BufRead) -> Result<GoldenReport, EvalError> {
    let mut report = GoldenReport::default();
    let expected = r#"{"id", "metric", "variant", "prediction", "references", "score"}"#;
    for (index, line) in lines::<Golden>(input, expected).enumerate() {
        let golden = line?;
        report.count += 1;
        let metric = format!("{}:{}", golden.metric, golden.variant);
        let found = match golden_score(&metric, &golden) {
            Ok(found) => found,
            Err(reason) => Value::String(reason),
        };
        if !same_score(&found, &golden.score) {
            let (id, expected) = (golden.id, golden.score);
            report.mismatches.push(GoldenMismatch { line: index + 1, id, metric, found, expected });
        }
    }
    match report.count {
        0 => Err(EvalError::Empty),
        _ => Ok(report),
    }
}

/// Our score of a golden line; null where there is none. An unknown metric or a form of prediction
/// that the metric doesn't take is an `Err` in words.
fn golden_score(metric: &str, golden: &Golden) -> Result<Value, String> {
    let metric = find(metric).map_err(|error| error.to_string())?;
    let prediction = golden.prediction.as_str().ok_or("the prediction is no text")?;
    let references: Vec<String> =
        Vec::deserialize(&golden.references).map_err(|error| format!("references: {error}"))?;
    Ok((metric.score)(prediction, &references).map_or(Value::Null, Value::from))
}

/// A null is what the reference gives where it raises; ours must not crash there, no more.
fn same_score(found: &Value, expected: &Value) -> bool {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => (found - expected).abs() <= GOLDEN_TOLERANCE,
        _ => expected.is_null() && !found.is_string() || found == expected,
    }
}

/// Finds `name:variant`, or the first variant of `name`, which is its default.
fn find(name: &str) -> Result<&'static MetricInfo, EvalError> {
    let (metric, variant) =
        name.split_once(':').map_or((name, None), |(metric, variant)| (metric, Some(variant)));
    let found = METRICS
        .iter()
        .find(|info| info.name == metric && variant.is_none_or(|variant| variant == info.variant));
    found.ok_or_else(|| EvalError::UnknownMetric {
        name: name.to_owned(),
        known: METRICS
            .iter()
            .map(|info| format!("{}:{}", info.name, info.variant))
            .collect::<Vec<_>>()
            .join(", "),
    })
}

/// Parses JSON lines; empty lines are passed over.
fn lines<T: serde::de::DeserializeOwned>(
    input: impl BufRead,
    expected: &'static str,
) -> impl Iterator<Item = Result<T, EvalError>> {
    let numbered = input.lines().enumerate().map(|(index, line)| (index + 1, line));
    let filled =
        numbered.filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
    filled.map(move |(line, text)| {
        let text = text.map_err(|source| EvalError::Unreadable { line, source })?;
        serde_json::from_str(&text).map_err(|source| EvalError::BadLine { line, expected, source })
    })
}

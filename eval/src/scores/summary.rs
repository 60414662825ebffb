//! The score of many samples.

use super::ItemResult;
use crate::EvalError;
use crate::metrics::{Item, MetricInfo, ScoreError};
use crate::statistics::clustered_bootstrap_interval;
use crate::task::{Aggregate, Scoring};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A score with its uncertainty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples.
    pub count: usize,
    /// Their score; `None` for no samples, or where the metric gives no number.
    pub score: Option<f64>,
    /// 95 % interval of the score.
    pub interval: Option<(f64, f64)>,
}

/// A part of a set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Every sample of it.
    #[serde(flatten)]
    pub all: Summary,
}

impl Summary {
    /// Sums samples up as the task says.
    pub(super) fn of(
        scoring: &Scoring,
        metric: &MetricInfo,
        items: &[&ItemResult],
    ) -> Result<Self, EvalError> {
        let count = items.len();
        let scores: Vec<f64> = items.iter().filter_map(|item| item.score).collect();
        let (score, interval) = match scoring.aggregate {
            _ if items.is_empty() => (None, None),
            Aggregate::Mean => (Some(mean(&scores)), interval(items, &scores)),
            Aggregate::Sum => {
                let sum = |mean: f64| mean * count as f64;
                let interval = interval(items, &scores).map(|(low, high)| (sum(low), sum(high)));
                (Some(scores.iter().sum()), interval)
            }
            Aggregate::Documents => (whole(scoring, metric, &documents(items))?, None),
            Aggregate::Corpus | Aggregate::CorpusLists => {
                (whole(scoring, metric, &corpus(scoring, items))?, None)
            }
        };
        Ok(Self { count, score, interval })
    }
}

/// The 95 % interval of the mean, where questions on one image are drawn together.
fn interval(items: &[&ItemResult], scores: &[f64]) -> Option<(f64, f64)> {
    if items.len() != scores.len() {
        return None;
    }
    let clusters: Vec<&str> = items.iter().map(|item| item.cluster_or_id()).collect();
    let interval = clustered_bootstrap_interval(scores, &clusters, 0.95)?;
    Some((interval.low, interval.high))
}

fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len() as f64
}

/// All answers as lists.
fn corpus(scoring: &Scoring, items: &[&ItemResult]) -> Item {
    let references = |item: &&ItemResult| match scoring.aggregate {
        Aggregate::CorpusLists => Value::from(item.references.clone()),
        _ => Value::from(item.references.first().cloned().unwrap_or_default()),
    };
    Item {
        id: Value::Null,
        prediction: items.iter().map(|item| Value::from(item.answer.clone())).collect(),
        references: items.iter().map(references).collect(),
        extra: Value::Object(Map::new()),
    }
}

/// All answers as one object, by their places. An answer that is no object counts as an empty one.
fn documents(items: &[&ItemResult]) -> Item {
    let object = |text: Option<&String>| {
        let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
        parsed.filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new()))
    };
    let join = |text: &dyn Fn(&ItemResult) -> Value| {
        let fields = items.iter().map(|item| (item.index.to_string(), text(item)));
        Value::Object(fields.collect()).to_string()
    };
    Item {
        id: Value::Null,
        prediction: join(&|item| object(Some(&item.answer))).into(),
        references: vec![join(&|item| object(item.references.first()))].into(),
        extra: Value::Object(Map::new()),
    }
}

/// The number that a metric gives for all answers at once.
fn whole(scoring: &Scoring, metric: &MetricInfo, item: &Item) -> Result<Option<f64>, EvalError> {
    let score = match (metric.score)(item) {
        Ok(score) => score,
        Err(ScoreError::Undefined(_)) => return Ok(None),
        Err(source) => {
            return Err(EvalError::NoItemScore { id: "the whole set".to_owned(), source });
        }
    };
    Ok(match &scoring.part {
        Some(part) => score.pointer(&Scoring::pointer(part)).and_then(Value::as_f64),
        None => score.as_f64(),
    })
}

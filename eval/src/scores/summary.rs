//! The score of many samples.

use super::ItemResult;
use crate::EvalError;
use crate::metrics::{Item, MetricInfo, ScoreError};
use crate::python::{length, strip};
use crate::statistics::{
    clustered_bootstrap_interval, clustered_wilson_interval, weighted_bootstrap_interval,
};
use crate::task::{Aggregate, Scoring};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A score with its uncertainty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples.
    pub count: usize,
    /// Their score; `None` for no samples, or where the metric gives no number.
    pub score: Option<f64>,
    /// 95 % interval of the score, questions on one image drawn together: Wilson's where samples
    /// are right or wrong, else by bootstrap. `None` where the score is no function of sums over the
    /// samples.
    pub interval: Option<(f64, f64)>,
    /// Other parts of the metric's result, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
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
        let per_item = scoring.aggregate.is_per_item();
        // Samples of a kind that the metric does not score count nowhere.
        let counts = |item: &&&ItemResult| !per_item || item.score.is_some();
        let items: Vec<&ItemResult> = items.iter().filter(counts).copied().collect();
        let count = items.len();
        let scores: Vec<f64> = items.iter().filter_map(|item| item.score).collect();
        if let (Some(item), false) = (at_once(scoring, &items), items.is_empty()) {
            let found = whole(metric, &item)?;
            let score = part(&found, scoring.part.as_deref());
            let others = scoring.also.iter();
            let parts = others.filter_map(|name| Some((name.clone(), part(&found, Some(name))?)));
            let interval = score.and_then(|score| {
                rate_interval(metric, &items, score)
                    .or_else(|| set_interval(scoring, metric, &items, score))
            });
            return Ok(Self { count, score, interval, parts: parts.collect() });
        }
        let (score, interval) = match scoring.aggregate {
            _ if items.is_empty() => (None, None),
            Aggregate::Sum => {
                let sum = |mean: f64| mean * count as f64;
                let interval = interval(&items, &scores).map(|(low, high)| (sum(low), sum(high)));
                (Some(scores.iter().sum()), interval)
            }
            Aggregate::GroupMean => {
                let score = group_mean(scoring, &items);
                (Some(score), set_interval(scoring, metric, &items, score))
            }
            _ => (Some(mean(&scores)), interval(&items, &scores)),
        };
        let parts = scoring.also.iter().filter_map(|name| {
            let found = items.iter().filter_map(|item| part(&item.detail, Some(name)));
            let found: Vec<f64> = found.collect();
            (!found.is_empty()).then(|| (name.clone(), mean(&found)))
        });
        Ok(Self { count, score, interval, parts: parts.collect() })
    }
}

/// All answers as the one item of a metric of whole sets; `None` for scores that samples have.
fn at_once(scoring: &Scoring, items: &[&ItemResult]) -> Option<Item> {
    match scoring.aggregate {
        Aggregate::Documents => Some(documents(items)),
        Aggregate::Corpus | Aggregate::CorpusLists | Aggregate::Pages => {
            Some(corpus(scoring, items))
        }
        Aggregate::Mean | Aggregate::Sum | Aggregate::GroupMean => None,
    }
}

/// The score of a set that is more than the mean of its samples'.
#[cfg(test)]
pub(super) fn score_of_set(
    scoring: &Scoring,
    metric: &MetricInfo,
    items: &[&ItemResult],
) -> Option<f64> {
    match at_once(scoring, items) {
        Some(item) => part(&whole(metric, &item).ok()?, scoring.part.as_deref()),
        None => Some(group_mean(scoring, items)),
    }
}

/// The 95 % interval of a score that is a function of sums over the samples.
fn set_interval(
    scoring: &Scoring,
    metric: &MetricInfo,
    items: &[&ItemResult],
    score: f64,
) -> Option<(f64, f64)> {
    super::sums::interval(scoring, metric, items, &clusters(items)?, score)
}

/// The mean of the means of the groups; samples of no group are one of their own.
fn group_mean(scoring: &Scoring, items: &[&ItemResult]) -> f64 {
    let mut groups: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for item in items {
        let group = scoring.group.as_ref().and_then(|name| item.groups.get(name));
        groups.entry(group.map_or("", String::as_str)).or_default().extend(item.score);
    }
    mean(&groups.values().map(|scores| mean(scores)).collect::<Vec<_>>())
}

/// The 95 % interval of the mean.
fn interval(items: &[&ItemResult], scores: &[f64]) -> Option<(f64, f64)> {
    let clusters = clusters(items).filter(|clusters| clusters.len() == scores.len())?;
    // Resamples of nothing but zeros are sure of zero, which ten samples are not.
    let interval = match scores.iter().all(|score| *score == 0.0 || *score == 1.0) {
        true => clustered_wilson_interval(scores, &clusters, 0.95)?,
        false => clustered_bootstrap_interval(scores, &clusters, 0.95)?,
    };
    Some((interval.low, interval.high))
}

/// The 95 % interval of an error rate of the whole set, which is the mean of the samples' rates by
/// the lengths of their references. `None` for scores that are no such mean.
fn rate_interval(metric: &MetricInfo, items: &[&ItemResult], rate: f64) -> Option<(f64, f64)> {
    let reference = |item: &&ItemResult| item.references.first().cloned().unwrap_or_default();
    let lengths: Vec<f64> = match (metric.name, metric.variant.rsplit('.').next()) {
        ("cer_wer", Some("cer")) => items.iter().map(|i| strip_length(&reference(i))).collect(),
        ("cer_wer", Some("wer")) => {
            items.iter().map(|item| reference(item).split_whitespace().count() as f64).collect()
        }
        _ => return None,
    };
    let scores: Vec<f64> = items.iter().map(|item| item.score).collect::<Option<_>>()?;
    let sum: f64 = scores.iter().zip(&lengths).map(|(score, length)| score * length).sum();
    if (sum / lengths.iter().sum::<f64>() - rate).abs() > 1e-9 {
        return None;
    }
    let interval = weighted_bootstrap_interval(&scores, &lengths, &clusters(items)?, 0.95)?;
    Some((interval.low, interval.high))
}

fn strip_length(text: &str) -> f64 {
    length(strip(text)) as f64
}

/// What samples have in common; `None` where that is one image, for questions on one say nothing of
/// others.
fn clusters<'a>(items: &[&'a ItemResult]) -> Option<Vec<&'a str>> {
    let clusters: Vec<&str> = items.iter().map(|item| item.cluster_or_id()).collect();
    let one = clusters.len() > 1 && clusters.iter().all(|cluster| *cluster == clusters[0]);
    (!one).then_some(clusters)
}

fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len() as f64
}

/// All answers as lists.
fn corpus(scoring: &Scoring, items: &[&ItemResult]) -> Item {
    let references = |item: &&ItemResult| match scoring.aggregate {
        Aggregate::CorpusLists | Aggregate::Pages => Value::from(item.references.clone()),
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

/// What a metric gives for all answers at once; null where the reference has no score.
fn whole(metric: &MetricInfo, item: &Item) -> Result<Value, EvalError> {
    match (metric.score)(item) {
        Ok(score) => Ok(score),
        Err(ScoreError::Undefined(_)) => Ok(Value::Null),
        Err(source) => Err(EvalError::NoItemScore { id: "the whole set".to_owned(), source }),
    }
}

/// A part of a metric's result, or the result itself.
fn part(result: &Value, name: Option<&str>) -> Option<f64> {
    match name {
        Some(name) => result.pointer(&Scoring::pointer(name))?.as_f64(),
        None => result.as_f64(),
    }
}

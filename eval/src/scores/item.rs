//! The score of one sample.

use crate::EvalError;
use crate::answerer::Finish;
use crate::extract::extract;
use crate::metrics::{Item, MetricInfo, ScoreError};
use crate::run::{Failure, FailureKind, Response};
use crate::task::{Aggregate, Compare, Scoring};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How a sample ended. Failures to answer are told apart from wrong answers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was answered, rightly or wrongly.
    #[default]
    Answered,
    /// The answer reached the limit of tokens.
    Truncated,
    /// Thoughts began and never ended.
    UnclosedThinking,
    /// The model would not answer.
    Refused,
    /// The metric found no answer in the reply.
    Unparsed,
    /// There was no answer in time.
    TimedOut,
    /// There was no answer for another reason.
    Failed,
}

impl State {
    /// The name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Truncated => "truncated",
            Self::UnclosedThinking => "unclosed thinking",
            Self::Refused => "refused",
            Self::Unparsed => "unparsed",
            Self::TimedOut => "timed out",
            Self::Failed => "failed",
        }
    }
}

/// A sample with its score.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemResult {
    /// Its place in the dataset, from 0.
    pub index: usize,
    /// Its id.
    pub id: String,
    /// How it ended.
    pub state: State,
    /// The answer as it was scored.
    pub answer: String,
    /// Right answers.
    pub references: Vec<String>,
    /// The score; for a metric of whole sets, that of a set of this sample alone. `None` where that
    /// is no number.
    pub score: Option<f64>,
    /// What the metric gave, where that is no plain number.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub detail: Value,
    /// The parts of the set to which it belongs.
    pub groups: BTreeMap<String, String>,
    /// Digest of its first image, whose other questions are no independent ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl ItemResult {
    /// What it has in common with the samples that are not independent of it.
    pub(crate) fn cluster_or_id(&self) -> &str {
        self.cluster.as_deref().unwrap_or(&self.id)
    }
}

/// How refusals begin, in lower case. A reply counts as one only when it is scored as wrong.
const REFUSALS: [&str; 12] = [
    "i'm sorry, but",
    "i am sorry, but",
    "sorry, i can",
    "sorry, but i",
    "i cannot assist",
    "i can't assist",
    "i cannot help",
    "i can't help",
    "i'm unable to",
    "i am unable to",
    "对不起",
    "抱歉",
];

/// The metric's item for an answer.
pub(super) fn metric_item(scoring: &Scoring, response: &Response, answer: &str) -> Item {
    let mut extra = Map::new();
    for (name, source) in &scoring.extra {
        if let Some(value) = response.metadata.get(source) {
            extra.insert(name.clone(), value.clone());
        }
    }
    if scoring.extra.contains_key("question") {
        extra.insert("question".to_owned(), response.question.clone().into());
    }
    if !response.options.is_empty() {
        extra.insert("options".to_owned(), response.options.clone().into());
    }
    Item {
        id: response.id.clone().into(),
        prediction: answer.into(),
        references: response.references.clone().into(),
        extra: Value::Object(extra),
    }
}

/// Scores an answer.
pub(super) fn of_response(
    scoring: &Scoring,
    metric: &MetricInfo,
    response: &Response,
) -> Result<ItemResult, EvalError> {
    let extracted = extract(&response.reply.text, &scoring.extract);
    let mut item = base(scoring, response);
    item.answer = extracted.answer;
    let mut unparsed = false;
    if scoring.aggregate.is_per_item() {
        match (metric.score)(&metric_item(scoring, response, &item.answer)) {
            // The metric does not score questions of this kind; the sample counts nowhere.
            Ok(Value::Null) if scoring.compare == Compare::Score => {}
            Ok(detail) => {
                (item.score, unparsed) = score_of(scoring, &detail, &response.references);
                if !detail.is_number() {
                    item.detail = detail;
                }
            }
            Err(ScoreError::Undefined(_)) => item.score = Some(worst(scoring)),
            Err(source) => {
                return Err(EvalError::NoItemScore { id: response.id.clone(), source });
            }
        }
    } else {
        item.score = score_alone(scoring, metric, &item);
    }
    item.state = state((scoring, response), extracted.unclosed, unparsed, &item);
    Ok(item)
}

/// What a metric of whole sets gives for a set of this one answer; `None` where that is no number.
fn score_alone(scoring: &Scoring, metric: &MetricInfo, item: &ItemResult) -> Option<f64> {
    let references = match scoring.aggregate {
        Aggregate::CorpusLists => json!([item.references]),
        _ => json!([item.references.first()?]),
    };
    let prediction = json!([item.answer]);
    let found = (metric.score)(&Item { prediction, references, ..Item::default() }).ok()?;
    match &scoring.part {
        Some(part) => found.pointer(&Scoring::pointer(part))?.as_f64(),
        None => found.as_f64(),
    }
}

/// The score in what a metric gave, and whether it found no answer to score.
fn score_of(scoring: &Scoring, detail: &Value, references: &[String]) -> (Option<f64>, bool) {
    let unparsed = detail["unparsed"] == true;
    let detail = match &scoring.part {
        Some(part) => detail.pointer(&Scoring::pointer(part)).unwrap_or(&Value::Null),
        None => detail,
    };
    match (scoring.compare, detail) {
        (Compare::Score, Value::Bool(right)) => (Some(f64::from(u8::from(*right))), false),
        (Compare::Score, detail) => (Some(detail.as_f64().unwrap_or(0.0)), unparsed),
        // `Z` is VLMEvalKit's letter for no answer, `__RANDOM__` where the reference throws dice.
        (Compare::Equal, Value::String(found)) if found != "Z" && found != "__RANDOM__" => {
            let right = references.first().is_some_and(|wanted| wanted.trim() == found);
            (Some(f64::from(u8::from(right))), false)
        }
        (Compare::Equal, _) => (Some(0.0), true),
    }
}

fn state(
    (scoring, response): (&Scoring, &Response),
    unclosed: bool,
    unparsed: bool,
    item: &ItemResult,
) -> State {
    let is_wrong = item.score.is_none_or(|score| (score == 0.0) != scoring.lower_is_better);
    let answer = item.answer.trim_start().to_lowercase().replace('’', "'");
    let refusal = REFUSALS.iter().any(|phrase| answer.starts_with(phrase));
    match response.reply.finish {
        _ if unclosed => State::UnclosedThinking,
        Finish::Length => State::Truncated,
        Finish::Filtered => State::Refused,
        Finish::Stop if refusal && is_wrong => State::Refused,
        Finish::Stop if unparsed => State::Unparsed,
        Finish::Stop => State::Answered,
    }
}

/// A sample without an answer. Where lower is better, its score is that of an empty answer, 1.
pub(super) fn of_failure(scoring: &Scoring, failure: &Failure) -> ItemResult {
    let mut item = base(scoring, &failure.response);
    item.state = match failure.kind {
        FailureKind::Timeout => State::TimedOut,
        FailureKind::Failed => State::Failed,
    };
    item.score = Some(worst(scoring));
    item.failure = Some(failure.reason.clone());
    item
}

/// The score of an empty answer.
fn worst(scoring: &Scoring) -> f64 {
    if scoring.lower_is_better { 1.0 } else { 0.0 }
}

fn base(scoring: &Scoring, response: &Response) -> ItemResult {
    let group = |name: &String| {
        let value = response.metadata.get(name)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((name.clone(), text))
    };
    ItemResult {
        index: response.index,
        id: response.id.clone(),
        state: State::Answered,
        answer: String::new(),
        references: response.references.clone(),
        score: None,
        detail: Value::Null,
        groups: scoring.breakdown.iter().chain(&scoring.group).filter_map(group).collect(),
        cluster: response.images.first().cloned(),
        failure: None,
    }
}

//! From answers to scores: of each item, of the set and of its parts.

mod item;
mod summary;
mod sums;

pub use item::{ItemResult, State};
pub use summary::{Group, Summary};

use crate::EvalError;
use crate::metrics::MetricInfo;
use crate::run::{Response, RunFolder};
use crate::task::{Extraction, Scoring};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The content of `scores.json`. It holds no times, so that equal answers give equal bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scores {
    /// The task.
    pub task: String,
    /// The prompts' preset.
    pub preset: String,
    /// `NAME:VARIANT` of the metric.
    pub metric: String,
    /// Whether a lower score is better.
    pub lower_is_better: bool,
    /// Every sample, those without an answer as wrong.
    pub all: Summary,
    /// Only samples that were answered in full: no time-out, no answer that was cut off or refused.
    pub answered: Summary,
    /// How many samples ended in which way.
    pub states: BTreeMap<State, usize>,
    /// Scores of parts of the set: by kind of part, then by part.
    pub breakdown: BTreeMap<String, BTreeMap<String, Group>>,
    /// Rows of the dataset that could not be read, and count nowhere.
    pub bad_rows: Vec<String>,
    /// Each sample, in the dataset's order.
    pub items: Vec<ItemResult>,
}

impl Scores {
    /// Scores a run as it says it is to be scored.
    ///
    /// # Errors
    /// When its files can't be read, or the metric can't take the answers.
    pub fn of_run(folder: &RunFolder) -> Result<Self, EvalError> {
        Self::with(folder, None, None)
    }

    /// Scores a run by another metric than its own, when `metric` names one, and with another rule
    /// of extraction, when `extract` is one.
    ///
    /// # Errors
    /// As [`Self::of_run`].
    pub fn with(
        folder: &RunFolder,
        metric: Option<&str>,
        extract: Option<&Extraction>,
    ) -> Result<Self, EvalError> {
        let manifest = folder.manifest()?;
        let mut scoring = manifest.scoring.clone();
        scoring.metric = metric.map_or(scoring.metric, str::to_owned);
        scoring.extract = extract.cloned().unwrap_or(scoring.extract);
        let metric = scoring.metric()?;
        let mut items = Vec::new();
        for response in folder.responses()? {
            items.push(item::of_response(&scoring, metric, &response)?);
        }
        for failure in folder.failures()? {
            items.push(item::of_failure(&scoring, &failure));
        }
        items.sort_by_key(|item| item.index);
        items.dedup_by_key(|item| item.index);
        let mut states = BTreeMap::new();
        for item in &items {
            *states.entry(item.state).or_insert(0) += 1;
        }
        let whole: Vec<&ItemResult> = items.iter().collect();
        let answered: Vec<&ItemResult> =
            items.iter().filter(|item| item.state == State::Answered).collect();
        Ok(Self {
            task: manifest.identity.task,
            preset: manifest.identity.preset,
            metric: format!("{}:{}", metric.name, metric.variant),
            lower_is_better: scoring.lower_is_better,
            all: Summary::of(&scoring, metric, &whole)?,
            answered: Summary::of(&scoring, metric, &answered)?,
            breakdown: breakdown(&scoring, metric, &items)?,
            states,
            bad_rows: manifest.bad_rows,
            items,
        })
    }
}

fn breakdown(
    scoring: &Scoring,
    metric: &MetricInfo,
    items: &[ItemResult],
) -> Result<BTreeMap<String, BTreeMap<String, Group>>, EvalError> {
    let mut breakdown = BTreeMap::new();
    for kind in scoring.breakdown.iter().chain(&scoring.group) {
        let mut parts: BTreeMap<String, Vec<&ItemResult>> = BTreeMap::new();
        for item in items {
            if let Some(part) = item.groups.get(kind) {
                parts.entry(part.clone()).or_default().push(item);
            }
        }
        let mut groups = BTreeMap::new();
        for (part, items) in parts {
            groups.insert(part, Group { all: Summary::of(scoring, metric, &items)? });
        }
        if !groups.is_empty() {
            breakdown.insert(kind.clone(), groups);
        }
    }
    Ok(breakdown)
}

/// Scores one answer, apart from its run.
pub(crate) fn of_response(scoring: &Scoring, response: &Response) -> Result<ItemResult, EvalError> {
    item::of_response(scoring, scoring.metric()?, response)
}

/// The score of one answer while the run goes on; `None` for metrics of a whole corpus.
pub(crate) fn running_score(scoring: &Scoring, response: &Response) -> Option<f64> {
    let metric = scoring.metric().ok()?;
    item::of_response(scoring, metric, response).ok()?.score
}

//! Two runs side by side: the difference, how sure it is, and why there is one.

use crate::EvalError;
use crate::run::RunFolder;
use crate::scores::{ItemResult, Scores};
use crate::statistics::{self, smallest_detectable_difference};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What two runs differ in.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Samples that both have.
    pub count: usize,
    /// Samples that only the first, or only the second has.
    pub unpaired: (usize, usize),
    /// Over all samples that both have.
    pub all: Difference,
    /// By kind of part, then by part.
    pub breakdown: BTreeMap<String, BTreeMap<String, Difference>>,
    /// What was not the same: paths in `run.json` with both values.
    pub causes: Vec<String>,
    /// Samples whose score changed, the greatest changes first.
    pub changed: Vec<Change>,
}

/// The second run's score less the first's, over the same samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Samples.
    pub count: usize,
    /// Both scores.
    pub scores: (f64, f64),
    /// The second less the first.
    pub difference: f64,
    /// 95 % interval of the difference, by paired bootstrap; `None` for fewer than two images.
    pub interval: Option<(f64, f64)>,
    /// How likely so great a difference is between equal models: McNemar's exact test where all
    /// scores are 0 or 1 and each image has one question, else the bootstrap by image.
    pub p_value: Option<f64>,
    /// The smallest difference that so many samples show in four of five cases.
    pub smallest_detectable: Option<f64>,
}

/// A sample whose score changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its id.
    pub id: String,
    /// Right answers.
    pub references: Vec<String>,
    /// Both answers.
    pub answers: (String, String),
    /// Both scores.
    pub scores: (f64, f64),
}

/// Compares two runs over the samples that both have.
///
/// # Errors
/// When a run can't be read, they have no sample in common, or have no score a sample.
pub fn compare(first: &RunFolder, second: &RunFolder) -> Result<Comparison, EvalError> {
    let (left, right) = (Scores::of_run(first)?, Scores::of_run(second)?);
    let by_id: HashMap<&str, &ItemResult> =
        right.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let pairs: Vec<(&ItemResult, &ItemResult)> = left
        .items
        .iter()
        .filter_map(|item| Some((item, *by_id.get(item.id.as_str())?)))
        .filter(|(left, right)| left.score.is_some() && right.score.is_some())
        .collect();
    if pairs.is_empty() {
        return Err(EvalError::Unusable {
            reason: "the runs have no scored sample in common".to_owned(),
        });
    }
    let mut breakdown: BTreeMap<String, BTreeMap<String, Vec<_>>> = BTreeMap::new();
    for pair in &pairs {
        for (kind, part) in &pair.0.groups {
            let parts = breakdown.entry(kind.clone()).or_default();
            parts.entry(part.clone()).or_default().push(*pair);
        }
    }
    let parts = |parts: BTreeMap<String, Vec<_>>| {
        parts.into_iter().map(|(part, pairs)| (part, difference(&pairs))).collect()
    };
    let (first, second) = (first.manifest()?, second.manifest()?);
    let mut causes = first.identity.differences(&second.identity);
    if left.metric != right.metric {
        causes.push(format!("metric ({} and {})", left.metric, right.metric));
    }
    if first.version != second.version {
        causes.push(format!("version ({} and {})", first.version, second.version));
    }
    Ok(Comparison {
        count: pairs.len(),
        unpaired: (left.items.len() - pairs.len(), right.items.len() - pairs.len()),
        all: difference(&pairs),
        breakdown: breakdown.into_iter().map(|(kind, found)| (kind, parts(found))).collect(),
        causes,
        changed: changes(&pairs),
    })
}

fn scores_of((left, right): &(&ItemResult, &ItemResult)) -> (f64, f64) {
    (left.score.unwrap_or_default(), right.score.unwrap_or_default())
}

fn difference(pairs: &[(&ItemResult, &ItemResult)]) -> Difference {
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().map(scores_of).unzip();
    let clusters: Vec<&str> = pairs.iter().map(|(item, _)| item.cluster_or_id()).collect();
    let independent = clusters.iter().collect::<HashSet<_>>().len() == clusters.len();
    let compared = match independent {
        true => statistics::compare(&first, &second, 0.95),
        false => statistics::compare_clustered(&first, &second, &clusters, 0.95),
    };
    let count = pairs.len();
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / count as f64;
    let scores = (mean(&first), mean(&second));
    Difference {
        count,
        scores,
        difference: scores.1 - scores.0,
        interval: compared.map(|found| (found.interval.low, found.interval.high)),
        p_value: compared.map(|found| found.p_value),
        smallest_detectable: compared
            .map(|found| smallest_detectable_difference(found.standard_error, 0.95, 0.8)),
    }
}

fn changes(pairs: &[(&ItemResult, &ItemResult)]) -> Vec<Change> {
    let changed = pairs.iter().filter(|pair| {
        let (left, right) = scores_of(pair);
        left != right
    });
    let mut changes: Vec<Change> = changed
        .map(|pair| Change {
            id: pair.0.id.clone(),
            references: pair.0.references.clone(),
            answers: (pair.0.answer.clone(), pair.1.answer.clone()),
            scores: scores_of(pair),
        })
        .collect();
    let size = |change: &Change| (change.scores.1 - change.scores.0).abs();
    changes.sort_by(|left, right| size(right).total_cmp(&size(left)));
    changes
}

//! Two runs side by side, or a run and another harness's results: the difference, how sure it is,
//! and why there is one.

mod foreign;
mod pairs;
mod reasons;
mod side;

pub use reasons::{Reason, Reasons};
pub use side::Side;

use crate::EvalError;
use crate::statistics::{self, smallest_detectable_difference};
use pairs::Pair;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// What two sides differ in.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What each side is.
    pub sides: (String, String),
    /// Samples that both have.
    pub count: usize,
    /// Samples that only the first, or only the second has.
    pub unpaired: (usize, usize),
    /// Whether the scores here, which are means over samples, are not the runs' own, which are made of
    /// whole sets or of groups.
    pub means_of_samples: bool,
    /// Over all samples that both have.
    pub all: Difference,
    /// By kind of part, then by part.
    pub breakdown: BTreeMap<String, BTreeMap<String, Difference>>,
    /// What was not the same for all samples: paths in `run.json` with both values.
    pub causes: Vec<String>,
    /// In how many samples something was not the same.
    pub reasons: Reasons,
    /// Samples whose score changed, the greatest changes first.
    pub changed: Vec<Change>,
}

/// The second side's score less the first's, over the same samples.
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
    /// Its id on both sides.
    pub ids: (String, String),
    /// Right answers.
    pub references: Vec<String>,
    /// Both answers.
    pub answers: (String, String),
    /// Both scores.
    pub scores: (f64, f64),
    /// The first thing that was not the same on the way to the score.
    pub reason: Reason,
}

/// Compares two sides over the samples that both have. Samples are paired by id and question, or
/// where ids differ, as between layouts of a dataset, by question, right answer and image. The
/// answers of a file are scored as the run beside it scores its own.
///
/// # Errors
/// When they have no sample in common, or have no score a sample.
pub fn compare(first: &Side, second: &Side) -> Result<Comparison, EvalError> {
    let pairs = pairs::pair(first, second)?;
    if pairs.is_empty() {
        return Err(EvalError::Unusable {
            reason: "the two have no scored sample in common".to_owned(),
        });
    }
    let mut breakdown: BTreeMap<String, BTreeMap<String, Vec<&Pair>>> = BTreeMap::new();
    for pair in &pairs {
        for (kind, part) in pair.groups() {
            let parts = breakdown.entry(kind.clone()).or_default();
            parts.entry(part.clone()).or_default().push(pair);
        }
    }
    let parts = |parts: BTreeMap<String, Vec<&Pair>>| {
        parts.into_iter().map(|(part, pairs)| (part, difference(&pairs))).collect()
    };
    let all: Vec<&Pair> = pairs.iter().collect();
    Ok(Comparison {
        sides: (first.what.clone(), second.what.clone()),
        count: pairs.len(),
        unpaired: (first.items.len() - pairs.len(), second.items.len() - pairs.len()),
        means_of_samples: [first, second].iter().any(|side| !side.is_mean_of_samples()),
        all: difference(&all),
        breakdown: breakdown.into_iter().map(|(kind, found)| (kind, parts(found))).collect(),
        causes: reasons::causes(first, second),
        reasons: Reasons::of(&pairs),
        changed: changes(&pairs),
    })
}

fn difference(pairs: &[&Pair]) -> Difference {
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.iter().map(|pair| pair.scores).unzip();
    let clusters: Vec<&str> = pairs.iter().map(|pair| pair.cluster()).collect();
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

fn changes(pairs: &[Pair]) -> Vec<Change> {
    let changed = pairs.iter().filter(|pair| pair.scores.0 != pair.scores.1);
    let mut changes: Vec<Change> = changed
        .map(|pair| Change {
            ids: (pair.left.id.clone(), pair.right.id.clone()),
            references: pair.references().to_vec(),
            answers: pair.answers.clone(),
            scores: pair.scores,
            reason: pair.reason(),
        })
        .collect();
    let size = |change: &Change| (change.scores.1 - change.scores.0).abs();
    changes.sort_by(|left, right| size(right).total_cmp(&size(left)));
    changes
}

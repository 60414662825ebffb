//! One run under every variant of its metric.

use crate::EvalError;
use crate::metrics;
use crate::run::RunFolder;
use crate::scores::Scores;
use serde::Serialize;

/// The scores of one run under several variants.
#[derive(Clone, Debug, Serialize)]
pub struct Rescored {
    /// The metric's name.
    pub metric: String,
    /// Each variant's score of the set; `None` where it gives none.
    pub variants: Vec<(String, Option<f64>)>,
    /// The samples on which the variants differ.
    pub differing: Vec<Differing>,
}

/// A sample that variants score differently.
#[derive(Clone, Debug, Serialize)]
pub struct Differing {
    /// Its id.
    pub id: String,
    /// The answer that was scored.
    pub answer: String,
    /// Right answers.
    pub references: Vec<String>,
    /// Its score under each variant, in their order.
    pub scores: Vec<Option<f64>>,
}

/// How far scores of one sample may be apart and count as equal.
const EQUAL: f64 = 1e-9;

/// Scores a run by every variant of its metric. A variant that takes answers of another form is
/// passed over.
///
/// # Errors
/// When the run can't be read.
pub fn rescore_all_variants(folder: &RunFolder) -> Result<Rescored, EvalError> {
    let manifest = folder.manifest()?;
    let name = manifest.scoring.metric()?.name;
    let mut scored: Vec<(String, Scores)> = Vec::new();
    for info in metrics::all().filter(|info| info.name == name) {
        match Scores::with(folder, Some(&format!("{name}:{}", info.variant)), None) {
            Ok(scores) => scored.push((info.variant.to_owned(), scores)),
            Err(EvalError::NoItemScore { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let mut differing = Vec::new();
    let items = scored.first().map(|(_, scores)| scores.items.as_slice()).unwrap_or_default();
    for (at, item) in items.iter().enumerate() {
        let score = |(_, scores): &(String, Scores)| scores.items.get(at).and_then(|i| i.score);
        let scores: Vec<Option<f64>> = scored.iter().map(score).collect();
        let first = scores.first().copied().flatten().unwrap_or(f64::NAN);
        if scores.iter().any(|score| score.is_some_and(|score| (score - first).abs() > EQUAL)) {
            differing.push(Differing {
                id: item.id.clone(),
                answer: item.answer.clone(),
                references: item.references.clone(),
                scores,
            });
        }
    }
    let variants = scored.into_iter().map(|(variant, scores)| (variant, scores.all.score));
    Ok(Rescored { metric: name.to_owned(), variants: variants.collect(), differing })
}

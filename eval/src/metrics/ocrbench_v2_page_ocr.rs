//! OCRBench v2's reading of whole pages and fine print, and its translation (Fu et al. 2024), as in
//! its `page_ocr_metric.py`: the mean of BLEU, METEOR, the F-measure of words and edit similarity.

use super::{Item, MetricInfo, ScoreError};
use crate::python::length;
use crate::text::edit_distance;
use crate::text::jieba::cut;
use crate::text::meteor::meteor;
use crate::text::ngrams::Matches;
use crate::text::tokenize::words;
use serde_json::json;
use std::collections::HashSet;

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "ocrbench_v2_page_ocr",
    variant: "official",
    summary: "mean of BLEU, METEOR, F-measure of words and edit similarity",
    score: |item: &Item| {
        let references = item.reference_texts()?;
        let reference = references.first().ok_or(ScoreError::Undefined("no references"))?;
        let score = score(item.text()?, reference)
            .ok_or(ScoreError::Undefined("prediction and reference are empty"))?;
        Ok(json!({
            "bleu": score.bleu,
            "meteor": score.meteor,
            "f_measure": score.f_measure,
            "precision": score.precision,
            "recall": score.recall,
            "edit_dist": score.edit_distance,
            "task_score": score.task_score,
        }))
    },
}];

/// How near a page's text is, each part 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageScore {
    /// nltk's BLEU without smoothing.
    pub bleu: f64,
    /// nltk's METEOR.
    pub meteor: f64,
    /// The harmonic mean of precision and recall; `None` where one of them is.
    pub f_measure: Option<f64>,
    /// The share of the different words predicted that are right; `None` without any.
    pub precision: Option<f64>,
    /// The share of the different words wanted that are predicted; `None` without any.
    pub recall: Option<f64>,
    /// Levenshtein distance ÷ longer text.
    pub edit_distance: f64,
    /// The mean of BLEU, METEOR, F-measure and 1 − edit distance, `None` counting as 0; 0 for an
    /// empty prediction.
    pub task_score: f64,
}

/// The score of a prediction against its reference. `None` where both are empty, as the reference
/// scorer then divides by zero.
pub fn score(prediction: &str, reference: &str) -> Option<PageScore> {
    let is_chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fa5}').contains(&c));
    let tokenize = if is_chinese(prediction) || is_chinese(reference) { cut } else { words };
    let longer = length(prediction).max(length(reference));
    if longer == 0 {
        return None;
    }
    let (found, wanted) = (tokenize(prediction), tokenize(reference));
    let bleu = Matches::of(&found, std::slice::from_ref(&wanted)).bleu_nltk();
    let meteor = meteor(&found, &wanted);
    let (found, wanted): (HashSet<_>, HashSet<_>) =
        (found.iter().collect(), wanted.iter().collect());
    let common = found.intersection(&wanted).count() as f64;
    let share = |of: usize| (of > 0).then(|| common / of as f64);
    let (precision, recall) = (share(found.len()), share(wanted.len()));
    let f_measure = precision.zip(recall).map(|(precision, recall)| match common {
        0.0 => 0.0,
        _ => 1.0 / (0.5 / precision + 0.5 / recall),
    });
    let edit_distance = edit_distance(prediction, reference) as f64 / longer as f64;
    let mean = (bleu + meteor + f_measure.unwrap_or(0.0) + (1.0 - edit_distance)) / 4.0;
    let task_score = if prediction.is_empty() { 0.0 } else { mean };
    Some(PageScore { bleu, meteor, f_measure, precision, recall, edit_distance, task_score })
}

//! Character and word error rates and their kin (Morris et al. 2004), as jiwer and torchmetrics
//! compute them: over a corpus, errors are summed before anything is divided.

use super::item::number;
use super::{Item, MetricInfo, ScoreError};
use crate::python::{is_space, strip};
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("jiwer.cer", |item| of_item(item, Measure::Cer, Variant::Jiwer)),
    info("jiwer.wer", |item| of_item(item, Measure::Wer, Variant::Jiwer)),
    info("jiwer.mer", |item| of_item(item, Measure::Mer, Variant::Jiwer)),
    info("jiwer.wil", |item| of_item(item, Measure::Wil, Variant::Jiwer)),
    info("jiwer.wip", |item| of_item(item, Measure::Wip, Variant::Jiwer)),
    info("torchmetrics.cer", |item| of_item(item, Measure::Cer, Variant::Torchmetrics)),
    info("torchmetrics.wer", |item| of_item(item, Measure::Wer, Variant::Torchmetrics)),
    info("torchmetrics.mer", |item| of_item(item, Measure::Mer, Variant::Torchmetrics)),
    info("torchmetrics.wil", |item| of_item(item, Measure::Wil, Variant::Torchmetrics)),
    info("torchmetrics.wip", |item| of_item(item, Measure::Wip, Variant::Torchmetrics)),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "cer_wer",
        variant,
        summary: "share of characters or words that are wrong, over a corpus",
        score,
    }
}

/// Scores one text against one reference, or a list of texts against as many references.
fn of_item(item: &Item, measure: Measure, variant: Variant) -> Result<Value, ScoreError> {
    let (predictions, references) = (item.prediction_texts()?, item.reference_texts()?);
    score(&predictions, &references, measure, variant)
        .map(number)
        .ok_or(ScoreError::Undefined("as many references as predictions are needed"))
}

/// What is counted, and over what. S, D, I are substitutions, deletions and insertions, H hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// (S + D + I) ÷ code points of the references.
    Cer,
    /// (S + D + I) ÷ words of the references.
    Wer,
    /// Match error rate: (S + D + I) ÷ (H + S + D + I), of words.
    Mer,
    /// Word information lost: 1 − [`Measure::Wip`].
    Wil,
    /// Word information preserved: H ÷ words of the references × H ÷ words of the predictions.
    Wip,
}

/// Whose definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// jiwer 4: words are parted by ASCII spaces, after runs of white space became one; texts are
    /// trimmed. References without any word give the number of insertions.
    Jiwer,
    /// torchmetrics: words are parted by any white space, characters taken as they are. H is
    /// taken to be the longer length − errors, and empty references give nan or infinity.
    Torchmetrics,
}

/// Sums over a corpus.
#[derive(Clone, Copy, Default)]
struct Counts {
    errors: usize,
    hits: usize,
    longest: usize,
    reference: usize,
    prediction: usize,
}

/// The error rate of predictions against references, pair by pair. `None` where jiwer raises: for
/// another number of references than of predictions.
pub fn score(
    predictions: &[&str],
    references: &[&str],
    measure: Measure,
    variant: Variant,
) -> Option<f64> {
    if variant == Variant::Jiwer && predictions.len() != references.len() {
        return None;
    }
    let mut counts = Counts::default();
    for (prediction, reference) in predictions.iter().zip(references) {
        match measure {
            Measure::Cer => {
                counts.add(&characters(reference, variant), &characters(prediction, variant));
            }
            _ => {
                let (reference, prediction) =
                    (spaced(reference, variant), spaced(prediction, variant));
                counts.add(&words(&reference, variant), &words(&prediction, variant));
            }
        }
    }
    Some(match variant {
        Variant::Jiwer => counts.jiwer(measure),
        Variant::Torchmetrics => counts.torchmetrics(measure),
    })
}

fn characters(text: &str, variant: Variant) -> Vec<char> {
    match variant {
        Variant::Jiwer => strip(text).chars().collect(),
        Variant::Torchmetrics => text.chars().collect(),
    }
}

fn spaced(text: &str, variant: Variant) -> String {
    match variant {
        Variant::Jiwer => strip(&collapse_runs(text)).to_owned(),
        Variant::Torchmetrics => text.to_owned(),
    }
}

/// Each run of two or more white-space characters becomes one space.
fn collapse_runs(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_space) {
        let (before, run) = rest.split_at(start);
        let after = run.trim_start_matches(is_space);
        let run = &run[..run.len() - after.len()];
        collapsed.push_str(before);
        collapsed.push_str(if run.chars().nth(1).is_some() { " " } else { run });
        rest = after;
    }
    collapsed + rest
}

fn words(text: &str, variant: Variant) -> Vec<&str> {
    let parts_words = |c: char| match variant {
        Variant::Jiwer => c == ' ',
        Variant::Torchmetrics => is_space(c),
    };
    text.split(parts_words).filter(|word| !word.is_empty()).collect()
}

impl Counts {
    fn add<T: PartialEq>(&mut self, reference: &[T], prediction: &[T]) {
        let (errors, hits) = align(reference, prediction);
        self.errors += errors;
        self.hits += hits;
        self.longest += reference.len().max(prediction.len());
        self.reference += reference.len();
        self.prediction += prediction.len();
    }

    fn jiwer(&self, measure: Measure) -> f64 {
        let of_reference = |count: usize| count as f64 / self.reference as f64;
        let preserved = match (self.reference, self.prediction) {
            (0, 0) => 1.0,
            (0, _) | (_, 0) => 0.0,
            (_, words) => of_reference(self.hits) * (self.hits as f64 / words as f64),
        };
        match measure {
            Measure::Cer | Measure::Wer if self.reference == 0 => self.errors as f64,
            Measure::Cer | Measure::Wer => of_reference(self.errors),
            Measure::Mer if self.errors == 0 => 0.0,
            Measure::Mer => self.errors as f64 / (self.hits + self.errors) as f64,
            Measure::Wil => 1.0 - preserved,
            Measure::Wip => preserved,
        }
    }

    fn torchmetrics(&self, measure: Measure) -> f64 {
        let errors = self.errors as f64;
        let hits = self.longest as f64 - errors;
        let preserved = hits / self.reference as f64 * (hits / self.prediction as f64);
        match measure {
            Measure::Cer | Measure::Wer => errors / self.reference as f64,
            Measure::Mer => errors / self.longest as f64,
            Measure::Wil => 1.0 - preserved,
            Measure::Wip => preserved,
        }
    }
}

/// The edit distance and the hits of one best alignment. Several alignments can be best and differ
/// in hits; this is the one that rapidfuzz, under jiwer, finds: read from the end, a deletion comes
/// before an insertion, and that before a pair.
fn align<T: PartialEq>(reference: &[T], prediction: &[T]) -> (usize, usize) {
    let same = |(a, b): &(&T, &T)| a == b;
    let prefix = reference.iter().zip(prediction).take_while(same).count();
    let (reference, prediction) = (&reference[prefix..], &prediction[prefix..]);
    let suffix = reference.iter().rev().zip(prediction.iter().rev()).take_while(same).count();
    let reference = &reference[..reference.len() - suffix];
    let prediction = &prediction[..prediction.len() - suffix];

    // Cells are (distance, hits) of a prefix of the prediction against each prefix of the
    // reference.
    let mut above: Vec<(usize, usize)> = (0..=reference.len()).map(|length| (length, 0)).collect();
    let mut row = above.clone();
    for (done, predicted) in prediction.iter().enumerate() {
        row[0] = (done + 1, 0);
        for (at, wanted) in reference.iter().enumerate() {
            let (diagonal, up, left) = (above[at], above[at + 1], row[at]);
            let paired = diagonal.0 + usize::from(wanted != predicted);
            let distance = paired.min(up.0 + 1).min(left.0 + 1);
            let hits = if distance == left.0 + 1 {
                left.1
            } else if done > 0 && up.0 + 1 == diagonal.0 {
                up.1
            } else {
                diagonal.1 + usize::from(wanted == predicted)
            };
            row[at + 1] = (distance, hits);
        }
        std::mem::swap(&mut above, &mut row);
    }
    let (distance, hits) = above[reference.len()];
    (distance, hits + prefix + suffix)
}

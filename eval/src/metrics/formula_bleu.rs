//! BLEU of recognised formulas over a whole set, as in Hugging Face's `evaluate` (which takes it from
//! TensorFlow's NMT), and as OmniDocBench (Ouyang et al. 2024) calls that.

use super::{Item, MetricInfo, ScoreError};
use crate::text::ngrams::{Matches, ORDER};
use crate::text::tokenize::tokens_13a;
use serde_json::{Value, json};

pub(super) const METRICS: &[MetricInfo] = &[
    info("hf_evaluate", |item| of_item(&item.prediction_texts()?, &item.reference_texts()?)),
    // OmniDocBench hands over what is wanted as what is predicted.
    info("omnidocbench_argument_order", |item| {
        of_item(&item.reference_texts()?, &item.prediction_texts()?)
    }),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "formula_bleu",
        variant,
        summary: "BLEU of formulas over a whole set",
        score,
    }
}

fn of_item(predictions: &[&str], references: &[&str]) -> Result<Value, ScoreError> {
    let bleu = score(predictions, references)
        .ok_or(ScoreError::Undefined("lists of different lengths, or a side without words"))?;
    Ok(json!({
        "bleu": bleu.bleu,
        "precisions": bleu.precisions,
        "brevity_penalty": bleu.brevity_penalty,
        "length_ratio": bleu.length_ratio,
    }))
}

/// BLEU and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bleu {
    /// The geometric mean of the precisions times the penalty, 0 to 1; 0 where a precision is.
    pub bleu: f64,
    /// The share of n-grams that the references have too, from single tokens to four.
    pub precisions: [f64; ORDER],
    /// What predictions that are too short lose, 0 to 1.
    pub brevity_penalty: f64,
    /// Tokens predicted over tokens wanted.
    pub length_ratio: f64,
}

/// BLEU of all predictions, each against the reference at its place. `None` where the reference
/// scorer raises: the lists differ in length, or one side has no tokens at all.
pub fn score(predictions: &[&str], references: &[&str]) -> Option<Bleu> {
    let mut all = Matches::default();
    for (prediction, reference) in predictions.iter().zip(references) {
        all.add(&Matches::of(&tokens_13a(prediction), &[tokens_13a(reference)]));
    }
    if predictions.len() != references.len() || all.length == 0 || all.reference_length == 0 {
        return None;
    }
    let precision = |n: usize| all.correct[n] as f64 / all.total[n].max(1) as f64;
    let precisions: [f64; ORDER] = std::array::from_fn(precision);
    let mean = precisions.iter().map(|precision| precision.ln()).sum::<f64>() / ORDER as f64;
    let brevity_penalty = all.brevity_penalty();
    Some(Bleu {
        // The logarithm of 0 makes the whole 0, as it should be.
        bleu: mean.exp() * brevity_penalty,
        precisions,
        brevity_penalty,
        length_ratio: all.length as f64 / all.reference_length as f64,
    })
}

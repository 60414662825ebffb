//! Captions over a whole set, as in COCO's evaluation (Chen et al. 2015) and its port
//! `pycocoevalcap`: BLEU-1 to -4, ROUGE-L and CIDEr (Vedantam et al. 2015).
//!
//! Its METEOR and SPICE are Java programs with data of their own, and not supported.

use super::{Item, MetricInfo, ScoreError};
use crate::text::common_lengths;
use crate::text::ngrams::{Matches, ORDER, ngrams};
use crate::text::ptb::caption_words;
use crate::text::tokenize::words;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "caption_corpus",
    variant: "pycocoevalcap_ptb",
    summary: "BLEU-1 to -4, ROUGE-L and CIDEr of captions over a whole set",
    score: of_item,
}];

/// Of an item with a list of captions, and a list of references for each.
fn of_item(item: &Item) -> Result<Value, ScoreError> {
    let expected = "a list with a list of texts for each prediction";
    let wrong_form = ScoreError::WrongForm { field: "references", expected };
    let references = item.references.as_array().and_then(|all| all.iter().map(tokenised).collect());
    let references: Vec<Vec<String>> = references.ok_or(wrong_form.clone())?;
    let captions: Vec<String> =
        item.prediction_texts()?.iter().map(|caption| caption_words(&one_line(caption))).collect();
    if captions.len() != references.len() || references.iter().any(Vec::is_empty) {
        return Err(wrong_form);
    }
    let bleu = bleu(&captions, &references);
    let cider = cider(&captions, &references);
    Ok(json!({
        "bleu": bleu,
        "rouge_l": mean(&rouge_l(&captions, &references)),
        "cider": mean(&cider),
        "cider_per_image": cider,
        "ptb_prediction": captions,
        "ptb_references": references,
    }))
}

fn tokenised(references: &Value) -> Option<Vec<String>> {
    let references = references.as_array()?.iter();
    references.map(|text| Some(caption_words(&one_line(text.as_str()?)))).collect()
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len() as f64
}

/// BLEU-1 to -4, 0 to 1, of tokenised captions, each against its references. The reference scorer
/// adds tiny numbers so that it never divides by zero.
pub fn bleu(captions: &[String], references: &[Vec<String>]) -> [f64; ORDER] {
    let mut all = Matches::default();
    for (caption, references) in captions.iter().zip(references) {
        all.add(&matches(caption, references));
    }
    bleu_of(&all)
}

fn matches(caption: &str, references: &[String]) -> Matches {
    let references: Vec<_> = references.iter().map(|reference| words(reference)).collect();
    Matches::of(&words(caption), &references)
}

/// What [`bleu`] adds up over its captions, of one that is not tokenised yet: n-grams of each order
/// that are right, and that there are; the words of the caption, and of the nearest reference.
pub(crate) fn sums(caption: &str, references: &[String]) -> Vec<f64> {
    let tokens = |text: &str| caption_words(&one_line(text));
    let references: Vec<String> = references.iter().map(|text| tokens(text)).collect();
    let matches = matches(&tokens(caption), &references);
    let counts = [matches.correct, matches.total].concat().into_iter();
    counts.chain([matches.length, matches.reference_length]).map(|count| count as f64).collect()
}

/// BLEU-1 to -4 of added up [`sums`].
pub(crate) fn bleu_of_sums(sums: &[f64]) -> [f64; ORDER] {
    let count = |at: usize| sums.get(at).map_or(0, |&sum| sum as usize);
    bleu_of(&Matches {
        correct: std::array::from_fn(count),
        total: std::array::from_fn(|n| count(ORDER + n)),
        length: count(2 * ORDER),
        reference_length: count(2 * ORDER + 1),
    })
}

fn bleu_of(all: &Matches) -> [f64; ORDER] {
    const TINY: f64 = 1e-15;
    const SMALL: f64 = 1e-9;
    let ratio = (all.length as f64 + TINY) / (all.reference_length as f64 + SMALL);
    let penalty = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
    let mut product = 1.0;
    std::array::from_fn(|n| {
        product *= (all.correct[n] as f64 + TINY) / (all.total[n] as f64 + SMALL);
        f64::powf(product, 1.0 / (n + 1) as f64) * penalty
    })
}

/// ROUGE-L, 0 to 1, of each tokenised caption: the F-score, recall counting 1.2 times, of the best
/// precision and the best recall over its references.
pub fn rouge_l(captions: &[String], references: &[Vec<String>]) -> Vec<f64> {
    const BETA: f64 = 1.2;
    let score = |(caption, references): (&String, &Vec<String>)| {
        // An empty caption has one word, which is empty.
        let found: Vec<&str> = caption.split(' ').collect();
        let (mut precision, mut recall) = (0.0_f64, 0.0_f64);
        for reference in references {
            let wanted: Vec<&str> = reference.split(' ').collect();
            let common = common_lengths(&wanted, &found)[wanted.len()][found.len()] as f64;
            precision = precision.max(common / found.len() as f64);
            recall = recall.max(common / wanted.len() as f64);
        }
        if precision == 0.0 || recall == 0.0 {
            return 0.0;
        }
        (1.0 + BETA * BETA) * precision * recall / (recall + BETA * BETA * precision)
    };
    captions.iter().zip(references).map(score).collect()
}

/// The weight of each n-gram of one order in a caption, in an order that is always the same so that
/// sums are, and the length of the whole.
struct Weights<'a> {
    weights: BTreeMap<&'a [String], f64>,
    norm: f64,
}

/// How many images have an n-gram in a reference.
type ImageCounts<'a> = HashMap<&'a [String], f64>;

/// CIDEr, 0 to 10, of each tokenised caption: the similarity of n-grams of one to four words,
/// weighted by how rare they are in the references of the given set, with a penalty for captions
/// that are longer or shorter. A set of one image has 0.
pub fn cider(captions: &[String], references: &[Vec<String>]) -> Vec<f64> {
    let captions: Vec<_> = captions.iter().map(|caption| words(caption)).collect();
    let references: Vec<Vec<_>> = references
        .iter()
        .map(|references| references.iter().map(|reference| words(reference)).collect())
        .collect();
    let mut images = ImageCounts::new();
    for references in &references {
        let mut seen: Vec<&[String]> = (1..=ORDER)
            .flat_map(|n| references.iter().flat_map(move |reference| reference.windows(n)))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen.into_iter().for_each(|ngram| *images.entry(ngram).or_default() += 1.0);
    }
    let all = (references.len() as f64).ln();
    let score = |(caption, references): (&Vec<String>, &Vec<Vec<String>>)| {
        let similarities =
            references.iter().map(|reference| similarity(caption, reference, &images, all));
        // The sum of nothing is −0, which would be printed so.
        10.0 * similarities.sum::<f64>() / (ORDER * references.len()) as f64 + 0.0
    };
    captions.iter().zip(&references).map(score).collect()
}

/// The similarities of each order, added up.
fn similarity(caption: &[String], reference: &[String], images: &ImageCounts<'_>, all: f64) -> f64 {
    const SIGMA: f64 = 6.0;
    // Lengths are counted in pairs of words.
    let difference =
        caption.len().saturating_sub(1) as f64 - reference.len().saturating_sub(1) as f64;
    let penalty = (-difference * difference / (2.0 * SIGMA * SIGMA)).exp();
    let of_order = |n: usize| {
        let (found, wanted) =
            (weighted(caption, n, images, all), weighted(reference, n, images, all));
        let common = found.weights.iter().filter_map(|(ngram, weight)| {
            let wanted = wanted.weights.get(ngram)?;
            Some(weight.min(*wanted) * wanted)
        });
        let common: f64 = common.sum();
        let norms = found.norm * wanted.norm;
        if norms == 0.0 { common } else { common / norms }
    };
    (1..=ORDER).map(of_order).sum::<f64>() * penalty
}

fn weighted<'a>(words: &'a [String], n: usize, images: &ImageCounts<'_>, all: f64) -> Weights<'a> {
    let weight = |(ngram, count): (&'a [String], usize)| {
        let images = images.get(ngram).copied().unwrap_or(0.0).max(1.0);
        (ngram, count as f64 * (all - images.ln()))
    };
    let weights: BTreeMap<_, _> = ngrams(words, n).into_iter().map(weight).collect();
    let norm = weights.values().map(|weight| weight * weight).sum::<f64>().sqrt();
    Weights { weights, norm }
}

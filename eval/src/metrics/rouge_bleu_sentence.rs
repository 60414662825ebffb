//! Sentences against references: ROUGE (Lin 2004) as in `rouge-score`, BLEU (Papineni et al. 2002)
//! and chrF (Popović 2015) as in `sacrebleu`, and BLEU as in `nltk`.

use super::{Item, MetricInfo, ScoreError};
use crate::python::is_space;
use crate::text::common_lengths;
use crate::text::ngrams::{Matches, ORDER, ngrams};
use crate::text::porter::stem;
use crate::text::tokenize::{tokens_13a, tokens_zh, words};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

pub(super) const METRICS: &[MetricInfo] = &[
    info("rouge_score", |item| of_rouge(item, false, &["rouge1", "rouge2", "rougeL", "rougeLsum"])),
    info("rouge_score_stemmed", |item| of_rouge(item, true, &["rouge1", "rouge2", "rougeL"])),
    info("sacrebleu_sentence_default", |item| {
        of_texts(item, |prediction, references| bleu(prediction, references, tokens_13a))
    }),
    info("sacrebleu_sentence_zh", |item| {
        of_texts(item, |prediction, references| bleu(prediction, references, tokens_zh))
    }),
    info("sacrebleu_chrf", |item| of_texts(item, chrf)),
    info("nltk_sentence_bleu_whitespace", |item| of_texts(item, nltk_bleu)),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "rouge_bleu_sentence",
        variant,
        summary: "words, n-grams or characters in common with the references",
        score,
    }
}

const NO_REFERENCES: ScoreError = ScoreError::Undefined("no references");

fn of_texts(item: &Item, score: fn(&str, &[&str]) -> f64) -> Result<Value, ScoreError> {
    match item.reference_texts()?[..] {
        [] => Err(NO_REFERENCES),
        ref references => Ok(score(item.text()?, references).into()),
    }
}

fn of_rouge(item: &Item, stemmed: bool, kinds: &[&str]) -> Result<Value, ScoreError> {
    let scores = rouge(item.text()?, &item.reference_texts()?, stemmed).ok_or(NO_REFERENCES)?;
    let named = ["rouge1", "rouge2", "rougeL", "rougeLsum"].into_iter().zip(scores);
    let wanted = named.filter(|(name, _)| kinds.contains(name));
    let object: Map<String, Value> = wanted
        .map(|(name, score)| {
            (name.to_owned(), json!({"p": score.precision, "r": score.recall, "f": score.f1}))
        })
        .collect();
    Ok(object.into())
}

/// One of ROUGE's measures; each part 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rouge {
    /// The share of the prediction that is in common.
    pub precision: f64,
    /// The share of the reference that is in common.
    pub recall: f64,
    /// The harmonic mean of both; 0 where both are.
    pub f1: f64,
}

impl Rouge {
    fn of(common: usize, predicted: usize, wanted: usize) -> Self {
        let share = |of: usize| common as f64 / of.max(1) as f64;
        let (precision, recall) = (share(predicted), share(wanted));
        let f1 = match common {
            0 => 0.0,
            _ => 2.0 * precision * recall / (precision + recall),
        };
        Self { precision, recall, f1 }
    }
}

/// ROUGE-1, -2, -L and -Lsum, each of the reference with the best F1. Words are runs of ASCII
/// letters and digits, so that other scripts score 0; `stemmed` cuts those of more than three
/// letters to their stems. `None` without references.
pub fn rouge(prediction: &str, references: &[&str], stemmed: bool) -> Option<[Rouge; 4]> {
    let all = references.iter().map(|reference| rouge_of_pair(prediction, reference, stemmed));
    all.reduce(|best, next| {
        std::array::from_fn(
            |kind| if next[kind].f1 > best[kind].f1 { next[kind] } else { best[kind] },
        )
    })
}

fn rouge_of_pair(prediction: &str, reference: &str, stemmed: bool) -> [Rouge; 4] {
    let lines = |text: &str| -> Vec<Vec<String>> {
        let lines = text.split('\n').filter(|line| !line.is_empty());
        lines.map(|line| rouge_words(line, stemmed)).collect()
    };
    let (found, wanted) = (rouge_words(prediction, stemmed), rouge_words(reference, stemmed));
    let of_ngrams = |n: usize| {
        let (found, wanted) = (ngrams(&found, n), ngrams(&wanted, n));
        let common = wanted.iter().filter_map(|(ngram, count)| Some(*found.get(ngram)?.min(count)));
        Rouge::of(common.sum(), found.values().sum(), wanted.values().sum())
    };
    let longest = common_lengths(&wanted, &found)[wanted.len()][found.len()];
    [
        of_ngrams(1),
        of_ngrams(2),
        Rouge::of(longest, found.len(), wanted.len()),
        rouge_of_lines(&lines(prediction), &lines(reference)),
    ]
}

fn rouge_words(text: &str, stemmed: bool) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words =
        words.map(|word| if stemmed && word.len() > 3 { stem(word) } else { word.to_owned() });
    words.filter(|word| !word.is_empty()).collect()
}

/// ROUGE-Lsum: for each line of the reference, the words that are in a longest common subsequence
/// with any line of the prediction, none counted more often than it occurs.
fn rouge_of_lines(found: &[Vec<String>], wanted: &[Vec<String>]) -> Rouge {
    let counts = |lines: &[Vec<String>]| {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in lines.iter().flatten() {
            *counts.entry(word.clone()).or_default() += 1;
        }
        counts
    };
    let (mut left_found, mut left_wanted) = (counts(found), counts(wanted));
    let mut hits = 0;
    for line in wanted {
        let mut common = vec![false; line.len()];
        for other in found {
            mark_common(line, other, &mut common);
        }
        for word in line.iter().zip(common).filter(|(_, common)| *common).map(|(word, _)| word) {
            if let (Some(found @ 1..), Some(wanted @ 1..)) =
                (left_found.get_mut(word), left_wanted.get_mut(word))
            {
                *found -= 1;
                *wanted -= 1;
                hits += 1;
            }
        }
    }
    Rouge::of(hits, found.iter().map(Vec::len).sum(), wanted.iter().map(Vec::len).sum())
}

/// Marks the words of a line that the longest common subsequence holds which the reference finds.
fn mark_common(line: &[String], other: &[String], common: &mut [bool]) {
    let lengths = common_lengths(line, other);
    let (mut i, mut j) = (line.len(), other.len());
    while i > 0 && j > 0 {
        if line[i - 1] == other[j - 1] {
            common[i - 1] = true;
            i -= 1;
            j -= 1;
        } else if lengths[i][j - 1] > lengths[i - 1][j] {
            j -= 1;
        } else {
            i -= 1;
        }
    }
}

/// sacreBLEU of one sentence, 0 to 100: an order without matches counts half as much as the one
/// before would with one match, and orders longer than the sentence do not count.
pub fn bleu(prediction: &str, references: &[&str], tokenize: fn(&str) -> Vec<String>) -> f64 {
    let tokens = |text: &&str| tokenize(text.trim_end_matches(is_space));
    let references: Vec<_> = references.iter().map(tokens).collect();
    let matches = Matches::of(&tokens(&prediction), &references);
    if matches.correct == [0; ORDER] {
        return 0.0;
    }
    let orders = matches.total.iter().take_while(|&&total| total > 0).count();
    let mut smoothing = 1.0;
    let mut logarithms = 0.0;
    for (&correct, &total) in matches.correct.iter().zip(&matches.total).take(orders) {
        let precision = match correct {
            0 => {
                smoothing *= 2.0;
                100.0 / (smoothing * total as f64)
            }
            _ => 100.0 * correct as f64 / total as f64,
        };
        logarithms += precision.ln();
    }
    matches.brevity_penalty() * (logarithms / orders as f64).exp()
}

/// nltk's BLEU of one sentence, 0 to 1, of words between white space, without smoothing.
pub fn nltk_bleu(prediction: &str, references: &[&str]) -> f64 {
    let references: Vec<_> = references.iter().map(|reference| words(reference)).collect();
    Matches::of(&words(prediction), &references).bleu_nltk()
}

/// The longest runs of characters in chrF.
const CHARACTER_ORDER: usize = 6;

/// chrF of one sentence, 0 to 100, of the best reference: the F-score, recall counting twice, of the
/// mean precision and recall of runs of one to six characters, white space aside.
pub fn chrf(prediction: &str, references: &[&str]) -> f64 {
    let characters = |text: &str| text.chars().filter(|&c| !is_space(c)).collect::<Vec<char>>();
    let found = characters(prediction);
    let scores = references.iter().map(|reference| chrf_of_pair(&found, &characters(reference)));
    scores.fold(0.0, f64::max)
}

fn chrf_of_pair(found: &[char], wanted: &[char]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for n in 1..=CHARACTER_ORDER.min(found.len()).min(wanted.len()) {
        let (found, wanted) = (ngrams(found, n), ngrams(wanted, n));
        let common = found.iter().filter_map(|(ngram, count)| Some(*wanted.get(ngram)?.min(count)));
        let common = common.sum::<usize>() as f64;
        precision += common / found.values().sum::<usize>() as f64;
        recall += common / wanted.values().sum::<usize>() as f64;
        orders += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    100.0 * 5.0 * precision * recall / (4.0 * precision + recall)
}

//! Counts of n-grams, and BLEU from them (Papineni et al. 2002).

use std::collections::HashMap;
use std::hash::Hash;

/// The longest n-grams of BLEU.
pub(crate) const ORDER: usize = 4;

/// How often each run of `n` items occurs.
pub(crate) fn ngrams<T: Eq + Hash>(items: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    for ngram in items.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// What BLEU needs of a candidate and its references; sums over a corpus by [`Matches::add`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Matches {
    /// N-grams of each order that a reference has too, none more often than the reference that has
    /// it most.
    pub(crate) correct: [usize; ORDER],
    /// N-grams of each order in the candidate.
    pub(crate) total: [usize; ORDER],
    /// Words in the candidate.
    pub(crate) length: usize,
    /// Words in the reference of the nearest length, the shorter of two.
    pub(crate) reference_length: usize,
}

impl Matches {
    pub(crate) fn of<T: Eq + Hash>(candidate: &[T], references: &[Vec<T>]) -> Self {
        let nearest =
            references.iter().map(Vec::len).min_by_key(|&l| (l.abs_diff(candidate.len()), l));
        let mut matches = Self {
            length: candidate.len(),
            reference_length: nearest.unwrap_or(0),
            ..Self::default()
        };
        for n in 1..=ORDER {
            let references: Vec<_> =
                references.iter().map(|reference| ngrams(reference, n)).collect();
            for (ngram, count) in ngrams(candidate, n) {
                let most = references.iter().filter_map(|counts| counts.get(ngram)).max();
                matches.total[n - 1] += count;
                matches.correct[n - 1] += count.min(most.copied().unwrap_or(0));
            }
        }
        matches
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for n in 0..ORDER {
            self.correct[n] += other.correct[n];
            self.total[n] += other.total[n];
        }
        self.length += other.length;
        self.reference_length += other.reference_length;
    }

    /// BLEU of nltk without smoothing, 0 to 1: an order without matches counts as the least number
    /// there is.
    pub(crate) fn bleu_nltk(&self) -> f64 {
        if self.correct[0] == 0 {
            return 0.0;
        }
        let logarithm = |n: usize| match self.correct[n] {
            0 => f64::MIN_POSITIVE.ln(),
            correct => (correct as f64 / self.total[n].max(1) as f64).ln(),
        };
        let mean = (0..ORDER).map(logarithm).sum::<f64>() / ORDER as f64;
        self.brevity_penalty() * mean.exp()
    }

    /// exp(1 − r ÷ c) for a candidate of length c shorter than its reference's r, else 1.
    pub(crate) fn brevity_penalty(&self) -> f64 {
        match (self.length, self.reference_length) {
            (length, reference) if length >= reference => 1.0,
            (0, _) => 0.0,
            (length, reference) => (1.0 - reference as f64 / length as f64).exp(),
        }
    }
}

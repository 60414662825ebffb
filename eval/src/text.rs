//! Words, stems and n-grams, as the measures of text count them.

pub(crate) mod jieba;
pub(crate) mod meteor;
pub(crate) mod ngrams;
pub(crate) mod porter;
pub(crate) mod ptb;
pub(crate) mod tokenize;
mod wordnet;

use rapidfuzz::distance::levenshtein;

/// Levenshtein's distance in code points.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    match a.is_ascii() && b.is_ascii() {
        _ if a == b => 0,
        true => levenshtein::distance(a.bytes(), b.bytes()),
        false => levenshtein::distance(a.chars(), b.chars()),
    }
}

/// The length of the longest common subsequence for each pair of prefixes: `[i][j]` of the first `i`
/// items of `a` and the first `j` of `b`.
pub(crate) fn common_lengths<T: PartialEq>(a: &[T], b: &[T]) -> Vec<Vec<usize>> {
    let mut lengths = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            lengths[i + 1][j + 1] =
                if x == y { lengths[i][j] + 1 } else { lengths[i][j + 1].max(lengths[i + 1][j]) };
        }
    }
    lengths
}

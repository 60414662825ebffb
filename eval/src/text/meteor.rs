//! METEOR (Banerjee and Lavie 2005; Lavie and Agarwal 2007), as in nltk: words match as they are, by
//! stem, or as synonyms.

use super::porter::stem;
use super::wordnet::synonyms;
use std::collections::HashMap;

/// METEOR, 0 to 1, of the words of a candidate against those of one reference; 0 without matches.
pub(crate) fn meteor(candidate: &[String], reference: &[String]) -> f64 {
    const ALPHA: f64 = 0.9;
    const BETA: f64 = 3.0;
    const GAMMA: f64 = 0.5;
    let matches = aligned(candidate, reference);
    if matches.is_empty() {
        return 0.0;
    }
    let count = matches.len() as f64;
    let (precision, recall) = (count / candidate.len() as f64, count / reference.len() as f64);
    let mean = precision * recall / (ALPHA * precision + (1.0 - ALPHA) * recall);
    let next = |pair: &[(usize, usize)]| pair[1] == (pair[0].0 + 1, pair[0].1 + 1);
    let chunks = 1 + matches.windows(2).filter(|pair| !next(pair)).count();
    let penalty = GAMMA * (chunks as f64 / count).powf(BETA);
    (1.0 - penalty) * mean
}

/// A word and its place.
type Place = (usize, String);

/// Which word of the candidate goes with which of the reference, in the candidate's order.
fn aligned(candidate: &[String], reference: &[String]) -> Vec<(usize, usize)> {
    let lower = |words: &[String]| -> Vec<Place> {
        words.iter().map(|word| word.to_lowercase()).enumerate().collect()
    };
    let stems = |words: Vec<Place>| -> Vec<Place> {
        words.into_iter().map(|(at, word)| (at, stem(&word))).collect()
    };
    let (mut found, mut wanted) = (lower(candidate), lower(reference));
    let mut matches = Vec::new();
    pair_up(&mut found, &mut wanted, &mut matches, |word| vec![word.to_owned()]);
    (found, wanted) = (stems(found), stems(wanted));
    pair_up(&mut found, &mut wanted, &mut matches, |word| vec![word.to_owned()]);
    // What is left are stems: it is those that are looked up.
    pair_up(&mut found, &mut wanted, &mut matches, |word| synonyms(word).into_iter().collect());
    matches.sort_unstable();
    matches
}

/// Takes out the words that match: from the last on, each with the last word of the reference that
/// is left and equals it or one of its alternatives.
fn pair_up(
    found: &mut Vec<Place>,
    wanted: &mut Vec<Place>,
    matches: &mut Vec<(usize, usize)>,
    alternatives: impl Fn(&str) -> Vec<String>,
) {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, word) in wanted.iter() {
        places.entry(word).or_default().push(*at);
    }
    let (mut taken_found, mut taken_wanted) = (Vec::new(), Vec::new());
    for (at, word) in found.iter().rev() {
        let last = |word: &String| Some((*places.get(word.as_str())?.last()?, word.clone()));
        if let Some((place, word)) = alternatives(word).iter().filter_map(last).max() {
            places.get_mut(word.as_str()).and_then(Vec::pop);
            taken_found.push(*at);
            taken_wanted.push(place);
            matches.push((*at, place));
        }
    }
    found.retain(|(at, _)| !taken_found.contains(at));
    wanted.retain(|(at, _)| !taken_wanted.contains(at));
}

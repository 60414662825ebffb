//! Synonyms, from WordNet 3.0 (Miller 1995), looked up as NLTK does; but for words that are several
//! joined by `_`, such as `new_york`, which are not in the data.

use flate2::read::GzDecoder;
use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::sync::LazyLock;

/// The words, all without blanks, of every synset that a word or a base form of it is in, and the
/// word itself.
pub(crate) fn synonyms(word: &str) -> BTreeSet<String> {
    let word = word.to_lowercase();
    let mut found = BTreeSet::new();
    for part in PARTS.iter() {
        for form in part.base_forms(&word) {
            for &synset in part.synsets_of.get(&form).into_iter().flatten() {
                found.extend(synset.split(' ').map(str::to_owned));
            }
        }
    }
    found.insert(word);
    found
}

/// The words of one part of speech.
struct Part {
    /// The lines that a word, in small letters, occurs in.
    synsets_of: HashMap<String, Vec<&'static str>>,
    /// The base forms of irregular ones.
    exceptions: HashMap<&'static str, &'static str>,
    /// Endings, and what base forms have instead.
    endings: &'static [(&'static str, &'static str)],
}

impl Part {
    /// The word, where it is one of this part, and its base forms.
    fn base_forms(&self, word: &str) -> BTreeSet<String> {
        let mut forms = BTreeSet::from([word.to_owned()]);
        match self.exceptions.get(word) {
            Some(bases) => forms.extend(bases.split(' ').map(str::to_owned)),
            None => forms.extend(self.endings.iter().filter_map(|(ending, instead)| {
                Some(format!("{}{instead}", word.strip_suffix(ending)?))
            })),
        }
        forms
    }
}

const ENDINGS: [&[(&str, &str)]; 4] = [
    &[
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ],
    &[
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ],
    &[("er", ""), ("est", ""), ("er", "e"), ("est", "e")],
    &[],
];

/// Packed by `examples/pack_wordnet.rs`, which says how.
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let packed: &[u8] = include_bytes!("../../data/wordnet-3.0.gz");
    let mut text = String::new();
    // A part of the program that cannot be read leaves METEOR without synonyms.
    let read = GzDecoder::new(packed).read_to_string(&mut text);
    if read.is_ok() { text } else { String::new() }
});

/// Nouns, verbs, adjectives and adverbs.
static PARTS: LazyLock<Vec<Part>> = LazyLock::new(|| {
    let mut lines = TEXT.lines();
    let parts = ENDINGS.into_iter().map(|endings| {
        let mut synsets_of: HashMap<String, Vec<&str>> = HashMap::new();
        for synset in lines.by_ref().take_while(|line| !line.is_empty()) {
            for word in synset.split(' ') {
                synsets_of.entry(word.to_lowercase()).or_default().push(synset);
            }
        }
        let exceptions = lines.by_ref().take_while(|line| !line.is_empty());
        let exceptions = exceptions.filter_map(|line| line.split_once(' ')).collect();
        Part { synsets_of, exceptions, endings }
    });
    parts.collect()
});

#[cfg(test)]
mod tests {
    use super::synonyms;

    #[test]
    fn synonyms_are_those_that_nltk_finds() {
        // Checked against nltk 3.10.4 with WordNet 3.0.
        let found = |word| synonyms(word).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(found("mice"), "mice mouse shiner");
        assert_eq!(found("begin"), "Begin begin commence get start");
        assert_eq!(found("xyzzy"), "xyzzy");
    }
}

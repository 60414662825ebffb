//! Words of Chinese text, as jieba 0.42.1 cuts them.

use crate::python::is_decimal;
use jieba_rs::Jieba;
use std::sync::LazyLock;

/// `jieba.lcut(text)`.
pub(crate) fn cut(text: &str) -> Vec<String> {
    static JIEBA: LazyLock<Jieba> = LazyLock::new(Jieba::new);
    let is_chinese = |c: char| ('\u{4e00}'..='\u{9fd5}').contains(&c);
    let mut words = Vec::new();
    for token in JIEBA.cut(text, true) {
        // The crate keeps marks within words of other scripts, which jieba does not.
        match token.word.chars().any(is_chinese) || JIEBA.has_word(token.word) {
            true => words.push(token.word.to_owned()),
            false => split_marks(token.word, &mut words),
        }
    }
    words
}

/// Parts at each `[a-zA-Z0-9]+(?:\.\d+)?%?`.
fn split_marks(token: &str, into: &mut Vec<String>) {
    let mut rest = token;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (marks, word) = rest.split_at(start);
        let after = |text: &str, goes_on: fn(char) -> bool| {
            text.find(|c| !goes_on(c)).unwrap_or(text.len())
        };
        let mut end = after(word, |c| c.is_ascii_alphanumeric());
        if let Some(fraction) = word[end..].strip_prefix('.') {
            let digits = after(fraction, is_decimal);
            end += if digits > 0 { 1 + digits } else { 0 };
        }
        end += usize::from(word[end..].starts_with('%'));
        into.extend(
            [marks, &word[..end]].into_iter().filter(|part| !part.is_empty()).map(str::to_owned),
        );
        rest = &word[end..];
    }
    if !rest.is_empty() {
        into.push(rest.to_owned());
    }
}

//! The tokenisers of sacreBLEU (Post 2018).

use crate::python::{is_space, strip};

/// White space parts words.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(is_space).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// `13a`, which is mteval-v13a's: marks are words of their own, but for periods and commas within
/// numbers.
pub(crate) fn tokens_13a(text: &str) -> Vec<String> {
    let plain = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let plain = plain.replace("&quot;", "\"").replace("&amp;", "&");
    let plain = plain.replace("&lt;", "<").replace("&gt;", ">");
    words(&marks_apart(&format!(" {plain} ")))
}

/// `zh`: as [`tokens_13a`], with every Chinese character and full-width form a word of its own.
pub(crate) fn tokens_zh(text: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(text.len() * 2);
    for c in strip(text).chars() {
        if is_chinese(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    words(&marks_apart(&spaced))
}

/// The characters that `zh` takes for Chinese. Its range from U+20000 to U+2A6D6 is mistyped, as
/// U+2000 and a zero to U+2A6D and a six, so that dashes, arrows and the like are in it.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{2001}'..='\u{2a6d}'
        | '\u{2e80}'..='\u{2eff}'
        | '\u{2f00}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{303f}'
        | '\u{3100}'..='\u{312f}'
        | '\u{31a0}'..='\u{31bf}'
        | '\u{31c0}'..='\u{31ef}'
        | '\u{3200}'..='\u{33ff}'
        | '\u{3400}'..='\u{4db5}'
        | '\u{4e00}'..='\u{9fbb}'
        | '\u{f900}'..='\u{fa2d}'
        | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}'
        | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}'
    )
}

/// Puts blanks around marks.
fn marks_apart(text: &str) -> String {
    let is_mark = |c: char| c.is_ascii_punctuation() && !matches!(c, '\'' | ',' | '-' | '.');
    let mut spaced = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if is_mark(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    // Each rule passes over the text once, from left to right, and matches do not overlap.
    let period = |c: char| matches!(c, '.' | ',');
    let spaced = pairs(&spaced, |a, b| !a.is_ascii_digit() && period(b), |a, b| [a, ' ', b, ' ']);
    let spaced = pairs(&spaced, |a, b| period(a) && !b.is_ascii_digit(), |a, b| [' ', a, ' ', b]);
    pairs(&spaced, |a, b| a.is_ascii_digit() && b == '-', |a, b| [a, ' ', b, ' '])
}

/// Replaces each pair of characters that a rule takes.
fn pairs(
    text: &str,
    takes: impl Fn(char, char) -> bool,
    becomes: impl Fn(char, char) -> [char; 4],
) -> String {
    let mut replaced = String::with_capacity(text.len() * 2);
    let mut rest = text.chars();
    while let Some(a) = rest.next() {
        match rest.clone().next() {
            Some(b) if takes(a, b) => {
                replaced.extend(becomes(a, b));
                rest.next();
            }
            _ => replaced.push(a),
        }
    }
    replaced
}

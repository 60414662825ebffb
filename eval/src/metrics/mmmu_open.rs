//! MMMU's open questions (Yue et al. 2024), as in the official `eval_utils.py`: candidates are cut
//! out of the response, and one of them has to hold a reference.

use super::{Item, MetricInfo, ScoreError};
use crate::python::{float, float_repr, is_decimal, is_word, length, strip, text_repr};
use serde_json::Value;

pub(super) const METRICS: &[MetricInfo] = &[
    info("official", |item| {
        Ok(score(item.text()?, &item.reference_texts()?, Variant::Official).into())
    }),
    info("official.parsed_sorted", |item| {
        let mut written: Vec<String> = candidates(item.text()?).iter().map(Answer::repr).collect();
        written.sort_unstable();
        Ok(written.into())
    }),
    info("lmms_eval_0_7_3", |item| {
        Ok(score(item.text()?, &item.reference_texts()?, Variant::Official).into())
    }),
    info("lmms_eval_75571cfe", |item| {
        Ok(score(item.text()?, &item.reference_texts()?, Variant::LmmsEvalBroken).into())
    }),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "mmmu_open",
        variant,
        summary: "1 when an answer cut out of the response holds a reference",
        score,
    }
}

/// Whose definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// The official script, and lmms-eval from 0.7.3 on.
    Official,
    /// lmms-eval up to 0.7.2: one candidate is kept and searched character by character, so that
    /// nothing is ever found but an empty reference.
    LmmsEvalBroken,
}

/// A normalised answer.
#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Text(String),
    Number(f64),
}

impl Answer {
    fn repr(&self) -> String {
        match self {
            Self::Text(text) => text_repr(text),
            Self::Number(value) => float_repr(*value),
        }
    }
}

/// 1 when a candidate of the response holds the text of a reference, or is the same number; else 0.
pub fn score(response: &str, references: &[&str], variant: Variant) -> f64 {
    let wanted: Vec<Answer> = references.iter().flat_map(|text| normalised(text)).collect();
    let holds = |candidate: &Answer| match (candidate, variant) {
        (Answer::Text(text), Variant::LmmsEvalBroken) => {
            !text.is_empty() && wanted.contains(&Answer::Text(String::new()))
        }
        (Answer::Number(_), Variant::LmmsEvalBroken) => {
            wanted.contains(&Answer::Text(String::new()))
        }
        (Answer::Text(text), Variant::Official) => wanted
            .iter()
            .any(|wanted| matches!(wanted, Answer::Text(wanted) if text.contains(wanted.as_str()))),
        (Answer::Number(_), Variant::Official) => wanted.contains(candidate),
    };
    f64::from(candidates(response).iter().any(holds))
}

/// A number, rounded to two decimal places, or a text in small letters. A single character is
/// wanted next to a blank, so that it is not found in any word.
fn normalised(text: &str) -> Vec<Answer> {
    let text = strip(text);
    if let Some(value) = float(&text.replace(',', "")) {
        return vec![Answer::Number(rounded(value))];
    }
    let text = text.to_lowercase();
    match length(&text) {
        1 => vec![Answer::Text(format!(" {text}")), Answer::Text(format!("{text} "))],
        _ => vec![Answer::Text(text)],
    }
}

/// `round(value, 2)`.
fn rounded(value: f64) -> f64 {
    if value.is_finite() { format!("{value:.2}").parse().unwrap_or(value) } else { value }
}

/// The answers that a response may have meant: the tails of its lines and the numbers in them.
fn candidates(response: &str) -> Vec<Answer> {
    let tails = tails(response);
    let numbers: Vec<String> = tails.iter().flat_map(|tail| numbers(tail)).collect();
    let mut answers: Vec<Answer> = Vec::new();
    for answer in tails.iter().chain(&numbers).flat_map(|text| normalised(text)) {
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    answers
}

/// What an answer tends to follow.
const INDICATORS: [&str; 8] =
    ["could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result "];

/// The shortest tail of each line after an indicator, and of the last line after `=` too. The whole
/// response when there is none.
fn tails(response: &str) -> Vec<String> {
    let response = strip(response).trim_matches('.').to_lowercase();
    // The official expression also parts sentences, but at capitals, and there are none any more.
    let lines: Vec<&str> = response.split('\n').collect();
    let mut tails = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let equals = (at + 1 == lines.len()).then_some("=");
        let mut shortest = "";
        for indicator in INDICATORS.into_iter().chain(equals) {
            let Some((_, tail)) = line.rsplit_once(indicator) else { continue };
            let tail = strip(tail);
            if shortest.is_empty() || length(tail) < length(shortest) {
                shortest = tail;
            }
        }
        if !matches!(shortest, "" | ":" | "," | "." | "!" | "?" | ";" | "'") {
            tails.push(shortest.to_owned());
        }
    }
    if tails.is_empty() { vec![response] } else { tails }
}

/// The numbers in a text: first those with commas, then those with an exponent, then plain ones.
fn numbers(text: &str) -> Vec<String> {
    let text: Vec<char> = text.chars().collect();
    [with_commas, with_exponent, plain].into_iter().flat_map(|form| all(&text, form)).collect()
}

/// Where a form of number ends that starts at a place in a text.
type Form = fn(&[char], usize) -> Option<usize>;

/// All matches of `-?` and a form that do not overlap, as `re.findall` finds them.
fn all(text: &[char], form: Form) -> Vec<String> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        match form(text, start + usize::from(text[start] == '-')) {
            Some(end) => {
                found.push(text[start..end].iter().collect());
                start = end;
            }
            None => start += 1,
        }
    }
    found
}

/// The end of the digits that start at a place; `None` where there are none.
fn digits(text: &[char], start: usize) -> Option<usize> {
    let count = text.get(start..)?.iter().take_while(|&&c| is_decimal(c)).count();
    (count > 0).then_some(start + count)
}

fn is(text: &[char], at: usize, wanted: impl Fn(char) -> bool) -> bool {
    text.get(at).is_some_and(|&c| wanted(c))
}

/// `\b\d{1,3}(?:,\d{3})+\b`
fn with_commas(text: &[char], start: usize) -> Option<usize> {
    if start.checked_sub(1).is_some_and(|before| is(text, before, is_word)) {
        return None;
    }
    let mut end = digits(text, start).filter(|end| end - start <= 3)?;
    let mut whole = None;
    while is(text, end, |c| c == ',') && (1..=3).all(|more| is(text, end + more, is_decimal)) {
        end += 4;
        if !is(text, end, is_word) {
            whole = Some(end);
        }
    }
    whole
}

/// `\d+(?:\.\d+)?[eE][+-]?\d+`
fn with_exponent(text: &[char], start: usize) -> Option<usize> {
    let whole = digits(text, start)?;
    let fraction = if is(text, whole, |c| c == '.') { digits(text, whole + 1) } else { None };
    exponent(text, fraction.unwrap_or(whole))
}

/// `[eE][+-]?\d+`
fn exponent(text: &[char], start: usize) -> Option<usize> {
    if !is(text, start, |c| matches!(c, 'e' | 'E')) {
        return None;
    }
    digits(text, start + 1 + usize::from(is(text, start + 1, |c| matches!(c, '+' | '-'))))
}

/// `(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])`
fn plain(text: &[char], start: usize) -> Option<usize> {
    let whole = digits(text, start);
    let point = whole.unwrap_or(start);
    let fraction = if is(text, point, |c| c == '.') { digits(text, point + 1) } else { None };
    let whole = whole.filter(|&end| !is(text, end, is_word));
    let allowed = |&end: &usize| {
        exponent(text, end).is_none() && !is(text, end, |c| c == ',' || is_decimal(c))
    };
    fraction.filter(allowed).or(whole.filter(allowed))
}

//! The option that a response chooses, by the rule of each harness. Options have the letters `A`,
//! `B`, … in their order.

use super::{Item, MetricInfo, ScoreError};
use crate::python::{is_space, length, strip};
use regex::Regex;
use serde_json::{Map, Value};
use std::sync::LazyLock;

pub(super) const METRICS: &[MetricInfo] = &[
    info("mmmu_official", |item| of_item(item, mmmu, RANDOM.into())),
    info("lmms_eval_mmmu", |item| of_item(item, mmmu_lmms_eval, RANDOM.into())),
    info("vlmevalkit_can_infer", |item| of_item(item, vlmevalkit, false.into())),
    info("vlmevalkit_can_infer_option", |item| of_item(item, vlmevalkit_letter, false.into())),
    info("lmms_eval_mmbench_can_infer", |item| of_item(item, mmbench, false.into())),
    info("lmms_eval_seedbench", |item| Ok(seedbench(item.text()?).into())),
    info("lmms_eval_ai2d", |item| {
        let response = item.text()?;
        let right =
            |(letter, _): (char, _)| (letter.to_string(), ai2d_score(response, letter).into());
        let correct: Map<String, Value> = lettered(&options(item)?).map(right).collect();
        Ok(serde_json::json!({"filtered": ai2d(response), "correct": correct}))
    }),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "mcq_extract",
        variant,
        summary: "the letter of the option that a response chooses",
        score,
    }
}

/// What stands for the option that the reference would draw at random.
const RANDOM: &str = "__RANDOM__";

/// Of an item with `extra` as `{"options": [text, …]}`.
fn of_item(
    item: &Item,
    choose: fn(&str, &[&str]) -> Option<char>,
    otherwise: Value,
) -> Result<Value, ScoreError> {
    let letter = choose(item.text()?, &options(item)?);
    Ok(letter.map_or(otherwise, |letter| letter.to_string().into()))
}

fn options(item: &Item) -> Result<Vec<&str>, ScoreError> {
    let options = item.extra["options"].as_array();
    options
        .and_then(|options| options.iter().map(Value::as_str).collect())
        .ok_or(ScoreError::WrongForm { field: "extra.options", expected: "a list of texts" })
}

fn lettered<'a>(options: &'a [&'a str]) -> impl Iterator<Item = (char, &'a str)> + Clone {
    ('A'..='Z').zip(options.iter().copied())
}

/// MMMU's `parse_multi_choice_response`; `None` where it draws at random.
///
/// Letters in brackets count before letters between blanks, and in a response of more than five
/// words those before the options' texts; of several, the one that occurs last.
pub fn mmmu(response: &str, options: &[&str]) -> Option<char> {
    let response = padded(response);
    let forms: [fn(char) -> String; 2] = [in_brackets, between_blanks];
    let found = forms.into_iter().find_map(|form| last_letter(&response, options, form, form));
    found.or_else(|| last_option(&response, options))
}

/// lmms-eval's rule for MMMU, which takes a letter before a blank for one between blanks, even if
/// it ends a word, and then one before a dot.
pub fn mmmu_lmms_eval(response: &str, options: &[&str]) -> Option<char> {
    let response = padded(response);
    last_letter(&response, options, in_brackets, in_brackets)
        .or_else(|| last_letter(&response, options, |c| format!("{c} "), between_blanks))
        .or_else(|| last_letter(&response, options, |c| format!("{c}."), between_blanks))
        .or_else(|| last_option(&response, options))
}

fn in_brackets(letter: char) -> String {
    format!("({letter})")
}

fn between_blanks(letter: char) -> String {
    format!(" {letter} ")
}

fn padded(response: &str) -> String {
    let marks = [',', '.', '!', '?', ';', ':', '\''];
    let trimmed = marks.into_iter().fold(response, |text, mark| text.trim_matches(mark));
    format!(" {trimmed} ")
}

/// Of the letters that occur in one form, the one that occurs last in another.
fn last_letter(
    response: &str,
    options: &[&str],
    occurs: fn(char) -> String,
    looked_up: fn(char) -> String,
) -> Option<char> {
    let found = lettered(options).filter(|(letter, _)| response.contains(&occurs(*letter)));
    last(found.map(|(letter, _)| (letter, response.rfind(&looked_up(letter)))))
}

/// The option whose text occurs last, in a response of more than five words.
fn last_option(response: &str, options: &[&str]) -> Option<char> {
    if response.split(is_space).filter(|word| !word.is_empty()).count() <= 5 {
        return None;
    }
    let response = response.to_lowercase();
    let places = lettered(options).filter_map(|(letter, option)| {
        Some((letter, Some(response.rfind(&option.to_lowercase())?)))
    });
    last(places)
}

/// The letter with the latest place, the first of those that tie.
fn last(places: impl Iterator<Item = (char, Option<usize>)>) -> Option<char> {
    let later = |best: (char, _), next: (char, _)| if next.1 > best.1 { next } else { best };
    places.reduce(later).map(|(letter, _)| letter)
}

/// VLMEvalKit's `can_infer`: the letter, else the only option whose text occurs in the response.
/// `Z` is a refusal, `None` goes to the judge.
pub fn vlmevalkit(response: &str, options: &[&str]) -> Option<char> {
    let all: usize = options.iter().map(|option| length(option)).sum();
    vlmevalkit_letter(response, options).or_else(|| {
        let short = length(&response.to_lowercase()) <= 2 * all;
        short.then(|| only_option(response, options)).flatten()
    })
}

const REFUSALS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];

const NO_ANSWER: &str = "Failed to obtain answer via API";

/// VLMEvalKit's `can_infer_option`: the only letter that is a word of its own, one of the last
/// four, or the letter in "the answer is B".
pub fn vlmevalkit_letter(response: &str, options: &[&str]) -> Option<char> {
    static STATED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)answer[\s\x1c-\x1f]+is[\s\x1c-\x1f]+\**([ABCD])").ok());
    if response.contains(NO_ANSWER) {
        return None;
    }
    if REFUSALS.iter().any(|refusal| response.contains(refusal)) {
        return Some('Z');
    }
    let parts = |c: char| is_space(c) || ".()[],:;!*#{}".contains(c);
    let words: Vec<&str> = response.split(parts).filter(|word| !word.is_empty()).collect();
    let place = |letter: char| words.iter().position(|word| is_letter(word, letter));
    let places: Vec<(char, usize)> =
        lettered(options).filter_map(|(letter, _)| Some((letter, place(letter)?))).collect();
    match places[..] {
        [(letter, at)] if at + 5 > words.len() => return Some(letter),
        [] if place('Z').is_some() => return Some('Z'),
        _ => {}
    }
    let stated = STATED.as_ref()?.captures(response)?;
    let letter = stated.get(1)?.as_str().chars().next()?.to_ascii_uppercase();
    lettered(options).any(|(known, _)| known == letter).then_some(letter)
}

fn is_letter(word: &str, letter: char) -> bool {
    word.len() == 1 && word.starts_with(letter)
}

/// The only option whose text occurs in the response, in any case.
fn only_option(response: &str, options: &[&str]) -> Option<char> {
    let response = response.to_lowercase();
    let mut found = lettered(options).filter(|(_, text)| response.contains(&text.to_lowercase()));
    match (found.next(), found.next()) {
        (Some((letter, _)), None) => Some(letter),
        _ => None,
    }
}

/// lmms-eval's `can_infer` for MMBench: the only letter of A to E among the words, bare or with
/// marks around it, else the only option whose text occurs.
pub fn mmbench(response: &str, options: &[&str]) -> Option<char> {
    mmbench_letter(response).or_else(|| only_option(response, options))
}

fn mmbench_letter(response: &str) -> Option<char> {
    if response.contains(NO_ANSWER) {
        return None;
    }
    const FORMS: [(&str, &str); 12] = [
        ("", "."),
        ("", ","),
        ("", ":"),
        ("", ")"),
        ("", ")."),
        ("(", ")"),
        ("(", ")."),
        (":", ""),
        (":", ","),
        (":", "."),
        (":", ")"),
        (":", ")."),
    ];
    let words: Vec<&str> = response.split(is_space).filter(|word| !word.is_empty()).collect();
    let only = |(before, after): (&str, &str)| {
        let has = |letter: &char| {
            let core =
                |word: &&str| word.strip_prefix(before)?.strip_suffix(after).map(str::to_owned);
            words.iter().filter_map(core).any(|core| is_letter(&core, *letter))
        };
        let mut found = ('A'..='E').filter(has);
        match (found.next(), found.next()) {
            (Some(letter), None) => Some(letter),
            _ => None,
        }
    };
    // In a sentence, `A` is no letter but an article.
    let sentence = words.len() > 3 && words.contains(&"A");
    let bare = only(("", "")).filter(|_| !sentence);
    bare.or_else(|| FORMS.into_iter().find_map(only))
}

/// lmms-eval's rule for SEED-Bench: the first character, which then is compared in any case.
pub fn seedbench(response: &str) -> String {
    strip(response).chars().take(1).collect()
}

/// lmms-eval's filter for AI2D: the letter of a leading `A.`, else the response as it is.
pub fn ai2d(response: &str) -> &str {
    let start = response.trim_start_matches(is_space);
    match start.as_bytes() {
        [letter, b'.', ..] if letter.is_ascii_uppercase() => &start[..1],
        _ => response,
    }
}

/// lmms-eval's score for AI2D: 1 when the filtered response is the letter, in any case and without
/// ASCII's punctuation; else 0.
pub fn ai2d_score(response: &str, letter: char) -> f64 {
    let lower = ai2d(response).to_lowercase();
    let mut left = lower.chars().filter(|c| !c.is_ascii_punctuation());
    f64::from(left.next() == Some(letter.to_ascii_lowercase()) && left.next().is_none())
}

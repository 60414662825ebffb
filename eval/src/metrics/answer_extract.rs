//! The answer within a response: what remains without the thinking, the tags and the boxes, by each
//! of the rules that the harnesses apply before they score.

use super::{Item, MetricInfo, ScoreError};
use crate::python::{is_decimal, is_space, is_word, strip};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

pub(super) const METRICS: &[MetricInfo] = &[
    info("vlmevalkit.glm_thinking", |item| Ok(glm_thinking(item.text()?, true).into())),
    info("vlmevalkit.glm_thinking_ocrbench", |item| Ok(glm_thinking(item.text()?, false).into())),
    info("vlmevalkit.boxed_or_glm_box", |item| Ok(boxed_or_glm_box(item.text()?).into())),
    info("vlmevalkit.mmhelix_default_parser", |item| Ok(mmhelix(item.text()?).into())),
    info("vlmevalkit.memlens_parse_model_output", |item| Ok(memlens(item.text()?).into())),
    info("lmms_eval.strip_reasoning_tags", |item| Ok(without_reasoning(item.text()?).into())),
    info("lmms_eval.extract_boxed_answer", |item| {
        Ok(last_boxed(item.text()?).unwrap_or_default().into())
    }),
    info("lmms_eval.extract_answer_tag", |item| Ok(tagged_answer(item.text()?).into())),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "answer_extract",
        variant,
        summary: "the answer without thinking, tags and boxes",
        score,
    }
}

const GLM_BOX: (&str, &str) = ("<|begin_of_box|>", "<|end_of_box|>");
const ANSWER: (&str, &str) = ("<answer>", "</answer>");
const THINKING: (&str, &str) = ("<think>", "</think>");

/// What stands before, within and after the first pair of marks.
fn split_at_pair<'a>(
    text: &'a str,
    (open, close): (&str, &str),
) -> Option<(&'a str, &'a str, &'a str)> {
    let (before, rest) = text.split_once(open)?;
    let (within, after) = rest.split_once(close)?;
    Some((before, within, after))
}

/// What stands within each pair of marks.
fn within_pairs<'a>(text: &'a str, marks: (&'a str, &'a str)) -> impl Iterator<Item = &'a str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, within, after) = split_at_pair(rest, marks)?;
        rest = after;
        Some(within)
    })
}

/// VLMEvalKit's wrapper of the GLM models: no thinking, then the first `<answer>`, then within it
/// the first GLM box, where `unbox` is set (it is not for OCRBench and MMLongBench-Doc).
pub fn glm_thinking(response: &str, unbox: bool) -> String {
    let mut spoken = String::with_capacity(response.len());
    let mut rest = response;
    while let Some((before, _, after)) = split_at_pair(rest, THINKING) {
        spoken += before;
        rest = after;
    }
    spoken += rest;
    let mut answer = strip(&spoken);
    if let Some((_, within, _)) = split_at_pair(answer, ANSWER) {
        answer = strip(within);
    }
    if unbox && let Some((_, within, _)) = split_at_pair(answer, GLM_BOX) {
        answer = strip(within);
    }
    answer.to_owned()
}

/// VLMEvalKit's rule for BabyVision: the last `\boxed{}` as it is, else the last GLM box that holds
/// no line end; `None` without either.
pub fn boxed_or_glm_box(response: &str) -> Option<&str> {
    static BOXED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\\boxed\{((?:[^{}]|\{(?:[^{}]|\{.*\})*\})*)\}").ok());
    static ON_ONE_LINE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"<\|begin_of_box\|>(.*?)<\|end_of_box\|>").ok());
    last_match(&BOXED, response).or_else(|| last_match(&ON_ONE_LINE, response).map(strip))
}

/// The first group of the last match.
fn last_match<'a>(expression: &Option<Regex>, text: &'a str) -> Option<&'a str> {
    let last = expression.as_ref()?.captures_iter(text).last()?;
    last.get(1).map(|group| group.as_str())
}

/// VLMEvalKit's rule for MM-HELIX: the last GLM box, else the last `<answer>`, else what the last
/// `\boxed{}` holds, else what follows `Answer:`, else the response as it is.
pub fn mmhelix(response: &str) -> String {
    static BOXED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\\boxed\{((?:[^{}]|\{[^}]*\})*)\}").ok());
    static AFTER_COLON: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?is)answer[:：](.*)").ok());
    let last = within_pairs(response, GLM_BOX).last();
    if let Some(answer) = last.or_else(|| within_pairs(response, ANSWER).last()) {
        return strip(answer).to_owned();
    }
    if let Some(boxed) = last_match(&BOXED, response) {
        // `ext{` is a `\text{` that lost its start.
        let forms = ["ext{", "\\begin{array}", "\\begin{bmatrix}"].into_iter().zip([
            "}",
            "\\end{array}",
            "\\end{bmatrix}",
        ]);
        let unwrapped = within_pairs(boxed, ("\\text{", "}")).last();
        let unwrapped =
            unwrapped.or_else(|| forms.filter_map(|form| within_pairs(boxed, form).last()).next());
        return strip(unwrapped.unwrap_or(boxed)).to_owned();
    }
    last_match(&AFTER_COLON, response).map_or(response, strip).to_owned()
}

/// VLMEvalKit's rule for MemLens: what follows the first `</think>`, without special tokens.
pub fn memlens(response: &str) -> String {
    static SPECIAL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"<\|[^>]*\|>").ok());
    let answer = response.split_once(THINKING.1).map_or(response, |(_, after)| after);
    let plain = match SPECIAL.as_ref() {
        Some(special) => special.replace_all(answer, "").into_owned(),
        None => answer.to_owned(),
    };
    // Taking tokens out may have put new ones together.
    let mut unboxed = String::with_capacity(plain.len());
    let mut rest = plain.as_str();
    while let Some((before, within, after)) = split_at_pair(rest, GLM_BOX) {
        unboxed.extend([before, within]);
        rest = after;
    }
    unboxed += rest;
    let unboxed = unboxed.replace(GLM_BOX.0, "").replace(GLM_BOX.1, "");
    strip(&unboxed.replace("[CONTENT_FILTER_REJECTED]", "")).to_owned()
}

/// lmms-eval's removal of reasoning: no closed `<think>` or `<thinking>`; where only the closing
/// tag is there, what follows the last of it.
pub fn without_reasoning(response: &str) -> String {
    let mut answer = response.to_owned();
    for (open, close) in [THINKING, ("<thinking>", "</thinking>")] {
        while let Some((before, _, after)) = split_at_pair(&answer, (open, close)) {
            answer = format!("{before}{after}");
        }
        if !answer.contains(open)
            && let Some((_, after)) = answer.rsplit_once(close)
        {
            answer = after.to_owned();
        }
    }
    strip(&answer).to_owned()
}

/// What the last `\boxed{` holds whose braces are balanced, as lmms-eval finds it.
pub fn last_boxed(response: &str) -> Option<&str> {
    let starts = response.rmatch_indices("\\boxed{").map(|(at, mark)| at + mark.len());
    starts.map(|start| &response[start..]).find_map(|rest| {
        let mut open = 1;
        let end = rest.char_indices().find_map(|(at, c)| {
            match c {
                '{' => open += 1,
                '}' => open -= 1,
                _ => {}
            }
            (open == 0).then_some(at)
        });
        end.map(|end| &rest[..end])
    })
}

/// lmms-eval's rule: the first `<answer>` as it is, else [`last_boxed`], else the number that ends
/// a line, the last such line counting; empty without any.
pub fn tagged_answer(response: &str) -> &str {
    if let Some((_, within, _)) = split_at_pair(response, ANSWER) {
        return within;
    }
    if let Some(boxed) = last_boxed(response).filter(|boxed| !boxed.is_empty()) {
        return boxed;
    }
    strip(response).rsplit('\n').find_map(ending_number).unwrap_or_default()
}

/// `\b(\d+(?:\.\d+)?)\b(?:\s*\.?\s*$)`, searched from the left.
fn ending_number(line: &str) -> Option<&str> {
    let line = line.trim_end_matches(is_space);
    let line = line.strip_suffix('.').unwrap_or(line).trim_end_matches(is_space);
    let whole = |text: &str| text.trim_end_matches(is_decimal).len();
    let last = whole(line);
    if last == line.len() {
        return None;
    }
    let ends_word = |text: &str| text.chars().next_back().is_some_and(is_word);
    // With a fraction, when the digits before the point start a word.
    let first = line[..last].strip_suffix('.').map(|rest| (whole(rest), rest.len()));
    let start = match first {
        Some((start, end)) if start < end && !ends_word(&line[..start]) => start,
        _ => last,
    };
    (!ends_word(&line[..start])).then(|| &line[start..])
}

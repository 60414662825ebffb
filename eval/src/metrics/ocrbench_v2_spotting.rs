//! OCRBench v2's text spotting (Fu et al. 2024), as in its `spotting_metric.py` and in the tool of
//! the ICDAR's Robust Reading Competition that it calls (`script.py`, end to end, version 1.1):
//! words found in the right place and read right.

use super::ocrbench_v2_grounding::{Corners, area, common_area, overlap};
use super::{MetricInfo, ScoreError};
use crate::python::{Literal, int, strip};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

/// Of an item with `extra` as `{"bbox" or "bbox_list": [[x1, y1, x2, y2, …], …], "content":
/// [word, …]}`, the corners and the words of the published rows, in thousandths of the image.
pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "ocrbench_v2_spotting",
    variant: "official",
    summary: "harmonic mean of precision and recall of words in their boxes",
    score: |item| {
        let content = item.extra["content"].as_array().ok_or(WRONG_FORM)?;
        let boxes = match &item.extra["bbox_list"] {
            Value::Null => &item.extra["bbox"],
            boxes => boxes,
        };
        let boxes = boxes.as_array().ok_or(WRONG_FORM)?;
        let found = words(item.text()?);
        // What the tool cannot read has no score there.
        let wanted: Option<Vec<Word>> = boxes.iter().zip(content).map(wanted_word).collect();
        Ok(wanted.and_then(|wanted| score(&found, &wanted)).unwrap_or(0.0).into())
    },
}];

const WRONG_FORM: ScoreError = ScoreError::WrongForm {
    field: "extra",
    expected: "`bbox`, a list of boxes, and `content`, a list of as many words",
};

/// A word and its box.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// Left, top, right, bottom.
    pub corners: Corners,
    /// What it says.
    pub text: String,
}

/// Boxes that overlap by more than this are of the same word.
const LEAST_OVERLAP: f64 = 0.5;
/// A found word of which more than this lies in one that nobody needs to read does not count.
const MOST_IN_ILLEGIBLE: f64 = 0.5;
/// What the reference has in the place of a word that nobody needs to read.
const ILLEGIBLE: &str = "###";
/// Signs that a reference may begin or end with and an answer may leave out.
const SIGNS: &str = "!?.:,*\"()·[]/'";

/// The words of an answer: lists `[x1, y1, x2, y2, text]`, as Python's literal or wherever they
/// stand, with whole numbers from 0 to 1000.
pub fn words(prediction: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut add = |fields: [&str; 5]| {
        let [left, top, right, bottom] =
            [0, 1, 2, 3].map(|i| int(fields[i]).filter(|side| (0.0..=1000.0).contains(side)));
        let text = fields[4].replace('\n', "");
        let text = strip(&text).trim_matches('"').trim_matches('\'').to_owned();
        let corners = left.zip(top).zip(right.zip(bottom));
        let word = corners.map(|((left, top), (right, bottom))| Word {
            corners: [left, top, right, bottom],
            text,
        });
        words.extend(word.filter(|word| !words.contains(word)));
    };
    match Literal::parse(prediction) {
        Some(Literal::List(items) | Literal::Tuple(items)) => {
            for item in items {
                let (Literal::List(fields) | Literal::Tuple(fields)) = item else { continue };
                let fields: Vec<String> = fields.iter().take(5).map(Literal::to_text).collect();
                if let [left, top, right, bottom, text] = fields.as_slice() {
                    add([left, top, right, bottom, text]);
                }
            }
        }
        Some(literal) if literal != Literal::Constant("None") => {}
        _ => {
            static LIST: LazyLock<Option<Regex>> =
                LazyLock::new(|| Regex::new(r"[\[(]([^\[\]()]*)[\])]").ok());
            for list in LIST.iter().flat_map(|list| list.captures_iter(prediction)) {
                let inner = list.get(1).map_or("", |inner| inner.as_str());
                let fields: Vec<&str> = inner.splitn(5, ',').collect();
                if let Ok(fields) = fields.try_into() {
                    add(fields);
                }
            }
        }
    }
    words
}

/// A reference's word: the upright box round its corners, and the text. `None` where the tool fails.
fn wanted_word((corners, text): (&Value, &Value)) -> Option<Word> {
    let corners = corners.as_array()?;
    let side = |first: usize, sign: f64| {
        let mut chosen: Option<(f64, &Value)> = None;
        for corner in corners.iter().skip(first).step_by(2) {
            let place = sign * corner.as_f64()?;
            if chosen.is_none_or(|(best, _)| place < best) {
                chosen = Some((place, corner));
            }
        }
        Some(chosen?.1.as_i64()? as f64) // the tool takes whole numbers alone
    };
    let corners = [side(0, 1.0)?, side(1, 1.0)?, side(0, -1.0)?, side(1, -1.0)?];
    // The tool gets a word a line; what follows a line's end would be another one without a box.
    let mut lines = text.as_str()?.split('\n');
    let text = lines.next()?.to_owned();
    lines.all(|rest| rest.trim_matches('\r').is_empty()).then_some(Word { corners, text })
}

/// The harmonic mean, 0 to 1, of the shares of right words among those found and those wanted.
/// `None` where the tool fails, at a reference without text.
pub fn score(found: &[Word], wanted: &[Word]) -> Option<f64> {
    let is_box =
        |word: &&Word| word.corners[0] < word.corners[2] && word.corners[1] < word.corners[3];
    let found: Vec<&Word> = found.iter().filter(is_box).collect();
    let (illegible, legible): (Vec<&Word>, Vec<&Word>) =
        wanted.iter().partition(|word| line_text(&word.text) == ILLEGIBLE);
    let counts = |word: &&Word| !illegible.iter().any(|hidden| lies_in(word, hidden));
    let found: Vec<&Word> = found.into_iter().filter(counts).collect();
    let mut taken = vec![false; found.len()];
    let mut right = 0.0;
    for wanted in &legible {
        let near = |word: &Word| overlap(word.corners, wanted.corners) > LEAST_OVERLAP;
        let place = (0..found.len()).find(|&i| !taken[i] && near(found[i]));
        if let Some(place) = place {
            taken[place] = true;
            right += f64::from(is_read(&line_text(&wanted.text), &line_text(&found[place].text))?);
        }
    }
    let share = |count: usize| if count == 0 { 0.0 } else { right / count as f64 };
    let (recall, precision) = (share(legible.len()), share(found.len()));
    let sum = recall + precision;
    Some(if sum == 0.0 { 0.0 } else { 2.0 * recall * precision / sum })
}

/// Whether most of `word` lies in `hidden`.
fn lies_in(word: &Word, hidden: &Word) -> bool {
    common_area(word.corners, hidden.corners) / area(word.corners) > MOST_IN_ILLEGIBLE
}

/// A text as the tool reads it from a line of its files.
fn line_text(text: &str) -> String {
    let text = text.replace(['\r', '\n'], "");
    match strip(&text).strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace(r"\\", r"\").replace(r#"\""#, "\""),
        None => text,
    }
}

/// Whether `found` says what `wanted` does, in any case; signs at the ends of `wanted` may lack.
/// `None` where `wanted` is empty and `found` is not.
fn is_read(wanted: &str, found: &str) -> Option<bool> {
    let (wanted, found) = (wanted.to_uppercase(), found.to_uppercase());
    if wanted == found {
        return Some(true);
    }
    let (first, last) = (wanted.chars().next()?, wanted.chars().next_back()?);
    let (begins, ends) = (SIGNS.contains(first), SIGNS.contains(last));
    let without_first = &wanted[first.len_utf8()..];
    let without_last = &wanted[..wanted.len() - last.len_utf8()];
    let without_both = without_first.strip_suffix(last).unwrap_or_default();
    Some(
        begins && without_first == found
            || ends && without_last == found
            || begins && ends && without_both == found,
    )
}

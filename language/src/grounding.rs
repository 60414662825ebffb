//! Boxes round things, out of what a model wrote.
//!
//! Models of the family write a box as four numbers from 0 to 1000: left, top, right and bottom in
//! thousandths of the image's width and height. The numbers stand in brackets of any kind between
//! the marks of a box, in double brackets anywhere, or in JSON under `bbox_2d`.
//!
//! Source: the sections on grounding of zai-org/GLM-V's README and of its grounding skill.

use crate::marks::{BOX, END_OF_BOX};
use regex::Regex;
use serde_json::Value;
use std::ops::Range;
use std::sync::LazyLock;

/// A box round something.
#[derive(Clone, Debug, PartialEq)]
pub struct Grounding {
    /// What the model called it.
    pub label: Option<String>,
    /// Left, top, right, bottom in thousandths, from 0 to 1000; left ≤ right and top ≤ bottom.
    pub corners: [f32; 4],
}

impl Grounding {
    /// Left, top, right, bottom in pixels of an image, each rounded to the nearest.
    pub fn pixels(&self, width: u32, height: u32) -> [u32; 4] {
        let [left, top, right, bottom] = self.corners;
        let pixel = |thousandths: f32, side: u32| {
            (f64::from(thousandths) * f64::from(side) / 1000.0).round() as u32
        };
        [pixel(left, width), pixel(top, height), pixel(right, width), pixel(bottom, height)]
    }

    fn new(label: Option<String>, [x1, y1, x2, y2]: [f32; 4]) -> Option<Self> {
        let inside = [x1, y1, x2, y2].iter().all(|value| (0.0..=1000.0).contains(value));
        let corners = [x1.min(x2), y1.min(y2), x1.max(x2), y1.max(y2)];
        inside.then_some(Self { label, corners })
    }
}

/// Keys under which models put a box's four numbers.
const BOX_KEYS: [&str; 4] = ["bbox_2d", "bbox", "box_2d", "box"];
/// Keys under which they put what is in it.
const LABEL_KEYS: [&str; 3] = ["label", "name", "category"];
/// Words of a label that no colon follows, at most.
const LABEL_WORDS: usize = 3;

/// Four numbers in brackets; after a semicolon come the next four.
static BRACKETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let number = r"\s*\d+(?:\.\d+)?\s*";
    let four = [number; 4].join(",");
    Regex::new(&format!(r"[\[(<{{]({four}(?:;{four})*)[\])>}}]")).ok()
});

/// The boxes in an answer that still has its marks, in the order in which they stand.
pub(crate) fn find_grounding(text: &str) -> Vec<Grounding> {
    let mut found: Vec<(usize, Grounding)> = Vec::new();
    let objects = json_with_boxes(text);
    for (range, value) in &objects {
        let mut boxes = Vec::new();
        read_json(value, None, &mut boxes);
        found.extend(boxes.into_iter().map(|grounding| (range.start, grounding)));
    }
    let mut label = None;
    let mut end = 0;
    for captures in BRACKETS.iter().flat_map(|regex| regex.captures_iter(text)) {
        let (Some(whole), Some(numbers)) = (captures.get(0), captures.get(1)) else { continue };
        if objects.iter().any(|(range, _)| range.contains(&whole.start())) {
            continue;
        }
        if !is_marked(text, &whole.range()) {
            continue;
        }
        let between = text.get(end..whole.start()).unwrap_or_default();
        end = whole.end();
        label = label_before(between, label);
        for four in numbers.as_str().split(';') {
            let four: Vec<f32> = four.split(',').filter_map(|n| n.trim().parse().ok()).collect();
            let corners = <[f32; 4]>::try_from(four).ok();
            let grounding = corners.and_then(|corners| Grounding::new(label.clone(), corners));
            found.extend(grounding.map(|grounding| (whole.start(), grounding)));
        }
    }
    found.sort_by_key(|(start, _)| *start);
    found.into_iter().map(|(_, grounding)| grounding).collect()
}

/// Whether four numbers are meant as a box: between its marks, or in double brackets.
fn is_marked(text: &str, range: &Range<usize>) -> bool {
    let before = text.get(..range.start).unwrap_or_default();
    let opened = before.rfind(BOX);
    let in_box = opened.is_some_and(|open| before.rfind(END_OF_BOX).is_none_or(|end| end < open));
    let after = text.get(range.end..).unwrap_or_default().trim_start();
    // The first, a middle or the last of a list in brackets: `[[…], […], […]]`.
    let opens = before.trim_end().ends_with(['[', '(', '<', '{']);
    let goes_on =
        before.trim_end().trim_end_matches(',').trim_end().ends_with([']', ')', '>', '}']);
    let closes = after.starts_with([']', ')', '>', '}']);
    in_box
        || (opens && after.starts_with([']', ')', '>', '}', ',']))
        || (goes_on && closes)
        || (goes_on && after.starts_with(','))
}

/// What a model called the thing whose box follows `between`, the text since the box before.
fn label_before(between: &str, previous: Option<String>) -> Option<String> {
    let bare = between.replace(BOX, "").replace(END_OF_BOX, "");
    let is_separator = |c: char| c.is_whitespace() || "[](){}<>,;".contains(c);
    if bare.chars().all(is_separator) && !bare.contains('\n') {
        return previous; // the next box of the same list
    }
    let line = bare.rsplit('\n').next().unwrap_or_default();
    let line = line.trim_end_matches(is_separator);
    let named = line.strip_suffix([':', '：']);
    let words = named.unwrap_or(line).trim_matches(|c: char| {
        c.is_whitespace() || c.is_ascii_digit() || ".,;:-*•`'\"，；。()[]".contains(c)
    });
    let is_short = words.split_whitespace().count() <= LABEL_WORDS;
    (!words.is_empty() && (named.is_some() || is_short)).then(|| words.to_owned())
}

/// JSON values in a text that have boxes under a known key, with where they stand.
fn json_with_boxes(text: &str) -> Vec<(Range<usize>, Value)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| rest.find(['{', '['])) {
        let start = at + open;
        let rest = text.get(start..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        at = match values.next() {
            Some(Ok(value)) => {
                let end = start + values.byte_offset();
                if has_box_key(&value) {
                    found.push((start..end, value));
                    end
                } else {
                    // An object may stand in brackets that are no JSON of interest.
                    start + 1
                }
            }
            _ => start + 1,
        };
    }
    found
}

fn has_box_key(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            BOX_KEYS.iter().any(|key| fields.contains_key(*key)) || fields.values().any(has_box_key)
        }
        Value::Array(items) => items.iter().any(has_box_key),
        _ => false,
    }
}

/// Collects the boxes of a JSON value.
fn read_json(value: &Value, label: Option<&str>, boxes: &mut Vec<Grounding>) {
    match value {
        Value::Object(fields) => {
            let own = LABEL_KEYS.iter().find_map(|key| fields.get(*key)?.as_str());
            for (key, value) in fields {
                match BOX_KEYS.contains(&key.as_str()) {
                    true => read_corners(value, own.or(label), boxes),
                    false => read_json(value, own.or(label), boxes),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| read_json(item, label, boxes)),
        _ => {}
    }
}

/// Four numbers, or a list of such.
fn read_corners(value: &Value, label: Option<&str>, boxes: &mut Vec<Grounding>) {
    let Some(items) = value.as_array() else { return };
    let numbers: Vec<f32> =
        items.iter().filter_map(Value::as_f64).map(|number| number as f32).collect();
    match <[f32; 4]>::try_from(numbers) {
        Ok(corners) if items.len() == 4 => {
            boxes.extend(Grounding::new(label.map(str::to_owned), corners));
        }
        _ => items.iter().for_each(|item| read_corners(item, label, boxes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str) -> Vec<(Option<String>, [f32; 4])> {
        find_grounding(text).into_iter().map(|found| (found.label, found.corners)).collect()
    }

    fn labelled(label: &str, corners: [f32; 4]) -> (Option<String>, [f32; 4]) {
        (Some(label.to_owned()), corners)
    }

    const A: [f32; 4] = [100.0, 200.0, 300.0, 400.0];
    const B: [f32; 4] = [0.0, 5.0, 1000.0, 999.0];

    #[test]
    fn every_form_is_read() {
        let unlabelled = [
            "<|begin_of_box|>[[100,200,300,400]]<|end_of_box|>",
            "<|begin_of_box|>[100, 200, 300, 400]<|end_of_box|>",
            "<|begin_of_box|>(100,200,300,400)<|end_of_box|>",
            "<|begin_of_box|><100,200,300,400><|end_of_box|>",
            "The wide blue sign is at <|begin_of_box|>[100,200,300,400]<|end_of_box|> here.",
            "[[100, 200, 300, 400]]",
            "[[300,400,100,200]]",
            "{\"bbox_2d\": [100, 200, 300, 400]}",
        ];
        for text in unlabelled {
            assert_eq!(found(text), [(None, A)], "{text}");
        }
        let two = [
            "[[100,200,300,400],[0,5,1000,999]]",
            "[[100,200,300,400;000,005,1000,999]]",
            "<|begin_of_box|>[100,200,300,400], [0,5,1000,999]<|end_of_box|>",
            "<|begin_of_box|>[100,200,300,400]<|end_of_box|> <|begin_of_box|>[0,5,1000,999]<|end_of_box|>",
        ];
        for text in two {
            assert_eq!(found(text), [(None, A), (None, B)], "{text}");
        }
    }

    #[test]
    fn labels_go_with_their_boxes() {
        let both = [labelled("cat", A), labelled("red dog", B)];
        for text in [
            "cat: [[100,200,300,400]]\nred dog: [[0,5,1000,999]]",
            "1. **cat**: [[100,200,300,400]]\n2. **red dog**： [[0,5,1000,999]]",
            "- cat <|begin_of_box|>[100,200,300,400]<|end_of_box|>\n- red dog <|begin_of_box|>[0,5,1000,999]<|end_of_box|>",
            "```json\n[{\"label\": \"cat\", \"bbox_2d\": [100,200,300,400]}, {\"label\": \"red dog\", \"bbox_2d\": [0,5,1000,999]}]\n```",
            "{\"0\": [{\"label\": \"cat\", \"bbox_2d\": [100,200,300,400]}], \"1\": [{\"label\": \"red dog\", \"bbox_2d\": [0,5,1000,999]}]}",
        ] {
            assert_eq!(found(text), both, "{text}");
        }
        let list = found("cat: [[100,200,300,400], [0,5,1000,999]]");
        assert_eq!(list, [labelled("cat", A), labelled("cat", B)]);
    }

    #[test]
    fn other_numbers_are_left_alone() {
        for text in [
            "[1, 2, 3, 4]",
            "f(1,2,3,4)",
            "[[1,2,3]]",
            "[[1,2,3,1001]]",
            "{\"total\": [1, 2, 3, 4]}",
            "<|begin_of_box|>42<|end_of_box|> of [1,2,3,4]",
            "",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn thousandths_become_pixels() {
        let grounding = Grounding { label: None, corners: [0.0, 250.0, 500.0, 1000.0] };
        assert_eq!(grounding.pixels(641, 480), [0, 120, 321, 480]);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[\\[\\](){}<>,;:0-9a-z\"|_\\n ]{0,80}") {
            for grounding in find_grounding(&text) {
                let [left, top, right, bottom] = grounding.corners;
                prop_assert!(0.0 <= left && left <= right && right <= 1000.0);
                prop_assert!(0.0 <= top && top <= bottom && bottom <= 1000.0);
            }
        }
    }
}

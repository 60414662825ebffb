//! Formulas in an array of one column are one formula a line.

use super::answer::{Found, Kind};
use super::truth::{Block, FORMULA};
use crate::python::{is_space, length, strip};
use regex::Regex;
use std::sync::LazyLock;

struct Forms {
    array: Regex,
    between_columns: Regex,
}

static FORMS: LazyLock<Option<Forms>> = LazyLock::new(|| {
    Some(Forms {
        array: Regex::new(r"(?s)\\begin\{array\}\{([^}]*)\}(.*?)\\end\{array\}").ok()?,
        between_columns: Regex::new(r"[@!]\{[^}]*\}").ok()?,
    })
});

/// The lines of the first array, each with its place in the formula in code points; `None` where
/// there is no array of one column.
fn lines(formula: &str) -> Option<Vec<(usize, &str)>> {
    let forms = FORMS.as_ref()?;
    let array = forms.array.captures(formula)?;
    let columns: String =
        array.get(1)?.as_str().chars().filter(|&c| !is_space(c) && c != '|').collect();
    if !matches!(&*forms.between_columns.replace_all(&columns, ""), "l" | "c" | "r") {
        return None;
    }
    let body = array.get(2)?;
    let (mut from, mut lines) = (0, Vec::new());
    for line in body.as_str().split(r"\\").map(strip).filter(|line| !line.is_empty()) {
        let at = body.as_str()[from..].find(line).unwrap_or_default() + from;
        from = at + line.len();
        lines.push((length(&formula[..body.start() + at]), line));
    }
    Some(lines)
}

/// Parts true formulas; line 2 of the block in place 7 has place 7.2.
pub(super) fn split_true(blocks: Vec<Block>) -> Vec<Block> {
    let mut parted = Vec::with_capacity(blocks.len());
    for block in blocks {
        match lines(&block.content).filter(|_| block.category == FORMULA) {
            None => parted.push(block),
            Some(lines) => parted.extend(lines.into_iter().enumerate().map(|(at, (_, line))| {
                let tenths = (block.order * 10.0 + at as f64 + 1.0).round();
                let content = format!(r"\[{line}\]");
                Block { order: tenths / 10.0, content, category: block.category.clone() }
            })),
        }
    }
    parted
}

/// Parts the formulas of an answer.
pub(super) fn split_found(blocks: Vec<Found>) -> Vec<Found> {
    let mut parted = Vec::with_capacity(blocks.len());
    for block in blocks {
        match lines(&block.content).filter(|_| block.kind == Kind::Formula) {
            None => parted.push(block),
            Some(lines) => parted.extend(lines.into_iter().map(|(at, line)| Found {
                place: block.place + at,
                content: format!(r"\[{line}\]"),
                ..block.clone()
            })),
        }
    }
    parted
}

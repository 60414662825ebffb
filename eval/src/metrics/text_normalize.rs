//! What is left of a text block before its edit distance is taken, as in OmniDocBench (Ouyang et
//! al. 2025; the fork at `invofox/OmniDocBench`) and lmms-eval's `_normalize_text`.

use super::{Item, MetricInfo, ScoreError, formula_normalize};
use crate::latex;
use crate::python::{collapse_spaces, is_word, strip};
use serde_json::Value;
use std::ops::Range;
use unicode_normalization::UnicodeNormalization;

pub(super) const METRICS: &[MetricInfo] = &[
    info("omnidocbench_fork.clean_string", |item| Ok(clean_string(item.text()?).into())),
    info("omnidocbench_fork.textblock_with_norm_formula", |item| {
        Ok(with_normal_formulas(item.text()?).into())
    }),
    info("omnidocbench_fork.text_pipeline", |item| Ok(omnidocbench(item.text()?).into())),
    info("lmms_eval_omnidocbench", |item| Ok(lmms_eval(item.text()?).into())),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "text_normalize",
        variant,
        summary: "a text block without what OCR need not get right",
        score,
    }
}

/// OmniDocBench's `clean_string`: only letters, numbers and `_`. Breaks and tabs go first, also
/// those spelled with a backslash or, by a slip, with a slash: `a/tb` becomes `ab`.
pub fn clean_string(text: &str) -> String {
    let mut text = text.to_owned();
    for removed in [r"\t", r"\n", "\t", "\n", "/t", "/n"] {
        text = text.replace(removed, "");
    }
    text.retain(|c| is_word(c) || ('\u{4e00}'..='\u{9fff}').contains(&c));
    text
}

/// What OmniDocBench compares texts by: inline formulas that hold a command, a power or an index as
/// Unicode text, and then [`clean_string`].
pub fn omnidocbench(text: &str) -> String {
    clean_string(&rewrite_inline_formulas(text, |formula| {
        let mut latex = without_escapes(formula);
        if !latex.contains(['\\', '^', '_']) {
            return None;
        }
        if latex.ends_with('\\') {
            latex.push(' ');
        }
        latex::to_text(&latex).map(|text| strip(&text).to_owned())
    }))
}

/// Takes out `\\`, `\_`, `\&`, `\%` and `\^`, from the left.
fn without_escapes(formula: &str) -> String {
    let mut plain = String::with_capacity(formula.len());
    let mut characters = formula.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '\\' || characters.next_if(|&next| r"\_&%^".contains(next)).is_none() {
            plain.push(c);
        }
    }
    plain
}

/// OmniDocBench's `textblock_with_norm_formula`: inline formulas in the normal form of
/// [`formula_normalize::omnidocbench`], without their marks.
pub fn with_normal_formulas(text: &str) -> String {
    rewrite_inline_formulas(text, |formula| {
        Some(strip(&formula_normalize::omnidocbench(formula)).to_owned())
    })
}

/// Puts what `with` gives for the content of each inline formula in its place, marks and all;
/// leaves it where that is nothing.
fn rewrite_inline_formulas(text: &str, with: impl Fn(&str) -> Option<String>) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut done = 0;
    for (whole, content) in inline_formulas(text) {
        if let Some(replacement) = with(&text[content]) {
            rewritten.extend([&text[done..whole.start], &replacement]);
            done = whole.end;
        }
    }
    rewritten.push_str(&text[done..]);
    rewritten
}

/// The inline formulas, `$…$` or `\(…\)` within a line, and their content.
fn inline_formulas(text: &str) -> Vec<(Range<usize>, Range<usize>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(['$', '\\']).map(|at| from + at) {
        from = start + 1;
        let (opening, closing) = match &text[start..] {
            rest if rest.starts_with('$') => (1, "$"),
            rest if rest.starts_with(r"\(") => (2, r"\)"),
            _ => continue,
        };
        let line = text[start + opening..].split('\n').next().unwrap_or_default();
        if let Some(length) = line.find(closing) {
            let content = start + opening..start + opening + length;
            from = content.end + closing.len();
            found.push((start..from, content));
        }
    }
    found
}

/// lmms-eval's normal form: NFKC, small letters, one blank for whatever is no letter or number.
pub fn lmms_eval(text: &str) -> String {
    let lower = text.nfkc().collect::<String>().to_lowercase();
    let kept = |c: char| if (is_word(c) && c != '_') || is_cjk(c) { c } else { ' ' };
    collapse_spaces(&lower.chars().map(kept).collect::<String>())
}

fn is_cjk(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

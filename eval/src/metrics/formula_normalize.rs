//! What is left of a LaTeX formula before its edit distance is taken, as in OmniDocBench's
//! `normalized_formula` (Ouyang et al. 2025) and lmms-eval's `_normalize_formula`.

use super::{Item, MetricInfo, ScoreError};
use crate::python::{collapse_spaces, strip};
use serde_json::Value;
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

pub(super) const METRICS: &[MetricInfo] = &[
    info("omnidocbench_fork", |item| Ok(omnidocbench(item.text()?).into())),
    info("lmms_eval_omnidocbench", |item| Ok(lmms_eval(item.text()?).into())),
];

const fn info(variant: &'static str, score: fn(&Item) -> Result<Value, ScoreError>) -> MetricInfo {
    MetricInfo {
        name: "formula_normalize",
        variant,
        summary: "a LaTeX formula without what does not change its look",
        score,
    }
}

/// What OmniDocBench takes out, in its order and wherever it stands: so that of longer commands
/// that begin alike a part is cut off, such as `\textstyle` to `style`.
const REMOVED: [&str; 35] = [
    r"\mathbf",
    r"\mathrm",
    r"\mathnormal",
    r"\mathit",
    r"\mathbb",
    r"\mathcal",
    r"\mathscr",
    r"\mathfrak",
    r"\mathsf",
    r"\mathtt",
    r"\textbf",
    r"\text",
    r"\boldmath",
    r"\boldsymbol",
    r"\operatorname",
    r"\bm",
    r"\symbfit",
    r"\mathbfcal",
    r"\symbf",
    r"\scriptscriptstyle",
    r"\notag",
    r"\setlength",
    r"\coloneqq",
    r"\space",
    r"\thickspace",
    r"\thinspace",
    r"\medspace",
    r"\nobreakspace",
    r"\negmedspace",
    r"\quad",
    r"\qquad",
    r"\enspace",
    r"\substackw",
    " ",
    "$$",
];

/// Removed after those, and `\text` once more.
const REMOVED_LAST: [&str; 4] = [r"\left", r"\right", r"\displaystyle", r"\text"];

/// OmniDocBench's normal form: no delimiters, tags, environments, style or spacing commands and no
/// blanks, in small letters.
pub fn omnidocbench(formula: &str) -> String {
    let formula = strip(formula).trim_matches('$').trim_matches('\n');
    let formula = displayed(formula).map_or(formula, strip);
    let mut text = Cow::Borrowed(formula);
    for opening in [r"\tag{", r"\hspace{", r"\begin{", r"\end{", r"\arraycolsep"] {
        text = Cow::Owned(rewrite_arguments(&text, opening, Reach::Line, |_| ""));
    }
    let mut text = text.trim_matches('.').to_owned();
    for removed in REMOVED.into_iter().chain(REMOVED_LAST) {
        text = text.replace(removed, "");
    }
    text.to_lowercase()
}

/// The first `\[…\]` within a line: what `\\\[(.+?)(?<!\\)\\\]` finds.
fn displayed(text: &str) -> Option<&str> {
    let mut from = 0;
    while let Some(found) = text[from..].find(r"\[") {
        let start = from + found + r"\[".len();
        let line = text[start..].split('\n').next().unwrap_or_default();
        let closes = |&(at, _): &(usize, &str)| at > 0 && !line[..at].ends_with('\\');
        if let Some((end, _)) = line.match_indices(r"\]").find(closes) {
            return Some(&line[..end]);
        }
        from += found + 1;
    }
    None
}

/// The style commands whose content lmms-eval keeps.
const UNWRAPPED: [&str; 10] = [
    r"\text{",
    r"\mathrm{",
    r"\mathbf{",
    r"\mathit{",
    r"\mathsf{",
    r"\mathcal{",
    r"\mathbb{",
    r"\boldsymbol{",
    r"\textbf{",
    r"\textit{",
];

/// lmms-eval's normal form: NFKC, no environments, tags and spacing, single blanks, small letters.
pub fn lmms_eval(formula: &str) -> String {
    let mut text: String = formula.nfkc().collect();
    for opening in [r"\begin{", r"\end{"] {
        text = rewrite_arguments(&text, opening, Reach::Text, |_| "");
    }
    for opening in UNWRAPPED {
        text = rewrite_arguments(&text, opening, Reach::Text, |inner| inner);
    }
    for opening in [r"\hspace{", r"\vspace{", r"\tag{", r"\label{"] {
        text = rewrite_arguments(&text, opening, Reach::Text, |_| " ");
    }
    for spacing in [r"\quad", r"\qquad", r"\,", r"\;", r"\!", r"\ "] {
        text = text.replace(spacing, " ");
    }
    collapse_spaces(&text.to_lowercase())
}

/// How far an argument may reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Line,
    Text,
}

/// Rewrites each stretch from `opening` to the next `}`, given what lies between.
fn rewrite_arguments(
    text: &str,
    opening: &str,
    reach: Reach,
    with: impl Fn(&str) -> &str,
) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(opening) {
        let inner = start + opening.len();
        rewritten.push_str(&rest[..start]);
        let end = rest[inner..].find('}').map(|end| inner + end);
        match end.filter(|&end| reach == Reach::Text || !rest[inner..end].contains('\n')) {
            Some(end) => {
                rewritten.push_str(with(&rest[inner..end]));
                rest = &rest[end + 1..];
            }
            None => {
                rewritten.push_str(opening);
                rest = &rest[inner..];
            }
        }
    }
    rewritten.push_str(rest);
    rewritten
}

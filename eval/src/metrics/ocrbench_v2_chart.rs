//! OCRBench v2's chart parsing (Fu et al. 2024): the predicted and the true fields as two-column
//! tables, compared by [`teds`].

use super::{MetricInfo, ScoreError, teds};
use crate::python::{Literal, is_space, is_word, json, strip};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "ocrbench_v2_chart",
    variant: "official",
    summary: "TEDS of a chart's fields, as a table of names and values",
    score: |item| match item.reference_texts()?.first() {
        Some(reference) => score(item.text()?, reference).map(Value::from).ok_or(UNDEFINED),
        None => Err(UNDEFINED),
    },
}];

const UNDEFINED: ScoreError = ScoreError::Undefined("the reference is no JSON object");

/// The similarity, at most 1, of the fields in a response to those of a JSON object. 0 for a
/// response without a dictionary literal; `None` for a reference that is none.
pub fn score(response: &str, reference: &str) -> Option<f64> {
    let reference = match json::parse(reference).or_else(|| Literal::parse(reference)) {
        Some(Literal::Dict(fields)) => fields,
        _ => return None,
    };
    let found = fields(response);
    if found.is_empty() {
        return Some(0.0);
    }
    teds::score(&table(&found), &table(&reference), teds::Compared::Content)
}

/// The fields of the dictionary literal in a response: in its longest fenced block if it has any,
/// without the variable that it is assigned to, without remarks, up to its last brace.
fn fields(response: &str) -> Vec<(Literal, Literal)> {
    static FENCED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?is)```(?:python|json)?\n(.*?)\n```").ok());
    let mut content = strip(response);
    if let Some(fenced) = FENCED.as_ref() {
        let blocks = fenced.captures_iter(response).filter_map(|found| found.get(1));
        // The first of several that are as long.
        let blocks = blocks.map(|block| block.as_str()).collect::<Vec<_>>();
        let length = |block: &&&str| block.chars().count();
        content = blocks.iter().rev().max_by_key(length).copied().unwrap_or(content);
    }
    let mut code: String = without_assignment(strip(content))
        .split_inclusive('\n')
        .map(|line| match line.split_once('#') {
            Some((code, remark)) if remark.ends_with('\n') => format!("{code}\n"),
            Some((code, _)) => code.to_owned(),
            None => line.to_owned(),
        })
        .collect();
    if let Some(last) = code.rfind('}') {
        code.truncate(last + 1);
    }
    match Literal::parse(&code) {
        Some(Literal::Dict(fields)) => fields,
        _ => Vec::new(),
    }
}

/// Takes off a variable and its `=`.
fn without_assignment(code: &str) -> &str {
    let after_name = code.trim_start_matches(is_word);
    match after_name.trim_start_matches(is_space).strip_prefix('=') {
        Some(value) if after_name.len() < code.len() => value.trim_start_matches(is_space),
        _ => code,
    }
}

/// A table with a row a field, the value spelled with a blank between all its characters.
fn table(fields: &[(Literal, Literal)]) -> String {
    let mut html = String::from("<html><body><table>\n");
    for (name, value) in fields {
        let spelled: Vec<String> = value.to_text().chars().map(String::from).collect();
        let (name, value) = (name.to_text(), spelled.join(" "));
        html.push_str(&format!("  <tr><td>{name}</td><td>{value}</td></tr>\n"));
    }
    html.push_str("</table></body></html>");
    html
}

//! The dictionary in a response, as OCRBench v2's `convert_str_to_dict` reads it.

use crate::python::{Literal, json, strip};
use regex::Regex;
use std::sync::LazyLock;

/// The keys and values of a response, all as texts without blanks at their ends: out of the first
/// fenced block if there is one, as JSON, else as a Python literal, else as `key: value` or
/// `key = value` wherever these stand. Empty where that fails, or it is something else than a
/// dictionary.
pub(super) fn parse(response: &str) -> Vec<(String, String)> {
    static FENCED: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?is)```(?:python|json)?\n(.*?)\n```").ok());
    let fenced = FENCED.as_ref().and_then(|fenced| fenced.captures(response)?.get(1));
    let content = fenced.map_or_else(|| strip(response), |content| content.as_str());
    let mut fields = Vec::new();
    match json::parse(content).or_else(|| Literal::parse(content)) {
        Some(Literal::Dict(entries)) => {
            for (key, value) in entries {
                // A key that is no text has no `strip`: the reference then gives up.
                let Literal::Text(key) = key else { return Vec::new() };
                insert(&mut fields, &key, &value.to_text());
            }
        }
        Some(_) => {}
        None => {
            for (key, value) in pairs(content) {
                insert(&mut fields, key, value);
            }
        }
    }
    fields
}

fn insert(fields: &mut Vec<(String, String)>, key: &str, value: &str) {
    let (key, value) = (strip(key), strip(value).to_owned());
    match fields.iter_mut().find(|(known, _)| known == key) {
        Some((_, old)) => *old = value,
        None => fields.push((key.to_owned(), value)),
    }
}

/// `["\']?([\w\s]+)["\']?\s*[:=]\s*["\']?([^\n,"\'{}]+)["\']?`, with Python's classes.
fn pairs(content: &str) -> Vec<(&str, &str)> {
    static PAIR: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let blank = r"\s\x1c-\x1f";
        Regex::new(&format!(
            r#"["']?([\p{{L}}\p{{N}}_{blank}]+)["']?[{blank}]*[:=][{blank}]*["']?([^\n,"'{{}}]+)["']?"#
        ))
        .ok()
    });
    let Some(pair) = PAIR.as_ref() else { return Vec::new() };
    let found = pair.captures_iter(content);
    found.filter_map(|found| Some((found.get(1)?.as_str(), found.get(2)?.as_str()))).collect()
}

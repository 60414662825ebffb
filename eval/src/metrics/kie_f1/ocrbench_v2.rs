//! OCRBench v2's extraction of key information (Fu et al. 2024), as in its `TEDS_metric.py`.

use crate::metrics::answer_dict;
use crate::python::{Literal, json, strip};

/// The keys of a reference, and what each may be. No keys where the text cannot be read; `None` where
/// it is no dictionary, on which the reference scorer raises.
pub(super) fn alternatives(text: &str) -> Option<Vec<(String, Vec<Literal>)>> {
    let text = text.trim_matches('"');
    let parsed = json::parse(text).or_else(|| match Literal::parse(text)? {
        // A dictionary within quotes.
        Literal::Text(inner) => Literal::parse(&inner),
        value => matches!(value, Literal::Dict(_)).then_some(value),
    });
    let entries = match parsed {
        None => return Some(Vec::new()),
        Some(Literal::Dict(entries)) => entries,
        Some(_) => return None,
    };
    let alternatives = entries.into_iter().map(|(key, value)| match value {
        Literal::List(values) => (key.to_text(), values),
        value => (key.to_text(), vec![value]),
    });
    Some(alternatives.collect())
}

/// The share, 0 to 1, of right values among the keys of a prediction and of a reference, the best
/// over what the reference allows for each key. Texts are compared in small letters and without
/// blanks, keys as they are. `None` where a reference value is neither text nor empty, on which the
/// reference scorer raises.
///
/// The reference tries every combination of values; as keys do not depend on one another, the best
/// of each key is enough.
pub(super) fn score(prediction: &str, wanted: &[(String, Vec<Literal>)]) -> Option<f64> {
    if wanted.iter().any(|(_, values)| values.is_empty()) {
        return Some(0.0);
    }
    let found = answer_dict::parse(prediction);
    let value_of = |key: &str| found.iter().find(|(known, _)| known == key).map(|(_, value)| value);
    let extra = found.iter().filter(|(key, _)| !wanted.iter().any(|(known, _)| known == key));
    let (mut right, mut keys) = (0_usize, extra.count());
    for (key, values) in wanted {
        let found = value_of(key).map(|value| plain(value));
        // A key that may be missing, and is, does not count.
        if found.is_none() && values.contains(&Literal::Constant("None")) {
            continue;
        }
        keys += 1;
        let mut equal = false;
        for value in values {
            equal |= match value {
                Literal::Text(text) => found.as_deref() == Some(&plain(text)),
                _ if value.is_false() => false,
                _ => return None,
            };
        }
        right += usize::from(equal);
    }
    Some(if keys == 0 { 0.0 } else { right as f64 / keys as f64 })
}

fn plain(text: &str) -> String {
    strip(&text.to_lowercase()).replace(['\n', ' '], "")
}

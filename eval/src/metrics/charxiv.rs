//! CharXiv's (Wang et al. 2024) answers compared as texts. The leaderboard asks a judge model; this
//! is a rule of ours that needs none, and is stricter on wording.

use super::MetricInfo;
use crate::python::{collapse_spaces, float, strip};

/// Of an item with `extra` as `{"template"?: number}`, the number of a descriptive question.
pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "charxiv",
    variant: "text",
    summary: "equal texts, numbers or lists of labels; not the leaderboard's judge",
    score: |item| {
        let references = item.reference_texts()?;
        let template = &item.extra["template"];
        let written = || template.as_str().and_then(|text| text.parse().ok()); // in tables of text
        let template = template.as_u64().or_else(written);
        let prediction = item.text()?;
        let right = references.iter().any(|reference| agrees(prediction, reference, template));
        Ok(f64::from(right).into())
    },
}];

/// The descriptive question after the labels of a legend, whose order does not count.
const LEGEND_LABELS: u64 = 13;

/// Whether an answer says what the reference says: equal in any case, with blanks and a closing
/// dot aside; equal as numbers; or equal as a set of labels.
pub fn agrees(prediction: &str, reference: &str, template: Option<u64>) -> bool {
    let (found, wanted) = (plain(prediction), plain(reference));
    if template == Some(LEGEND_LABELS) {
        return labels(&found) == labels(&wanted);
    }
    let number = |text: &str| float(&text.replace(',', "")).filter(|value| value.is_finite());
    match (number(&found), number(&wanted)) {
        (Some(found), Some(wanted)) => (found - wanted).abs() <= 1e-9 * wanted.abs().max(1e-9),
        _ => found == wanted,
    }
}

fn plain(text: &str) -> String {
    let text =
        collapse_spaces(&text.to_lowercase().replace(['$', '"', '“', '”'], " ").replace('−', "-"));
    let text = strip(text.trim_end_matches('.'));
    match text {
        "n/a" | "na" | "none" => "not applicable".to_owned(),
        text => text.to_owned(),
    }
}

fn labels(text: &str) -> Vec<&str> {
    let mut labels: Vec<&str> =
        text.split(',').map(strip).filter(|text| !text.is_empty()).collect();
    labels.sort_unstable();
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording_aside_answers_are_equal() {
        assert!(agrees("Not Applicable.", "not applicable", None));
        assert!(agrees("1,000", "1000.0", None));
        assert!(agrees("B, A", "A,  B", Some(13)));
        assert!(!agrees("B, A", "A, B", Some(1)));
        assert!(!agrees("0.13", "0.12", None));
    }
}

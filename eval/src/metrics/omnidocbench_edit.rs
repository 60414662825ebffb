//! OmniDocBench's edit distance over a whole set (Ouyang et al. 2025), as in its `call_Edit_dist`.

use super::{Item, MetricInfo, ScoreError};
use crate::python::length;
use crate::text::edit_distance;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "omnidocbench_edit",
    variant: "fork.page_aggregate",
    summary: "edits over length: the mean over pages, over samples, and of the whole set",
    score: of_item,
}];

/// Of an item with `extra` as `{"samples": [[id, prediction, reference], …]}`.
fn of_item(item: &Item) -> Result<Value, ScoreError> {
    let wrong = ScoreError::WrongForm {
        field: "extra.samples",
        expected: "a list of [id, prediction, reference]",
    };
    let texts = |sample: &Value| match sample.as_array()?.as_slice() {
        [id, prediction, reference] => Some((
            id.as_str()?.to_owned(),
            prediction.as_str()?.to_owned(),
            reference.as_str()?.to_owned(),
        )),
        _ => None,
    };
    let samples = item.extra["samples"].as_array().ok_or(wrong.clone())?;
    let samples: Option<Vec<_>> = samples.iter().map(texts).collect();
    let samples = samples.ok_or(wrong)?;
    let borrowed: Vec<_> =
        samples.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    let edits = score(&borrowed).ok_or(ScoreError::Undefined("no text on either side"))?;
    Ok(json!({
        "ALL_page_avg": edits.page_mean,
        "edit_sample_avg": edits.sample_mean,
        "edit_whole": edits.whole,
    }))
}

/// Edits over length, each 0 (equal) to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetEdits {
    /// The mean over pages of a page's edits over its length; what the leaderboard shows.
    pub page_mean: f64,
    /// The mean over samples.
    pub sample_mean: f64,
    /// All edits over all length.
    pub whole: f64,
}

/// The edits of (id, prediction, reference). An id is that of a page, which ends in `.jpg` or
/// `.png`, or a page's with `_` and a number. Samples and pages without text on both sides count
/// in no mean; `None` when that is all there is.
pub fn score(samples: &[(&str, &str, &str)]) -> Option<SetEdits> {
    let mut pages: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut ratios = Vec::with_capacity(samples.len());
    for &(id, prediction, reference) in samples {
        let longest = length(prediction).max(length(reference));
        let edits = edit_distance(prediction, reference);
        if longest > 0 {
            ratios.push(edits as f64 / longest as f64);
        }
        let page = pages.entry(page_of(id)).or_default();
        *page = (page.0 + edits, page.1 + longest);
    }
    let ratio = |&(edits, longest): &(usize, usize)| edits as f64 / longest as f64;
    let of_pages: Vec<f64> = pages.values().filter(|page| page.1 > 0).map(ratio).collect();
    let all = pages.values().fold((0, 0), |sum, page| (sum.0 + page.0, sum.1 + page.1));
    (!ratios.is_empty()).then(|| SetEdits {
        page_mean: mean(&of_pages),
        sample_mean: mean(&ratios),
        whole: ratio(&all),
    })
}

fn page_of(id: &str) -> &str {
    match id.ends_with(".jpg") || id.ends_with(".png") {
        true => id,
        false => id.rsplit_once('_').map_or("", |(page, _)| page),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

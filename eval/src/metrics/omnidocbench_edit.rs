//! OmniDocBench's edit distance over a whole set (Ouyang et al. 2025), as in its `call_Edit_dist`.

use super::edits::{Edits, SetEdits};
use super::{Item, MetricInfo, ScoreError};
use serde_json::{Value, json};

pub(super) const METRICS: &[MetricInfo] = &[MetricInfo {
    name: "omnidocbench_edit",
    variant: "fork.page_aggregate",
    summary: "edits over length: the mean over pages, over samples, and of the whole set",
    score: of_item,
}];

/// Of an item with `extra` as `{"samples": [[id, prediction, reference], …]}`.
fn of_item(item: &Item) -> Result<Value, ScoreError> {
    let samples: Vec<(String, String, String)> =
        item.extra_part("samples", "extra.samples", "a list of [id, prediction, reference]")?;
    let borrowed: Vec<_> =
        samples.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    let edits = score(&borrowed).ok_or(ScoreError::Undefined("no text on either side"))?;
    Ok(json!({
        "ALL_page_avg": edits.page_mean,
        "edit_sample_avg": edits.sample_mean,
        "edit_whole": edits.whole,
    }))
}

/// The edits of (id, prediction, reference). An id is that of a page, which ends in `.jpg` or
/// `.png`, or a page's with `_` and a number. Samples and pages without text on both sides count
/// in no mean; `None` when that is all there is.
pub fn score(samples: &[(&str, &str, &str)]) -> Option<SetEdits> {
    SetEdits::of(
        samples.iter().map(|&(id, prediction, reference)| {
            (page_of(id), Edits::of_texts(prediction, reference))
        }),
    )
}

fn page_of(id: &str) -> &str {
    match id.ends_with(".jpg") || id.ends_with(".png") {
        true => id,
        false => id.rsplit_once('_').map_or("", |(page, _)| page),
    }
}

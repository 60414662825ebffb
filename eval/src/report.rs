//! A run as one page that opens from disk.

mod chart;
mod explain;
mod page;
mod thumbnail;

use crate::EvalError;
use crate::run::{Manifest, Response, RunFolder};
use crate::scores::{ItemResult, Scores};
use crate::task::Task;
use glm4v_datasets::Dataset;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Writes `report.html`, `report.md` and `report.csv` into a run's folder. Thumbnails come from the
/// dataset; where it is no longer there, the page has none.
///
/// # Errors
/// When the run can't be read or the files not be written.
pub fn write_report(folder: &RunFolder) -> Result<(), EvalError> {
    let manifest = folder.manifest()?;
    let scores = Scores::of_run(folder)?;
    let responses = folder.responses()?;
    let failures = folder.failures()?;
    let mut by_index: HashMap<usize, &Response> =
        failures.iter().map(|failure| (failure.response.index, &failure.response)).collect();
    by_index.extend(responses.iter().map(|response| (response.index, response)));
    let thumbnails = thumbnails(&manifest, &by_index);
    let items: Vec<Value> = scores
        .items
        .iter()
        .filter_map(|item| Some(item_json(&scores.metric, item, by_index.get(&item.index)?)))
        .collect();
    let most = scores.items.iter().filter_map(|item| item.score).fold(1.0, f64::max);
    let lower = scores.lower_is_better;
    let data = json!({ "items": items, "thumbnails": thumbnails, "most": most, "lower": lower });
    folder.write("report.html", page::html(&manifest, &scores, &data).as_bytes())?;
    folder.write("report.md", page::markdown(&manifest, &scores).as_bytes())?;
    folder.write("report.csv", csv(&scores, &by_index).as_bytes())
}

fn item_json(metric: &str, item: &ItemResult, response: &Response) -> Value {
    let explained = explain::explain(metric, item);
    let forms = explained.references.first().map(|_| (&explained.answer, &explained.references));
    json!({
        "id": item.id,
        "state": item.state.name(),
        "score": item.score,
        "question": response.question,
        "prompt": response.prompt,
        "references": item.references,
        "answer": item.answer,
        "reply": if response.reply.text == item.answer { "" } else { &response.reply.text },
        "why": item.failure,
        "reason": explained.reason,
        "forms": forms,
        "groups": item.groups,
        "images": response.images.iter().map(|digest| short(digest)).collect::<Vec<_>>(),
        "ms": response.milliseconds,
    })
}

/// Enough of a digest to tell the images of a run apart.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// Small pictures that are made side by side.
const PICTURES_AT_ONCE: usize = 64;
/// The most bytes of small pictures in a page, which browsers must still open; images behind
/// these have none.
const MOST_PICTURE_BYTES: usize = 48 << 20;

/// A small picture of each image, by its digest.
fn thumbnails(
    manifest: &Manifest,
    responses: &HashMap<usize, &Response>,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let task = Task::find(&manifest.task_place);
    let dataset = task.and_then(|task| Ok(Dataset::find(&task.layout, &manifest.data)?));
    let Ok(dataset) = dataset else { return found };
    let side = thumbnail::side(responses.len());
    let mut seen = HashSet::new();
    let images = dataset.samples(true).enumerate().flat_map(|(index, sample)| {
        let response = responses.get(&index);
        let (Some(response), Ok(sample)) = (response, sample) else { return Vec::new() };
        let keys = response.images.iter().map(|digest| short(digest).to_owned());
        sample.images.into_iter().zip(keys).collect()
    });
    let mut images = images.filter(|(_, key)| seen.insert(key.clone()));
    let mut bytes = 0;
    while bytes < MOST_PICTURE_BYTES {
        let some: Vec<_> = images.by_ref().take(PICTURES_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let small = some.into_par_iter().filter_map(|(image, key)| {
            Some((key, thumbnail::data_url(&image.read().ok()?, side)?))
        });
        let small: Vec<(String, String)> = small.collect();
        bytes += small.iter().map(|(_, url)| url.len()).sum::<usize>();
        found.extend(small);
    }
    found
}

fn csv(scores: &Scores, responses: &HashMap<usize, &Response>) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = String::from("id,state,score,question,references,answer\n");
    for item in &scores.items {
        let question = responses.get(&item.index).map_or("", |response| &response.question);
        let score = item.score.map_or(String::new(), |score| score.to_string());
        let references = item.references.join(" | ");
        let cells = [&item.id, item.state.name(), &score, question, &references, &item.answer];
        text += &cells.map(quoted).join(",");
        text.push('\n');
    }
    text
}

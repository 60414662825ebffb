//! A run as one page that opens from disk.

mod page;
mod thumbnail;

use crate::EvalError;
use crate::run::{Manifest, Response, RunFolder};
use crate::scores::{ItemResult, Scores};
use crate::task::Task;
use glm4v_datasets::Dataset;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

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
        .filter_map(|item| Some(item_json(item, by_index.get(&item.index)?)))
        .collect();
    let data = json!({ "items": items, "thumbnails": thumbnails });
    folder.write("report.html", page::html(&manifest, &scores, &data).as_bytes())?;
    folder.write("report.md", page::markdown(&manifest, &scores).as_bytes())?;
    folder.write("report.csv", csv(&scores, &by_index).as_bytes())
}

fn item_json(item: &ItemResult, response: &Response) -> Value {
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
        "groups": item.groups,
        "images": response.images.iter().map(|digest| short(digest)).collect::<Vec<_>>(),
        "ms": response.milliseconds,
    })
}

/// Enough of a digest to tell the images of a run apart.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

/// A small picture of each image, by its digest.
fn thumbnails(
    manifest: &Manifest,
    responses: &HashMap<usize, &Response>,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let task = Task::find(&manifest.task_place);
    let dataset = task.and_then(|task| Ok(Dataset::find(&task.layout, &manifest.data)?));
    let Ok(dataset) = dataset else { return found };
    for (index, sample) in dataset.samples(true).enumerate() {
        let (Some(response), Ok(sample)) = (responses.get(&index), sample) else { continue };
        for (image, digest) in sample.images.iter().zip(&response.images) {
            let key = short(digest).to_owned();
            if !found.contains_key(&key)
                && let Ok(bytes) = image.read()
                && let Some(url) = thumbnail::data_url(&bytes)
            {
                found.insert(key, url);
            }
        }
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

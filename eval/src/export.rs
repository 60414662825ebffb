//! A run as the result files of other harnesses, so that their tools can read it.

use crate::EvalError;
use crate::python::text_repr;
use crate::run::{Response, RunFolder};
use crate::scores::{ItemResult, Scores};
use crate::task::{Peer, Task};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Whose files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportForm {
    /// `MODEL/glm4v_results.json` and `MODEL/glm4v_samples_TASK.jsonl`.
    LmmsEval,
    /// `MODEL/MODEL_DATASET.tsv` with the predictions, and `MODEL/MODEL_DATASET_acc.csv` with the
    /// scores in percent.
    Vlmevalkit,
}

impl ExportForm {
    fn peer(self) -> &'static str {
        match self {
            Self::LmmsEval => "lmms-eval",
            Self::Vlmevalkit => "vlmevalkit",
        }
    }
}

/// Writes a run as another harness writes its results, and gives the files.
///
/// # Errors
/// When the run can't be read or a file not be written.
pub fn export(
    folder: &RunFolder,
    form: ExportForm,
    output: &Path,
) -> Result<Vec<PathBuf>, EvalError> {
    let manifest = folder.manifest()?;
    let scores = Scores::of_run(folder)?;
    let peer =
        Task::find(&manifest.task_place).ok().and_then(|mut task| task.peers.remove(form.peer()));
    let peer = peer.unwrap_or(Peer { task: scores.task.clone(), metric: None });
    let model = file_name(&manifest.identity.model.name);
    let place = output.join(&model);
    std::fs::create_dir_all(&place)
        .map_err(|source| EvalError::File { file: place.clone(), source })?;
    let responses: HashMap<usize, Response> =
        folder.responses()?.into_iter().map(|response| (response.index, response)).collect();
    let answered: Vec<(&ItemResult, &Response)> =
        scores.items.iter().filter_map(|item| Some((item, responses.get(&item.index)?))).collect();
    let files = match form {
        ExportForm::LmmsEval => {
            let samples = lmms_eval_samples(&peer, &scores, &answered);
            let results = lmms_eval_results(&peer, &scores, &model);
            let name = format!("glm4v_samples_{}.jsonl", peer.task);
            vec![
                (name, samples.into_bytes()),
                ("glm4v_results.json".to_owned(), results.into_bytes()),
            ]
        }
        ExportForm::Vlmevalkit => {
            let stem = format!("{model}_{}", peer.task);
            let table = predictions(&answered)
                .map_err(|source| EvalError::File { file: place.clone(), source })?;
            vec![(format!("{stem}.tsv"), table), (format!("{stem}_acc.csv"), accuracy(&scores))]
        }
    };
    let mut written = Vec::new();
    for (name, content) in files {
        let file = place.join(name);
        std::fs::write(&file, content)
            .map_err(|source| EvalError::File { file: file.clone(), source })?;
        written.push(file);
    }
    Ok(written)
}

/// The name of a model without what divides paths, as both harnesses write it.
fn file_name(model: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    model.trim_matches('/').chars().map(kept).collect()
}

fn metric_name(peer: &Peer, scores: &Scores) -> String {
    let own = || scores.metric.split(':').next().unwrap_or_default().to_owned();
    peer.metric.clone().unwrap_or_else(own)
}

fn target(item: &ItemResult) -> String {
    match item.references.as_slice() {
        [one] => one.clone(),
        several => {
            let texts: Vec<String> = several.iter().map(|text| text_repr(text)).collect();
            format!("[{}]", texts.join(", "))
        }
    }
}

fn lmms_eval_samples(
    peer: &Peer,
    scores: &Scores,
    answered: &[(&ItemResult, &Response)],
) -> String {
    let metric = metric_name(peer, scores);
    let line = |(item, response): &(&ItemResult, &Response)| {
        let target = target(item);
        let images = response.images.iter();
        let mut line = json!({
            "doc_id": item.index,
            "target": target,
            "resps": [response.reply.text],
            "filtered_resps": item.answer,
            "doc_hash": crate::digest::of([&response.id, &response.question].into_iter().chain(images)),
            "prompt_hash": crate::digest::of([&response.prompt]),
            "target_hash": crate::digest::of([&target]),
            "input": response.prompt,
        });
        line[&metric] = item.score.into();
        line.to_string() + "\n"
    };
    answered.iter().map(line).collect()
}

fn lmms_eval_results(peer: &Peer, scores: &Scores, model: &str) -> String {
    let metric = metric_name(peer, scores);
    let mut numbers = Map::new();
    numbers.insert("alias".to_owned(), peer.task.clone().into());
    numbers.insert(format!("{metric},none"), scores.all.score.into());
    for (kind, parts) in &scores.breakdown {
        for (part, group) in parts {
            numbers.insert(format!("{metric}_{kind}_{part},none"), group.all.score.into());
        }
    }
    let count = scores.all.count;
    let results = json!({
        "results": { &peer.task: Value::Object(numbers) },
        "higher_is_better": { &peer.task: { &metric: !scores.lower_is_better } },
        "n-samples": { &peer.task: { "original": count, "effective": count } },
        "config": { "model": "glm4v", "metric": scores.metric, "preset": scores.preset },
        "model_name": model,
    });
    format!("{results:#}\n")
}

fn predictions(answered: &[(&ItemResult, &Response)]) -> std::io::Result<Vec<u8>> {
    let most = answered.iter().map(|(_, response)| response.options.len()).max().unwrap_or(0);
    let letters: Vec<String> = ('A'..='Z').take(most).map(String::from).collect();
    let kinds: Vec<&String> =
        answered.first().map(|(item, _)| item.groups.keys().collect()).unwrap_or_default();
    let mut table = csv::WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    let fixed = ["index", "question", "answer"].into_iter();
    let options = letters.iter().map(String::as_str);
    let groups = kinds.iter().map(|kind| kind.as_str());
    let header = fixed.chain(options).chain(groups).chain(["prediction"]);
    table.write_record(header.collect::<Vec<_>>())?;
    for (item, response) in answered {
        let mut cells = vec![item.id.clone(), response.question.clone(), target(item)];
        cells.extend((0..most).map(|at| response.options.get(at).cloned().unwrap_or_default()));
        cells.extend(kinds.iter().map(|kind| item.groups.get(*kind).cloned().unwrap_or_default()));
        cells.push(item.answer.clone());
        table.write_record(cells)?;
    }
    table.into_inner().map_err(|error| error.into_error())
}

/// The scores of the parts and of the whole in percent, as VLMEvalKit writes them.
fn accuracy(scores: &Scores) -> Vec<u8> {
    let mut columns = Vec::new();
    for parts in scores.breakdown.values() {
        columns.extend(parts.iter().map(|(part, group)| (part.clone(), group.all.score)));
    }
    columns.push(("Overall".to_owned(), scores.all.score));
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
    let percent =
        |score: Option<f64>| score.map_or(String::new(), |s| format!("\"{}\"", s * 100.0));
    let values: Vec<String> = columns.iter().map(|(_, score)| percent(*score)).collect();
    format!("{}\n{}\n", names.join(","), values.join(",")).into_bytes()
}

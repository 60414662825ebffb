//! Answers that a model judges: what benchmarks without a rule for right and wrong ask for.
//!
//! Judging a run is a run itself: its samples are the other's answers, and its answerer is the
//! judge. So it can be gone on with, compared and reported like any other.

use crate::EvalError;
use crate::answerer::Answerer;
use crate::run::{Outcome, Progress, RunFolder, RunOptions, run};
use crate::scores::Scores;
use crate::task::Task;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The run's answers as they are put to the judge, in the folder of the judgement.
const ROWS: &str = "judged.jsonl";
/// The declaration that reads them.
const TASK: &str = include_str!("judge.toml");

/// Has `judge` judge the answers of `judged`, or goes on with that. `options.data` is not looked
/// at; `prompt`, a template over `meta.asked`, `meta.answer`, `meta.wanted` and what the run's
/// scores are broken down by, takes the place of the program's own. The verdict is a JSON object
/// with `score` 0 or 1, and anything else is none and counts 0.
///
/// # Errors
/// As [`run`], and when the run that is judged cannot be read.
pub fn judge(
    judged: &RunFolder,
    judge: &dyn Answerer,
    options: &RunOptions,
    prompt: Option<&str>,
    on_progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, EvalError> {
    let manifest = judged.manifest()?;
    let mut task = Task::parse("judge.toml", TASK)?;
    task.name = format!("{}-judged", manifest.identity.task);
    if let Some(prompt) = prompt {
        task.prompts.values_mut().for_each(|preset| prompt.clone_into(&mut preset.text));
    }
    for kind in &manifest.scoring.breakdown {
        task.layout.iter_mut().for_each(|layout| {
            layout.keep.insert(kind.clone(), kind.clone());
        });
    }
    let rows = rows(judged, &manifest.identity.model.name)?;
    task.scoring.breakdown.extend(manifest.scoring.breakdown);
    let folder = RunFolder::at(&options.output)?;
    if folder.file("run.json").exists() && folder.manifest()?.identity.task != task.name {
        let differences = "task".to_owned();
        return Err(EvalError::OtherRun { folder: options.output.clone(), differences });
    }
    folder.write(ROWS, &rows)?;
    let options = RunOptions { data: folder.file(ROWS), ..options.clone() };
    run(&task, judge, &options, on_progress)
}

/// A line for each sample of the run of `model`, those without an answer among them.
fn rows(judged: &RunFolder, model: &str) -> Result<Vec<u8>, EvalError> {
    let failures = judged.failures()?.into_iter().map(|failure| failure.response);
    let asked: HashMap<usize, _> =
        judged.responses()?.into_iter().chain(failures).map(|asked| (asked.index, asked)).collect();
    let mut rows = Vec::new();
    for item in Scores::of_run(judged)?.items {
        let Some(response) = asked.get(&item.index) else { continue };
        let mut row: Map<String, Value> =
            item.groups.into_iter().map(|(kind, part)| (kind, part.into())).collect();
        let own = json!({
            "id": item.id, "question": response.question, "references": item.references,
            "asked": response.prompt, "answer": item.answer, "wanted": item.references,
            "model": model,
        });
        row.extend(own.as_object().cloned().unwrap_or_default());
        rows.extend(Value::Object(row).to_string().into_bytes());
        rows.push(b'\n');
    }
    Ok(rows)
}

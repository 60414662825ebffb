//! One of the two that are compared.

use super::foreign;
use crate::EvalError;
use crate::run::{Manifest, Response, RunFolder};
use crate::scores::{ItemResult, Scores};
use crate::task::Aggregate;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A run, or another harness's results.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it is, in a few words.
    pub(super) what: String,
    pub(super) items: Vec<SideItem>,
    /// For a run, how it was made.
    pub(super) manifest: Option<Manifest>,
    /// The metric by which a run scored its answers.
    pub(super) metric: Option<String>,
}

/// A sample with its answer. What a file does not tell is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct SideItem {
    pub(super) id: String,
    pub(super) question: String,
    pub(super) prompt: String,
    pub(super) references: Vec<String>,
    /// The whole reply, where it is known.
    pub(super) reply: String,
    /// What was taken out of it to be scored.
    pub(super) answer: String,
    /// Its score by its own harness.
    pub(super) score: Option<f64>,
    pub(super) groups: BTreeMap<String, String>,
    /// For a run, all that is known.
    pub(super) response: Option<Response>,
}

impl Side {
    /// The run in a folder, or the results in a file: lmms-eval's samples (`.jsonl`), VLMEvalKit's
    /// predictions (`.xlsx`, `.tsv`, `.csv`, `.json`).
    ///
    /// # Errors
    /// When it is neither, or can't be read.
    pub fn open(path: &Path) -> Result<Self, EvalError> {
        match path.is_dir() {
            true => Self::of_run(&RunFolder::open(path)?),
            false => foreign::read(path),
        }
    }

    /// Whether the score of the whole is the mean of the samples', as far as is known.
    pub(super) fn is_mean_of_samples(&self) -> bool {
        let manifest = self.manifest.as_ref();
        manifest.is_none_or(|manifest| manifest.scoring.aggregate == Aggregate::Mean)
    }

    /// A run.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn of_run(folder: &RunFolder) -> Result<Self, EvalError> {
        let manifest = folder.manifest()?;
        let scores = Scores::of_run(folder)?;
        let responses = folder.responses()?.into_iter();
        let failures = folder.failures()?.into_iter().map(|failure| failure.response);
        let mut responses: HashMap<usize, Response> =
            failures.chain(responses).map(|response| (response.index, response)).collect();
        let item = |item: ItemResult| {
            let response = responses.remove(&item.index);
            SideItem {
                id: item.id,
                question: response.as_ref().map(|r| r.question.clone()).unwrap_or_default(),
                prompt: response.as_ref().map(|r| r.prompt.clone()).unwrap_or_default(),
                reply: response.as_ref().map(|r| r.reply.text.clone()).unwrap_or_default(),
                references: item.references,
                answer: item.answer,
                score: item.score,
                groups: item.groups,
                response,
            }
        };
        let items = scores.items.into_iter().map(item).collect();
        let what = format!("{} · {}", manifest.identity.task, manifest.identity.model.name);
        Ok(Self { what, items, manifest: Some(manifest), metric: Some(scores.metric) })
    }
}

//! What a run is: everything that is needed to repeat it.

use super::{Selection, Shard};
use crate::answerer::{AnswerOptions, AnswererCard};
use crate::task::{Preset, Scoring, Task};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;

/// The content of `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the program that made it.
    pub version: String,
    /// What is asked of whom; two runs of the same identity have the same questions.
    pub identity: Identity,
    /// The task's name, or the file that declares it.
    pub task_place: String,
    /// The part of the samples that this run asks.
    pub shard: Option<Shard>,
    /// How answers are scored; changes nothing about the answers.
    pub scoring: Scoring,
    /// Where the dataset was.
    pub data: PathBuf,
    /// Samples that the selection has, over all shards.
    pub samples: usize,
    /// Samples that this run asks.
    pub asked: usize,
    /// Rows that could not be read, as errors tell it.
    pub bad_rows: Vec<String>,
}

/// What decides about the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The task's name.
    pub task: String,
    /// The layout in which the dataset was found.
    pub layout: String,
    /// The prompts' preset.
    pub preset: String,
    /// The template of the prompts.
    pub prompt: String,
    /// Digest of the template.
    pub prompt_digest: String,
    /// The model.
    pub model: AnswererCard,
    /// How answers are made.
    pub options: AnswerOptions,
    /// Which samples are asked.
    pub selection: Selection,
    /// Digest of the ids of the selected samples.
    pub samples_digest: String,
}

impl Identity {
    pub(super) fn new(
        task: &Task,
        layout: &str,
        (preset_name, preset): (&str, &Preset),
        model: &AnswererCard,
        options: &AnswerOptions,
        (selection, samples_digest): (&Selection, String),
    ) -> Self {
        let prompt = preset.template(&model.family).to_owned();
        Self {
            task: task.name.clone(),
            layout: layout.to_owned(),
            preset: preset_name.to_owned(),
            prompt_digest: crate::digest::of([&prompt]),
            prompt,
            model: model.clone(),
            options: options.clone(),
            selection: selection.clone(),
            samples_digest,
        }
    }

    /// What differs from another identity: paths of fields with both values.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let value = |identity: &Self| serde_json::to_value(identity).unwrap_or_default();
        let mut found = Vec::new();
        collect("", &value(self), &value(other), &mut found);
        found
    }
}

fn collect(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let of = |object: &serde_json::Map<String, Value>| object.get(name).cloned();
                let (left, right) = (of(left).unwrap_or_default(), of(right).unwrap_or_default());
                collect(&path, &left, &right, found);
            }
        }
        _ if left == right => {}
        _ => found.push(format!("{path} ({left} and {right})")),
    }
}

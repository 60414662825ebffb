//! Benchmarks as declarations: where the samples are, how they are asked and how they are scored.
//!
//! A task is a TOML file. Those in `eval/tasks` are in the program; a user's own is given by path.

mod builtin;
mod prompt;

pub use prompt::PromptTemplate;

use crate::EvalError;
use crate::metrics::{self, MetricInfo};
use glm4v_datasets::{Dataset, Layout};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The preset that is used unless another is asked for.
pub const DEFAULT_PRESET: &str = "default";

/// A benchmark.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Its name on the command line.
    pub name: String,
    /// What it asks, in a line.
    pub summary: String,
    /// Samples that the whole set has; 0 where that is the user's matter.
    pub size: usize,
    /// Where it comes from.
    pub source: String,
    /// Its licence.
    pub licence: String,
    /// The dataset on the Hugging Face hub, `owner/name`, that a layout fits.
    pub hub: Option<String>,
    /// What other harnesses call it: `lmms-eval`, `vlmevalkit`.
    #[serde(default)]
    pub peers: BTreeMap<String, Peer>,
    /// The ways in which it is published; the first that fits the user's folder is read.
    pub layout: Vec<Layout>,
    /// Prompts by preset; `default` is ours, the others are those of other harnesses.
    pub prompts: BTreeMap<String, Preset>,
    /// How answers are scored.
    pub scoring: Scoring,
    /// What [`Task::find`] found it by.
    #[serde(skip)]
    pub place: String,
    /// Digest of the file that declares it.
    #[serde(skip)]
    pub digest: String,
}

/// A task as another harness knows it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The task's or dataset's name there.
    pub task: String,
    /// The metric's name in its results.
    pub metric: Option<String>,
}

/// How a task is put to a model.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The prompt as a Jinja template over `question`, `options`, `letters` and the metadata.
    pub text: String,
    /// The prompt for models of some families, where another than `text`.
    #[serde(default)]
    pub family: BTreeMap<String, String>,
    /// The most tokens of an answer, unless the user says otherwise.
    pub max_tokens: Option<usize>,
}

impl Preset {
    /// The template for models of `family`.
    pub fn template(&self, family: &str) -> &str {
        self.family.get(family).unwrap_or(&self.text)
    }
}

/// How answers are scored.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// `NAME:VARIANT` of the metric.
    pub metric: String,
    /// How the answer is taken out of the reply.
    #[serde(default)]
    pub extract: Extraction,
    /// How the score of the set is made.
    #[serde(default)]
    pub aggregate: Aggregate,
    /// For [`Aggregate::GroupMean`], the metadata that says to which group a sample belongs.
    pub group: Option<String>,
    /// For a metric whose score is an object, the part that counts, with dots to reach inside.
    pub part: Option<String>,
    /// Other parts of such a score that are told beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// What the metric's text is held against, for metrics that extract a choice.
    #[serde(default)]
    pub compare: Compare,
    /// What the metric's `extra` takes from the sample: its name there, and that of the metadata.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
    /// Metadata by which scores are also given apart.
    #[serde(default)]
    pub breakdown: Vec<String>,
    /// Whether a lower score is better, as with error rates.
    #[serde(default)]
    pub lower_is_better: bool,
}

/// How the answer is taken out of a reply.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Extraction {
    /// Thoughts are dropped, then GLM's marks around the answer.
    #[default]
    Glm,
    /// As [`Self::Glm`], then the last `\boxed{…}`.
    Boxed,
    /// As [`Self::Glm`], then the first code block or object in braces.
    Json,
    /// As [`Self::Glm`], then the last number in the text, without commas.
    LastNumber,
    /// The reply as it is.
    None,
    /// Another harness's rule, a variant of the metric `answer_extract`, such as
    /// `vlmevalkit.glm_thinking`.
    #[serde(untagged)]
    Rule(String),
}

impl Extraction {
    /// The rule of this name, as task files write it.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(name: &str) -> Result<Self, EvalError> {
        let found: Self = serde_json::from_value(name.into()).unwrap_or_default();
        found.check().map(|()| found)
    }

    fn check(&self) -> Result<(), EvalError> {
        let Self::Rule(name) = self else { return Ok(()) };
        if metrics::find(&format!("{RULES}:{name}")).is_some() {
            return Ok(());
        }
        let rules = metrics::all().filter(|info| info.name == RULES).map(|info| info.variant);
        let known = ["glm", "boxed", "json", "last_number", "none"].into_iter().chain(rules);
        let known = known.collect::<Vec<_>>().join(", ");
        Err(EvalError::UnknownExtraction { name: name.clone(), known })
    }
}

/// The metric whose variants are rules of extraction.
pub(crate) const RULES: &str = "answer_extract";

/// How the score of a set is made from its answers.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// The mean of the scores.
    #[default]
    Mean,
    /// The metric of all answers at once, each against its first reference, as for error rates.
    Corpus,
    /// The metric of all answers at once, each against all its references, as for captions.
    CorpusLists,
    /// The metric of all answers as one object with a field an answer, as for fields that are
    /// counted over a whole set.
    Documents,
    /// The sum of the scores, as in OCRBench's points.
    Sum,
    /// The mean of the groups' means, as in OCRBench v2; `group` says which groups.
    GroupMean,
    /// The metric of all answers at once, each against all its references; each answer has a score
    /// of its own too, as OmniDocBench's pages.
    Pages,
}

impl Aggregate {
    /// Whether each answer has a score of its own.
    pub(crate) fn is_per_item(self) -> bool {
        !matches!(self, Self::Corpus | Self::CorpusLists)
    }
}

/// What the metric's result is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// A score.
    #[default]
    Score,
    /// A text that is right when it is the first reference.
    Equal,
}

impl Task {
    /// Every task in the program, by name.
    ///
    /// # Errors
    /// When one is no good declaration.
    pub fn builtin() -> Result<Vec<Self>, EvalError> {
        builtin::FILES.iter().map(|(name, text)| Self::parse(name, text)).collect()
    }

    /// The task of this name, or the one that a `.toml` file declares.
    ///
    /// # Errors
    /// When there is none, or its file is no good declaration.
    pub fn find(name: &str) -> Result<Self, EvalError> {
        if Path::new(name).extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(name)
                .map_err(|source| EvalError::File { file: name.into(), source })?;
            return Self::parse(name, &text);
        }
        match builtin::FILES.iter().find(|(file, _)| *file == name) {
            Some((file, text)) => Self::parse(file, text),
            None => Err(EvalError::UnknownTask {
                name: name.to_owned(),
                known: builtin::FILES.map(|(name, _)| name).join(", "),
            }),
        }
    }

    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, EvalError> {
        let bad = |reason: String| EvalError::BadTask { file: file.to_owned(), reason };
        let mut task: Self = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        task.place = file.to_owned();
        task.digest = crate::digest::of([text]);
        if !task.prompts.contains_key(DEFAULT_PRESET) {
            return Err(bad("there are no [prompts.default]".to_owned()));
        }
        task.scoring.extract.check().map_err(|error| bad(error.to_string()))?;
        if task.scoring.aggregate == Aggregate::GroupMean && task.scoring.group.is_none() {
            return Err(bad(
                "[scoring] says aggregate = \"group_mean\" and has no group".to_owned()
            ));
        }
        for preset in task.prompts.values() {
            for text in preset.family.values().chain([&preset.text]) {
                PromptTemplate::new(text).map_err(|error| bad(error.to_string()))?;
            }
        }
        Ok(task)
    }

    /// Of a repository's files, given by name, those that the samples are read from.
    pub fn wanted_files(&self, names: &[String]) -> Vec<String> {
        glm4v_datasets::wanted_files(&self.layout, names)
    }

    /// What there is to say of a place, a path or the id of a repository, that has none of them.
    pub fn no_files(&self, place: &Path) -> EvalError {
        Dataset::no_files(&self.layout, place).into()
    }

    /// The prompts of a preset.
    ///
    /// # Errors
    /// When the task has no preset of this name.
    pub fn preset(&self, name: &str) -> Result<&Preset, EvalError> {
        self.prompts.get(name).ok_or_else(|| EvalError::UnknownPreset {
            task: self.name.clone(),
            name: name.to_owned(),
            known: self.prompts.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

impl Scoring {
    /// A part such as `bleu.3` as a JSON pointer.
    pub(crate) fn pointer(part: &str) -> String {
        format!("/{}", part.replace('.', "/"))
    }

    /// The metric.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn metric(&self) -> Result<&'static MetricInfo, EvalError> {
        metrics::find(&self.metric).ok_or_else(|| crate::score::unknown(&self.metric))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_metric_that_there_is() {
        for task in Task::builtin().unwrap() {
            task.scoring.metric().unwrap();
            assert!(!task.layout.is_empty(), "{}", task.name);
            assert_eq!(task.size == 0, task.name == "own", "{}", task.name);
            let words = task.hub.as_deref().map(|id| id.split('/').count());
            assert!(words.is_none_or(|words| words == 2), "{}", task.name);
            assert_eq!(Task::find(&task.name).unwrap().digest, task.digest);
        }
    }

    #[test]
    fn of_a_hub_dataset_a_task_wants_its_own_split_alone() {
        let names = [
            "DocVQA/validation-00000-of-00001.parquet",
            "InfographicVQA/test-00000-of-00001.parquet",
            "InfographicVQA/validation-00000-of-00001.parquet",
            "README.md",
            "data/test-00000-of-00001-e2cd0b7a0f9eb20d.parquet",
            "data/train-00000-of-00001.parquet",
        ]
        .map(str::to_owned);
        let wanted = |task: &str| Task::find(task).unwrap().wanted_files(&names);
        assert_eq!(wanted("chartqa"), names[4..5]);
        assert_eq!(wanted("docvqa"), names[..1]);
        assert_eq!(wanted("infovqa"), names[2..3]);
        assert!(wanted("sroie").is_empty());
        let told = Task::find("sroie").unwrap().no_files(Path::new("a/b")).to_string();
        assert!(told.contains("a/b") && told.contains("key/*.json"), "{told}");
    }

    #[test]
    fn what_is_wrong_with_a_task_is_told() {
        let told = |text: &str| Task::parse("mine.toml", text).unwrap_err().to_string();
        assert!(told("name = 1").contains("mine.toml"));
        let error = Task::find("chartqb").unwrap_err().to_string();
        assert!(error.contains("chartqa"), "{error}");
        let error = Task::find("no/such.toml").unwrap_err();
        assert!(matches!(error, EvalError::File { .. }));
    }
}

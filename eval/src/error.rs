//! What can go wrong while asking and scoring.

use glm4v_datasets::DatasetError;
use std::path::PathBuf;

/// Why a benchmark could not be run, or predictions not be scored.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// There is no metric, or no variant of it, of this name.
    #[error("there is no metric `{name}`; known: {known}")]
    UnknownMetric {
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There is no task of this name.
    #[error("there is no task `{name}`; known: {known}; a task of your own is a .toml file")]
    UnknownTask {
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A task has no preset of this name.
    #[error("{task} has no prompt preset `{name}`; it has: {known}")]
    UnknownPreset {
        /// The task.
        task: String,
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A file declares no good task.
    #[error("{file}: no good task: {reason}")]
    BadTask {
        /// The file, or the task's name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A prompt can't be made.
    #[error("the prompt's template fails: {reason}")]
    Prompt {
        /// Where and why.
        reason: String,
    },
    /// The dataset can't be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// No sample was left to ask.
    #[error("{place}: no samples to ask; {bad} rows are bad")]
    NoSamples {
        /// The dataset's place.
        place: PathBuf,
        /// Rows that could not be read.
        bad: usize,
    },
    /// A file of a run can't be read or written.
    #[error("{file}: cannot be read or written")]
    File {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of a run is not what this program writes.
    #[error("{file}: {reason}")]
    BadFile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such rule of extraction.
    #[error("no rule of extraction is called `{name}`; there are {known}")]
    UnknownExtraction {
        /// The name that was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// The folder holds a run of something else.
    #[error("{folder}: holds another run, which differs in {differences}; choose another --output")]
    OtherRun {
        /// The run's folder.
        folder: PathBuf,
        /// What differs, with both values.
        differences: String,
    },
    /// Nobody can answer.
    #[error("{reason}")]
    Unusable {
        /// Why.
        reason: String,
    },
    /// The user broke the run off.
    #[error("interrupted; the same command goes on with the run")]
    Interrupted,
    /// A line could not be read.
    #[error("line {line}: cannot be read")]
    Unreadable {
        /// The line, from 1.
        line: usize,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line is not a prediction.
    #[error("line {line}: not a prediction; expected {expected}")]
    BadLine {
        /// The line, from 1.
        line: usize,
        /// The form it should have.
        expected: &'static str,
        /// Where and how it departs from it.
        source: serde_json::Error,
    },
    /// A line is a prediction, but not of the form that the metric takes.
    #[error("line {line}: {source}")]
    NoScore {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: crate::metrics::ScoreError,
    },
    /// An answer of a run is not of the form that the metric takes.
    #[error("{id}: {source}")]
    NoItemScore {
        /// The sample.
        id: String,
        /// What is wrong with it.
        source: crate::metrics::ScoreError,
    },
    /// There was nothing to score.
    #[error("no lines to score")]
    Empty,
}

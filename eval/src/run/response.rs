//! What came of each sample.

use crate::answerer::Reply;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A sample with the answer that it got: a line of `responses.jsonl`. It holds all that scoring
/// and reports need, so that they work without the dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The sample's place in the dataset, from 0.
    pub index: usize,
    /// Its id.
    pub id: String,
    /// Digest of all that the answer depends on: model, prompt, images, options.
    pub key: String,
    /// The question as the dataset has it.
    pub question: String,
    /// The answers to choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Right answers.
    pub references: Vec<String>,
    /// What else the dataset says.
    pub metadata: Map<String, Value>,
    /// Digests of the images.
    pub images: Vec<String>,
    /// The prompt as it was put.
    pub prompt: String,
    /// What came back.
    #[serde(flatten)]
    pub reply: Reply,
    /// How long it took.
    pub milliseconds: u64,
    /// Whether it is the answer to an earlier sample with the same key, which was not asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
}

/// A sample that got no answer: a line of `failures.jsonl`. It is asked again when the run goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The sample, its answer left empty.
    #[serde(flatten)]
    pub response: Response,
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What happened.
    pub reason: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// It took too long.
    Timeout,
    /// Anything else.
    Failed,
}

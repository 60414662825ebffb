//! Whoever answers the questions of a benchmark.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Answers questions about images: a model in this process, or one behind an address. How it does
/// so is its own business.
pub trait Answerer: Sync {
    /// What answers.
    fn card(&self) -> &AnswererCard;

    /// Answers one question. Several threads may ask at once.
    ///
    /// # Errors
    /// An [`AnswerError`] that says whether the run can go on.
    fn answer(&self, question: &Question<'_>) -> Result<Reply, AnswerError>;
}

/// What answers, as runs record it. Two answerers with equal cards count as the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswererCard {
    /// What the user calls the model.
    pub name: String,
    /// The family whose prompts suit it, such as `glm4v` or `nano`; a `model_type`.
    pub family: String,
    /// Digest of the model's files; for an endpoint, of its address and the model's name.
    pub digest: String,
    /// How it runs: the type it computes in, the address, and so on.
    pub details: Map<String, Value>,
}

/// A question as it is put.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The encoded images, seen together.
    pub images: &'a [Vec<u8>],
    /// The whole prompt.
    pub prompt: &'a str,
    /// How the answer is made.
    pub options: &'a AnswerOptions,
}

/// How answers are made. What is `None` is left to the model's own settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerOptions {
    /// The most tokens of an answer.
    pub max_tokens: Option<usize>,
    /// 0 takes the likeliest token each time.
    pub temperature: Option<f32>,
    /// Draw among the likeliest tokens whose probabilities reach this sum.
    pub top_p: Option<f32>,
    /// Draw among this many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// Seed of the draw.
    pub seed: Option<u64>,
    /// Whether a model that can think should.
    pub thinking: Option<bool>,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The whole text, thoughts and marks included.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// Rows of the prompt, image tokens included.
    pub prompt_tokens: Option<usize>,
    /// Rows of the prompt that came from images.
    pub image_tokens: Option<usize>,
    /// Tokens of the answer.
    pub completion_tokens: Option<usize>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model ended it.
    #[default]
    Stop,
    /// It reached the limit of tokens.
    Length,
    /// It was held back by a filter of the endpoint.
    Filtered,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It took too long. The sample fails; the run goes on.
    #[error("timed out: {0}")]
    Timeout(String),
    /// The question failed. The sample fails; the run goes on.
    #[error("{0}")]
    Failed(String),
    /// The user broke it off. The run ends, and can be gone on with.
    #[error("interrupted")]
    Interrupted,
    /// No question can be answered. The run ends.
    #[error("{0}")]
    Unusable(String),
}

//! What comes back from a model.

use crate::DraftCounts;
use glm4v_language::{Reply, ToolCall};
use serde::Serialize;
use std::time::Duration;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The text as the model wrote it, without the token or string that ended it. The marks of its
    /// parts, such as `<think>` and `<|begin_of_box|>`, are in it; [`Self::reply`] parts it. When
    /// the prompt ends with `<think>`, the text begins with it.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens in and out.
    pub usage: Usage,
    /// Where the time went.
    pub timings: Timings,
    /// The tokens of the text with their log-probabilities.
    pub tokens: Vec<TokenScore>,
    /// The tools that the model calls, where [`GenerateOptions`](crate::GenerateOptions) had some.
    pub tool_calls: Vec<ToolCall>,
    /// How drafts fared, which shorten the time and change nothing else.
    pub drafts: DraftCounts,
}

impl Answer {
    /// The parts of the text: thoughts, answer, boxes.
    pub fn reply(&self) -> Reply {
        Reply::parse(&self.text)
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or a stop string was met.
    Stop,
    /// The token limit or the context was reached.
    Length,
    /// The caller cancelled it.
    Cancelled,
}

/// Tokens in and out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Rows of the prompt, image tokens included.
    pub prompt: usize,
    /// Rows of the prompt that came from images.
    pub image: usize,
    /// Tokens of the answer.
    pub completion: usize,
}

/// Where the time of an answer went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Preprocessing, tower and projector, over all images.
    pub vision: Duration,
    /// Running the prompt, up to the first token's logits.
    pub prefill: Duration,
    /// All tokens after that.
    pub decode: Duration,
    /// Those of its passes that ran one token, without guesses at the next ones.
    pub unguessed: Duration,
    /// How many such passes there were.
    pub unguessed_steps: u32,
}

/// A token and how likely the model found it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TokenScore {
    /// The token's id.
    pub id: u32,
    /// Natural logarithm of its probability before any sampling option.
    pub log_probability: f32,
}

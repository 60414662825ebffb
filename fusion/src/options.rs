//! What a caller can choose about an answer.

use crate::Draft;
use glm4v_language::{GenerationConfig, Grammar, SamplingOptions};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Choices about one answer. What is `None` is decided by the checkpoint's
/// `generation_config.json`.
#[derive(Clone, Debug, Default)]
pub struct GenerateOptions {
    /// The most tokens that the answer may have; as many as the context holds when nobody says.
    pub max_tokens: Option<usize>,
    /// 0 takes the likeliest token each time; larger values draw more freely.
    pub temperature: Option<f32>,
    /// Draw among this many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// Draw among the likeliest tokens whose probabilities reach this sum.
    pub top_p: Option<f32>,
    /// Draw among tokens at least this likely, as a share of the likeliest.
    pub min_p: Option<f32>,
    /// Divide the logits of tokens seen before by this; 1 does nothing.
    pub repetition_penalty: Option<f32>,
    /// Seed of the draw; a random one when `None`.
    pub seed: Option<u64>,
    /// Strings that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Whether a model that can think should; `None` leaves it to the template.
    pub thinking: Option<bool>,
    /// Where guesses at the next tokens come from. They make answers come sooner and never change
    /// them.
    pub draft: Draft,
    /// What the answer must be; thoughts before it are free. Where the token limit comes near, the
    /// answer is brought to the grammar's end in the fewest tokens that are found, and only a limit
    /// too low for that cuts it; both are [`FinishReason::Length`](crate::FinishReason::Length).
    /// With a grammar, a model that can think does so only when [`Self::thinking`] says it.
    pub grammar: Option<Grammar>,
    /// Tools that the model may call, a list in the shape of OpenAI's API.
    pub tools: Option<Value>,
    /// Ends the answer early from another thread.
    pub cancel: CancelToken,
}

impl GenerateOptions {
    /// How tokens are chosen, with the checkpoint's file deciding what the caller left open.
    pub(crate) fn sampling(&self, file: &GenerationConfig) -> SamplingOptions {
        let mut sampling = file.sampling_options(self.seed.unwrap_or_else(rand::random));
        sampling.temperature = self.temperature.unwrap_or(sampling.temperature);
        sampling.top_k = self.top_k.or(sampling.top_k);
        sampling.top_p = self.top_p.unwrap_or(sampling.top_p);
        sampling.min_p = self.min_p.unwrap_or(sampling.min_p);
        sampling.repetition_penalty =
            self.repetition_penalty.unwrap_or(sampling.repetition_penalty);
        sampling
    }

    /// Whether the prompt asks for thoughts.
    pub(crate) fn prompt_thinking(&self) -> Option<bool> {
        self.thinking.or(self.grammar.as_ref().map(|_| false))
    }

    /// The most tokens of an answer to a prompt of `prompt` rows in a context of `context`.
    pub(crate) fn token_limit(
        &self,
        file: &GenerationConfig,
        prompt: usize,
        context: usize,
    ) -> usize {
        let by_length = file.max_length.map(|length| length.saturating_sub(prompt));
        let wanted = self.max_tokens.or(file.max_new_tokens).or(by_length);
        wanted.unwrap_or(usize::MAX).min(context.saturating_sub(prompt))
    }
}

/// A switch that ends an answer early; clones share it.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks whatever uses this token to end soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

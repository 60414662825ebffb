//! The choice of the next token.

use crate::LanguageError;

/// How to choose. The default is greedy.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingOptions {
    /// Divisor of the logits; 0 takes the likeliest token always.
    pub temperature: f32,
    /// Keep this many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// Keep the likeliest tokens whose probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the likeliest one; 0 drops none.
    pub min_p: f32,
    /// Divisor of the logits of tokens seen before; 1 does nothing.
    pub repetition_penalty: f32,
    /// What to do when a logit is NaN or infinite.
    pub invalid_logits: InvalidLogits,
    /// The same seed, options and logits give the same tokens.
    pub seed: u64,
}

impl Default for SamplingOptions {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            invalid_logits: InvalidLogits::Refuse,
            seed: 0,
        }
    }
}

/// What to do when a logit is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InvalidLogits {
    /// Fail with [`LanguageError::InvalidLogit`].
    #[default]
    Refuse,
    /// Choose this token, as the code of GLM-4V-9B does with its newline.
    Choose(u32),
}

/// A chosen token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Its id.
    pub token: u32,
    /// Natural logarithm of its probability under the model's own logits, before any option changes them.
    pub log_probability: f32,
}

/// Chooses tokens one by one.
#[derive(Debug, Clone)]
pub struct Sampler {}

impl Sampler {
    /// A sampler at the start of its random sequence.
    pub fn new(_options: SamplingOptions) -> Result<Self, LanguageError> {
        todo!()
    }

    /// Chooses a token by its logits. `history` holds the prompt and the answer so far, for the repetition penalty.
    pub fn sample(&mut self, _logits: &[f32], _history: &[u32]) -> Result<Choice, LanguageError> {
        todo!()
    }
}

/// Natural logarithms of the probabilities that `logits` stand for.
pub fn log_softmax(_logits: &[f32]) -> Vec<f32> {
    todo!()
}

/// The `count` likeliest tokens, likeliest first, with their log-probabilities.
pub fn top_log_probabilities(_logits: &[f32], _count: usize) -> Vec<(u32, f32)> {
    todo!()
}

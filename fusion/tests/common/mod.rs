//! What the tests of answers share.

use glm4v_fusion::{Answer, GenerateOptions};

/// At most so many tokens, each the likeliest.
pub(crate) fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        temperature: Some(0.0),
        max_tokens: Some(max_tokens),
        ..GenerateOptions::default()
    }
}

/// The tokens of an answer.
pub(crate) fn ids(answer: &Answer) -> Vec<u32> {
    answer.tokens.iter().map(|token| token.id).collect()
}

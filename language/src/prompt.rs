//! Conversations to prompts.

use glm4v_weights::Files;
use serde_json::{Map, Value};

use crate::{ChatTemplate, LanguageError, Message, Tokenizer};

/// What a prompt asks for besides its messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptOptions {
    /// End with the words that open the assistant's turn.
    pub add_generation_prompt: bool,
    /// Ask the model to think (`true`) or not (`false`); `None` leaves it to the template.
    pub thinking: Option<bool>,
    /// Tools that the model may call, a list in the shape of OpenAI's API.
    pub tools: Option<Value>,
    /// More variables for the template.
    pub extra: Map<String, Value>,
}

/// How a model wants its conversations written.
#[derive(Debug, Clone)]
pub enum PromptFormat {
    /// A chat template: the checkpoint's own or a built-in one.
    Template(ChatTemplate),
    /// The rules of GLM-4 (2024) and GLM-4V-9B, which published them as code.
    Glm4,
}

impl PromptFormat {
    /// The checkpoint's own template, or the built-in format for `model_type` of its config.json.
    pub fn from_files(_files: &Files, _model_type: &str) -> Result<Self, LanguageError> {
        todo!()
    }

    /// The prompt as token ids, each image and video still one placeholder.
    pub fn encode(
        &self,
        _tokenizer: &Tokenizer,
        _messages: &[Message],
        _options: &PromptOptions,
    ) -> Result<Vec<u32>, LanguageError> {
        todo!()
    }

    /// The prompt as text.
    pub fn render(
        &self,
        _messages: &[Message],
        _options: &PromptOptions,
    ) -> Result<String, LanguageError> {
        todo!()
    }
}

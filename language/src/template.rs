//! A checkpoint's chat template.

use crate::{LanguageError, Message, PromptOptions};

/// A Jinja chat template, as Hugging Face checkpoints carry one.
#[derive(Debug, Clone)]
pub struct ChatTemplate {}

impl ChatTemplate {
    /// Parses `source`; `file` names it in errors.
    pub fn parse(_file: &str, _source: &str) -> Result<Self, LanguageError> {
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

//! Conversations to prompts.

mod glm4;

use glm4v_weights::Files;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::tools::built_in;
use crate::{ChatTemplate, LanguageError, Message, Tokenizer};

/// What a prompt asks for besides its messages.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptOptions {
    /// End with the words that open the assistant's turn.
    pub add_generation_prompt: bool,
    /// Ask the model to think (`true`) or not to (`false`); `None` leaves it to the template.
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
    /// The rules of GLM-4 (2024) and GLM-4V-9B, which were published as code.
    Glm4,
}

/// The part of `tokenizer_config.json` that tells GLM-4.1V's vocabulary from GLM-4.5V's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct AddedTokens {
    added_tokens_decoder: Map<String, Value>,
}

impl PromptFormat {
    /// The checkpoint's own template, or else the built-in format for `model_type` of its
    /// `config.json`.
    ///
    /// # Errors
    /// [`LanguageError::NoPromptFormat`] when there is neither; as [`ChatTemplate::from_files`].
    pub fn from_files(files: &Files, model_type: &str) -> Result<Self, LanguageError> {
        if let Some(template) = ChatTemplate::from_files(files)? {
            return Ok(Self::Template(template));
        }
        match model_type {
            "chatglm" | "glm" | "glm4" => Ok(Self::Glm4),
            "glm4v" | "glm46v" | "glmga" | "glm4v_moe" | "glm_ocr" => Self::built_in(files),
            _ => Err(LanguageError::NoPromptFormat { model_type: model_type.to_owned() }),
        }
    }

    /// Model types do not tell the generations apart (`glm4v` is GLM-4.1V and GLM-4.6V-Flash), but
    /// only the vocabulary of 4.5 and later has the word that switches thinking off.
    fn built_in(files: &Files) -> Result<Self, LanguageError> {
        let tokens: AddedTokens = files.read_json("tokenizer_config.json")?.unwrap_or_default();
        let can_switch = tokens.added_tokens_decoder.values().any(|t| t["content"] == "/nothink");
        let template = if can_switch {
            let source = include_str!("../templates/glm-4.5v.jinja");
            ChatTemplate::parse("built-in glm-4.5v.jinja", source)
        } else {
            let source = include_str!("../templates/glm-4.1v.jinja");
            ChatTemplate::parse("built-in glm-4.1v.jinja", source)
        };
        template.map(Self::Template)
    }

    /// The prompt as token ids, with each image and video still one placeholder.
    ///
    /// # Errors
    /// As [`PromptFormat::render`] and [`Tokenizer::encode`]; [`LanguageError::MissingToken`] when
    /// the vocabulary lacks one of the format's own tokens.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        options: &PromptOptions,
    ) -> Result<Vec<u32>, LanguageError> {
        match self {
            Self::Template(_) => tokenizer.encode(&self.render(messages, options)?),
            Self::Glm4 => glm4::encode(tokenizer, messages, options),
        }
    }

    /// The prompt as text, to be read by people.
    ///
    /// # Errors
    /// [`LanguageError::Template`] when the template fails or refuses the messages,
    /// [`LanguageError::UnsupportedPrompt`] when the format has no place for something.
    pub fn render(
        &self,
        messages: &[Message],
        options: &PromptOptions,
    ) -> Result<String, LanguageError> {
        match self {
            Self::Template(template) => {
                knows_built_in_tools(template, options)?;
                template.render(messages, options)
            }
            Self::Glm4 => glm4::render(messages, options),
        }
    }
}

/// Templates but GLM-4's own would take a tool without a definition for a function without a name.
fn knows_built_in_tools(
    template: &ChatTemplate,
    options: &PromptOptions,
) -> Result<(), LanguageError> {
    let tools = options.tools.as_ref().and_then(Value::as_array).into_iter().flatten();
    match tools.filter_map(built_in).find(|(name, _)| !template.mentions(name)) {
        Some((name, _)) => Err(LanguageError::UnsupportedPrompt {
            what: format!("a tool of type {name}; define it as a function"),
        }),
        None => Ok(()),
    }
}

//! Chat templates: Jinja as Hugging Face's `apply_chat_template` renders it.
//!
//! Source: `transformers/utils/chat_template_utils.py`: trimmed and left-stripped blocks, loop
//! controls, `tojson`, `raise_exception`, `strftime_now` and `{% generation %}` blocks.

mod functions;
mod json;

use std::sync::Arc;

use glm4v_weights::Files;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use regex::Regex;
use serde::Deserialize;
use serde_json::Map;

pub(crate) use self::json::JsonStyle;
use crate::{LanguageError, Message, PromptOptions};

/// The most work that rendering may do, in minijinja's unit: an instruction, or 64 bytes of text
/// made. The longest conversations need a small part of it; a hostile template stops here, after a
/// fraction of a second and at most 256 MB.
const FUEL: u64 = 4_000_000;

/// A Jinja chat template, as Hugging Face checkpoints carry one. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    file: String,
    /// Holds the template `default`, and `tool_use` where a checkpoint has one for tools.
    environment: Arc<Environment<'static>>,
    /// `bos_token`, `eos_token` and the like.
    special_tokens: Map<String, serde_json::Value>,
    /// What the template calls the role of tools' answers.
    observation: &'static str,
}

/// `chat_template` in a JSON file: one, or several with names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl ChatTemplate {
    /// Parses a template; `file` is what errors call it.
    ///
    /// # Errors
    /// [`LanguageError::Template`] with the line that is not Jinja.
    pub fn parse(file: &str, source: &str) -> Result<Self, LanguageError> {
        Self::compile(file, Templates::One(source.to_owned()), Map::new())
    }

    /// The checkpoint's own template, from `chat_template.jinja`, `chat_template.json` or
    /// `tokenizer_config.json`, in this order; `None` when it has none.
    ///
    /// # Errors
    /// [`LanguageError::InvalidTemplateFile`] when `chat_template` is neither text nor a list of
    /// named texts, and as [`ChatTemplate::parse`].
    pub fn from_files(files: &Files) -> Result<Option<Self>, LanguageError> {
        const TOKENIZER: &str = "tokenizer_config.json";
        let config: Map<String, serde_json::Value> =
            files.read_json(TOKENIZER)?.unwrap_or_default();
        let special_tokens = special_tokens(&config);

        if let Some(source) = files.read_text("chat_template.jinja")? {
            let file = files.describe("chat_template.jinja");
            return Self::compile(&file, Templates::One(source), special_tokens).map(Some);
        }
        let own: Option<Map<_, _>> = files.read_json("chat_template.json")?;
        for (name, fields) in [("chat_template.json", own), (TOKENIZER, Some(config))] {
            let template = fields.and_then(|mut fields| fields.remove("chat_template"));
            if let Some(template) = template.filter(|template| !template.is_null()) {
                let file = files.describe(name);
                let templates = serde_json::from_value(template)
                    .map_err(|_| LanguageError::InvalidTemplateFile { file: file.clone() })?;
                return Self::compile(&file, templates, special_tokens).map(Some);
            }
        }
        Ok(None)
    }

    fn compile(
        file: &str,
        templates: Templates,
        special_tokens: Map<String, serde_json::Value>,
    ) -> Result<Self, LanguageError> {
        let named = match templates {
            Templates::One(template) => vec![NamedTemplate { name: "default".into(), template }],
            Templates::Named(named) => named,
        };
        let failed = |error| template_error(file, error);
        let mut environment = environment().map_err(failed)?;
        let mut observation = "observation";
        for NamedTemplate { name, template } in named {
            // GLM-4.5 and later compare the role with 'tool', earlier ones with 'observation'.
            if template.contains("'tool'") || template.contains("\"tool\"") {
                observation = "tool";
            }
            environment
                .add_template_owned(name, without_generation_tags(&template))
                .map_err(failed)?;
        }
        let environment = Arc::new(environment);
        Ok(Self { file: file.to_owned(), environment, special_tokens, observation })
    }

    /// Whether the template writes `text`, as one that knows a mark does.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.environment.templates().any(|(_, template)| template.source().contains(text))
    }

    /// The prompt as text.
    ///
    /// # Errors
    /// [`LanguageError::Template`] with the line that failed: the template refused the messages, is
    /// wrong, or does more work than any prompt needs.
    pub fn render(
        &self,
        messages: &[Message],
        options: &PromptOptions,
    ) -> Result<String, LanguageError> {
        let messages: Vec<_> =
            messages.iter().map(|message| message.to_json(self.observation)).collect();
        let mut context = self.special_tokens.clone();
        context.extend(options.extra.clone());
        context.insert("messages".into(), messages.into());
        context.insert("tools".into(), options.tools.clone().into());
        context.insert("documents".into(), serde_json::Value::Null);
        context.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        if let Some(thinking) = options.thinking {
            context.insert("enable_thinking".into(), thinking.into());
        }

        let failed = |error| template_error(&self.file, error);
        let tool_use = options.tools.as_ref().and_then(|_| {
            self.environment.get_template("tool_use").ok() // most checkpoints have one for all
        });
        let template = match tool_use {
            Some(template) => template,
            None => self.environment.get_template("default").map_err(failed)?,
        };
        template.render(Value::from(Serde(&context))).map_err(failed)
    }
}

/// An environment that behaves as the reference's sandboxed one.
fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("tojson", functions::tojson);
    environment.add_test("sequence", functions::is_sequence);
    environment.add_function("raise_exception", functions::raise_exception);
    environment.add_function("strftime_now", functions::strftime_now);
    Ok(environment)
}

/// `{% generation %}` marks the assistant's words for training; their text is rendered as it is.
/// A condition that always holds has the same blanks and lines.
fn without_generation_tags(source: &str) -> String {
    const START: &str = r"(\{%[-+]?\s*)generation(\s*[-+]?%\})";
    const END: &str = r"(\{%[-+]?\s*)endgeneration(\s*[-+]?%\})";
    let mut source = source.to_owned();
    for (pattern, replacement) in [(START, "${1}if true${2}"), (END, "${1}endif${2}")] {
        if let Ok(pattern) = Regex::new(pattern) {
            source = pattern.replace_all(&source, replacement).into_owned();
        }
    }
    source
}

/// The fields `bos_token`, `eos_token` … of `tokenizer_config.json`; each is a text or a map with
/// its `content`.
fn special_tokens(config: &Map<String, serde_json::Value>) -> Map<String, serde_json::Value> {
    let tokens = config.iter().filter(|(name, _)| name.ends_with("_token"));
    tokens
        .filter_map(|(name, token)| {
            let text = token.as_str().or_else(|| token.get("content")?.as_str())?;
            Some((name.clone(), text.into()))
        })
        .collect()
}

fn template_error(file: &str, error: minijinja::Error) -> LanguageError {
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it does more work than any prompt needs".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    };
    let line = error.line().unwrap_or(0);
    LanguageError::Template { file: file.to_owned(), line, reason, engine: Box::new(error) }
}

#[cfg(test)]
mod tests;

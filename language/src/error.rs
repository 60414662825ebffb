//! What can go wrong between text and tokens.

/// Everything this crate can fail with. Each message names the file or value at fault and, where
/// there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LanguageError {
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),

    /// A file of the checkpoint could not be found or read.
    #[error(transparent)]
    Weights(#[from] glm4v_weights::WeightsError),

    /// The checkpoint has neither form of tokenizer.
    #[error(
        "{expected} is missing: add it, or tokenizer.model together with tokenizer_config.json"
    )]
    NoTokenizer {
        /// Where `tokenizer.json` was looked for.
        expected: String,
    },

    /// A tokenizer file can be read but not used.
    #[error("{file}: not a usable tokenizer: {reason}")]
    InvalidTokenizer {
        /// The file at fault.
        file: String,
        /// What is wrong with it.
        reason: String,
    },

    /// The tokenizer could not split or encode a text.
    #[error("the text cannot be turned into tokens")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// The prompt format needs a token that the vocabulary lacks.
    #[error(
        "the vocabulary has no token `{token}`, which the prompt needs: the tokenizer belongs to another model"
    )]
    MissingToken {
        /// The token's text.
        token: String,
    },

    /// The checkpoint has no chat template and its model type has no built-in prompt format.
    #[error(
        "model type `{model_type}` has no built-in prompt format: add the checkpoint's chat_template.jinja to its folder"
    )]
    NoPromptFormat {
        /// `model_type` of config.json.
        model_type: String,
    },

    /// A chat template does not parse, or failed while it was rendered.
    #[error("chat template {file}, line {line}: {reason}")]
    Template {
        /// The file that holds the template.
        file: String,
        /// Line in the template, from 1; 0 when the engine knows none.
        line: usize,
        /// The engine's or the template's own message.
        reason: String,
        /// The engine's error. Its message repeats the reason, so it is not this error's source.
        engine: Box<minijinja::Error>,
    },

    /// `chat_template` of a JSON file is of the wrong type.
    #[error("{file}: chat_template must be a text, or a list of maps with name and template")]
    InvalidTemplateFile {
        /// The file at fault.
        file: String,
    },

    /// The messages hold something that the model's prompt format cannot express.
    #[error("this model's prompt cannot hold {what}")]
    UnsupportedPrompt {
        /// What it cannot hold.
        what: String,
    },

    /// A grammar for the answer is none, or too large to follow.
    #[error("the grammar of the answer: {reason}")]
    Grammar {
        /// What is wrong with it.
        reason: String,
    },

    /// An option is outside its range.
    #[error("{name} is {value}; it must be {expected}")]
    InvalidOption {
        /// The option's name.
        name: &'static str,
        /// What was given.
        value: f32,
        /// The accepted range.
        expected: &'static str,
    },

    /// The model gave a logit that is no number, so no token can be chosen.
    #[error(
        "the logit of token {token} is {value}: the numbers overflow; load the model in f32, or fetch it again"
    )]
    InvalidLogit {
        /// The first token with such a logit.
        token: usize,
        /// The logit: NaN or an infinity.
        value: f32,
    },

    /// There is nothing to choose from.
    #[error("there are no logits to choose a token from")]
    NoLogits,

    /// A number in the decoder's config cannot be used.
    #[error("config.json: `{field}`: {reason}")]
    Config {
        /// The field of config.json.
        field: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A token id that the embedding table has no row for.
    #[error(
        "token id {id} is not below the model's vocab_size, {vocab_size}: the tokenizer belongs to another model"
    )]
    TokenId {
        /// The id.
        id: u32,
        /// Rows of the embedding table.
        vocab_size: usize,
    },
}

impl LanguageError {
    /// A number in the decoder's config cannot be used.
    pub(crate) fn config(field: &str, reason: String) -> Self {
        Self::Config { field: field.to_owned(), reason }
    }
}

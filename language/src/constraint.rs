//! Grammars that an answer must follow.

mod closing;

use crate::{LanguageError, Tokenizer};
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// What an answer must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Grammar {
    /// A JSON value that follows a JSON schema.
    JsonSchema(Value),
    /// A text of a grammar in llguidance's dialect of Lark, whose first rule is `start`.
    Lark(String),
}

/// Follows an answer and says which tokens may come next.
pub struct Constraint {
    matcher: Matcher,
    environment: TokEnv,
}

impl Constraint {
    /// A constraint at the start of an answer, over the tokens of `tokenizer`, of which `stops` end
    /// answers; the first of them stands for all. `vocab_size` is the number of logits.
    ///
    /// # Errors
    /// [`LanguageError::Grammar`] when the grammar is none, or uses what is not supported.
    pub fn new(
        grammar: &Grammar,
        tokenizer: &Tokenizer,
        vocab_size: usize,
        stops: &[u32],
    ) -> Result<Self, LanguageError> {
        let environment = environment(tokenizer, vocab_size, stops);
        let mut factory = ParserFactory::new_simple(&environment).map_err(failed)?;
        factory.quiet();
        let grammar = match grammar {
            Grammar::JsonSchema(schema) => TopLevelGrammar::from_json_schema(on_one_line(schema)),
            Grammar::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
        };
        let parser = factory.create_parser(grammar).map_err(failed)?;
        Ok(Self { matcher: Matcher::new(Ok(parser)), environment })
    }

    /// Which tokens may come next.
    ///
    /// # Errors
    /// [`LanguageError::Grammar`] when the grammar is too large to follow.
    pub fn allowed(&mut self) -> Result<impl Fn(u32) -> bool + use<>, LanguageError> {
        let mask: SimpleVob = self.matcher.compute_mask_or_eos().map_err(failed)?;
        Ok(move |token: u32| (token as usize) < mask.len() && mask.is_allowed(token))
    }

    /// Goes on after `token` was chosen.
    ///
    /// # Errors
    /// [`LanguageError::Grammar`] when the token was not allowed.
    pub fn accept(&mut self, token: u32) -> Result<(), LanguageError> {
        if self.matcher.is_stopped() {
            return Ok(());
        }
        self.matcher.consume_token(token).map_err(failed)
    }

    /// Whether nothing but the end may follow.
    pub fn is_complete(&self) -> bool {
        self.matcher.is_stopped()
    }

    /// Whether the text so far is whole, though more might follow.
    pub fn is_accepting(&mut self) -> bool {
        self.matcher.is_stopped() || self.matcher.is_accepting().unwrap_or(false)
    }
}

/// The schema, asking for one line with a space after commas and colons unless it says otherwise:
/// where white space is free, a model may write nothing else up to the token limit.
fn on_one_line(schema: &Value) -> Value {
    const OPTIONS: &str = "x-guidance";
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut().filter(|fields| !fields.contains_key(OPTIONS)) {
        let options = serde_json::json!({
            "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": ",
        });
        fields.insert(OPTIONS.to_owned(), options);
    }
    schema
}

/// The most characters of a reason; the parser quotes the whole line that it fails on.
const LONGEST_REASON: usize = 300;

fn failed(error: impl fmt::Display) -> LanguageError {
    let text = format!("{error:#}");
    // A dump of the parser's own state follows.
    let said = text.split("\n<state>").next().unwrap_or_default();
    let reason = match said {
        "NoExtensionBias" => "no text fulfils it".to_owned(),
        _ if said.chars().count() > LONGEST_REASON => {
            said.chars().take(LONGEST_REASON).chain(['…']).collect()
        }
        _ => said.to_owned(),
    };
    LanguageError::Grammar { reason }
}

impl fmt::Debug for Constraint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Constraint").field("complete", &self.is_complete()).finish()
    }
}

/// The vocabulary as llguidance wants it: the bytes of each token, special ones marked.
fn environment(tokenizer: &Tokenizer, vocab_size: usize, stops: &[u32]) -> TokEnv {
    let size = vocab_size.max(tokenizer.vocab_size());
    let words: Vec<Vec<u8>> = (0..size as u32)
        .map(|id| {
            let mut bytes = tokenizer.token_bytes(id).unwrap_or_default();
            // In some vocabularies a token that ends answers is one of plain text, which a string could
            // hold; the answer would end within it.
            if tokenizer.is_special(id) || stops.contains(&id) {
                bytes.insert(0, TokTrie::SPECIAL_TOKEN_MARKER);
            }
            bytes
        })
        .collect();
    let eos = stops.first().copied().unwrap_or_default();
    let trie = TokTrie::from(&TokRxInfo::new(size as u32, eos), &words);
    Arc::new(ApproximateTokEnv::new(trie))
}

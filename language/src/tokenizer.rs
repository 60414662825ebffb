//! Text to token ids and back.
//!
//! Checkpoints of the family carry one byte-level BPE vocabulary in one of two forms: a
//! `tokenizer.json` of the `tokenizers` library, or a `tokenizer.model` of tiktoken's rank lines.
//! [`Tokenizer`] is either, with one behaviour.

mod byte_level;
mod json;
mod ranks;

use std::fmt;
use std::sync::Arc;

use glm4v_weights::Files;

use self::json::JsonVocabulary;
use self::ranks::RankVocabulary;
use crate::LanguageError;

/// A byte-level BPE tokenizer with its added tokens. Cloning is cheap: clones share the vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
}

#[derive(Clone)]
enum Vocabulary {
    Json(Arc<JsonVocabulary>),
    Ranks(Arc<RankVocabulary>),
}

impl Tokenizer {
    /// Reads the checkpoint's tokenizer: `tokenizer.json`, or else `tokenizer.model` with the
    /// `added_tokens_decoder` of `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`LanguageError::NoTokenizer`] when neither is there, [`LanguageError::InvalidTokenizer`]
    /// when one is there and no byte-level BPE vocabulary.
    pub fn from_files(files: &Files) -> Result<Self, LanguageError> {
        let vocabulary = if let Some(bytes) = files.read("tokenizer.json")? {
            let file = files.describe("tokenizer.json");
            Vocabulary::Json(Arc::new(JsonVocabulary::new(&file, &bytes)?))
        } else if let Some(bytes) = files.read("tokenizer.model")? {
            let config = files.read_json("tokenizer_config.json")?.unwrap_or_default();
            Vocabulary::Ranks(Arc::new(RankVocabulary::new(
                &files.describe("tokenizer.model"),
                &bytes,
                &files.describe("tokenizer_config.json"),
                config,
            )?))
        } else {
            let expected = files.describe("tokenizer.json");
            return Err(LanguageError::NoTokenizer { expected });
        };
        Ok(Self { vocabulary })
    }

    /// Token ids of `text`. Spellings of added tokens, such as `<|user|>`, become those tokens.
    ///
    /// # Errors
    /// [`LanguageError::Encode`] when the rules of `tokenizer.json` fail on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, LanguageError> {
        match &self.vocabulary {
            Vocabulary::Json(json) => json.encode(text),
            Vocabulary::Ranks(ranks) => Ok(ranks.encode(text)),
        }
    }

    /// Token ids of `text` as plain text: `<|user|>` in it is characters like any others, and so
    /// are the spellings of all added tokens.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_ordinary(&self, text: &str) -> Result<Vec<u32>, LanguageError> {
        match &self.vocabulary {
            Vocabulary::Json(json) => json.encode_ordinary(text),
            Vocabulary::Ranks(ranks) => Ok(ranks.encode_ordinary(text)),
        }
    }

    /// The text of `ids`. Bytes that are not UTF-8 become U+FFFD; ids that no token has, such as
    /// the padding rows of an embedding table, give nothing.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .filter(|id| !(skip_special && self.is_special(**id)))
            .filter_map(|id| self.token_bytes(*id))
            .flatten()
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The id of the token, added or ordinary, that stands for exactly `text`.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        match &self.vocabulary {
            Vocabulary::Json(json) => json.token_id(text),
            Vocabulary::Ranks(ranks) => ranks.token_id(text),
        }
    }

    /// As [`Tokenizer::token_id`], for tokens that a prompt cannot do without.
    ///
    /// # Errors
    /// [`LanguageError::MissingToken`].
    pub fn require(&self, text: &str) -> Result<u32, LanguageError> {
        self.token_id(text).ok_or_else(|| LanguageError::MissingToken { token: text.to_owned() })
    }

    /// The text of token `id`. Bytes that are not UTF-8 become U+FFFD.
    pub fn token(&self, id: u32) -> Option<String> {
        Some(String::from_utf8_lossy(&self.token_bytes(id)?).into_owned())
    }

    /// The bytes that token `id` stands for.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        match &self.vocabulary {
            Vocabulary::Json(json) => json.token_bytes(id),
            Vocabulary::Ranks(ranks) => ranks.token_bytes(id).map(<[u8]>::to_vec),
        }
    }

    /// Whether `id` is a special token, one that [`Tokenizer::decode`] can leave out.
    pub fn is_special(&self, id: u32) -> bool {
        match &self.vocabulary {
            Vocabulary::Json(json) => json.is_special(id),
            Vocabulary::Ranks(ranks) => ranks.is_special(id),
        }
    }

    /// One more than the largest token id.
    pub fn vocab_size(&self) -> usize {
        match &self.vocabulary {
            Vocabulary::Json(json) => json.size(),
            Vocabulary::Ranks(ranks) => ranks.size(),
        }
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish()
    }
}

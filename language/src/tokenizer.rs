//! Text to token ids and back.

use glm4v_weights::Files;

use crate::LanguageError;

/// A byte-level BPE tokenizer with its added tokens. Cloning is cheap: clones share the vocabulary.
#[derive(Debug, Clone)]
pub struct Tokenizer {}

impl Tokenizer {
    /// Reads the checkpoint's tokenizer: `tokenizer.json`, or `tokenizer.model` (tiktoken's rank lines) with the
    /// added tokens of `tokenizer_config.json`.
    pub fn from_files(_files: &Files) -> Result<Self, LanguageError> {
        todo!()
    }

    /// Token ids of `text`; the spellings of added tokens in it become those tokens.
    pub fn encode(&self, _text: &str) -> Result<Vec<u32>, LanguageError> {
        todo!()
    }

    /// Token ids of `text` as plain text: the spelling of a special token is words like any other.
    pub fn encode_ordinary(&self, _text: &str) -> Result<Vec<u32>, LanguageError> {
        todo!()
    }

    /// The text of `ids`. Bytes that are not UTF-8 become U+FFFD; ids without a token give nothing.
    pub fn decode(&self, _ids: &[u32], _skip_special: bool) -> String {
        todo!()
    }

    /// The id of the token that is spelled `token`.
    pub fn token_id(&self, _token: &str) -> Option<u32> {
        todo!()
    }

    /// The spelling of token `id`; bytes that are not UTF-8 become U+FFFD.
    pub fn token(&self, _id: u32) -> Option<String> {
        todo!()
    }

    /// The bytes that token `id` stands for.
    pub fn token_bytes(&self, _id: u32) -> Option<Vec<u8>> {
        todo!()
    }

    /// Whether `id` is a special token, one that [`Tokenizer::decode`] can skip.
    pub fn is_special(&self, _id: u32) -> bool {
        todo!()
    }

    /// One more than the largest token id.
    pub fn vocab_size(&self) -> usize {
        todo!()
    }
}

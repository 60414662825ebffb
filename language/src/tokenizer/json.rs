//! Vocabularies in `tokenizer.json`, by the `tokenizers` library.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::BPE;
use tokenizers::tokenizer::pre_tokenizer::PreTokenizedString;
use tokenizers::{
    DecoderWrapper, Model as _, NormalizedString, Normalizer as _, NormalizerWrapper,
    OffsetReferential, OffsetType, PostProcessorWrapper, PreTokenizer as _, PreTokenizerWrapper,
    TokenizerImpl,
};

use super::byte_level::ByteLevel;
use crate::LanguageError;

/// Naming the model's kind lets it be read as it is parsed. `tokenizers::Tokenizer`, which allows
/// any kind, copies the vocabulary twice while it finds out: 0.8 s in place of 0.4 for GLM-4's.
type BpeTokenizer = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

pub(super) struct JsonVocabulary {
    tokenizer: BpeTokenizer,
    byte_level: ByteLevel,
    special: HashSet<u32>,
    size: usize,
}

impl JsonVocabulary {
    pub(super) fn new(file: &str, bytes: &[u8]) -> Result<Self, LanguageError> {
        let invalid =
            |reason: String| LanguageError::InvalidTokenizer { file: file.to_owned(), reason };
        let steps: Steps =
            serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        check_step(&steps.normalizer, &NORMALIZERS).map_err(invalid)?;
        check_step(&steps.pre_tokenizer, &PRE_TOKENIZERS).map_err(invalid)?;
        if steps.model.continuing_subword_prefix.is_some_and(|prefix| !prefix.is_empty()) {
            return Err(invalid("continuing_subword_prefix is not supported".to_owned()));
        }
        let mut tokenizer: BpeTokenizer =
            serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        if !matches!(tokenizer.get_decoder(), Some(DecoderWrapper::ByteLevel(_))) {
            return Err(invalid("its decoder is not ByteLevel".to_owned()));
        }
        // Prompts are encoded whole: settings for batches of training texts must not touch them.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| invalid(error.to_string()))?;

        let added = tokenizer.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let end = added.keys().max().map_or(0, |id| *id as usize + 1);
        let size = end.max(tokenizer.get_vocab_size(false));
        Ok(Self { tokenizer, byte_level: ByteLevel::new(), special, size })
    }

    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, LanguageError> {
        // Templates write the opening tokens themselves, so the post-processor must add none.
        let encoding = self.tokenizer.encode_fast(text, false).map_err(LanguageError::Encode)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The library's steps without the one that looks for added tokens: it always finds those that
    /// are not marked special, such as `<think>`.
    pub(super) fn encode_ordinary(&self, text: &str) -> Result<Vec<u32>, LanguageError> {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = self.tokenizer.get_normalizer() {
            normalizer.normalize(&mut normalized).map_err(LanguageError::Encode)?;
        }
        let mut pieces = PreTokenizedString::from(normalized);
        if let Some(pre_tokenizer) = self.tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces).map_err(LanguageError::Encode)?;
        }
        pieces
            .tokenize(|piece| self.tokenizer.get_model().tokenize(piece.get()))
            .map_err(LanguageError::Encode)?;
        let splits = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
        let tokens = splits.into_iter().filter_map(|(_, _, tokens)| tokens.as_ref()).flatten();
        Ok(tokens.map(|token| token.id).collect())
    }

    pub(super) fn token_id(&self, text: &str) -> Option<u32> {
        let added = self.tokenizer.get_added_vocabulary().get_vocab().get(text).copied();
        added.or_else(|| self.tokenizer.token_to_id(&self.byte_level.spell(text.as_bytes())))
    }

    pub(super) fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        Some(self.byte_level.bytes(&self.tokenizer.id_to_token(id)?))
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }
}

/// What a text goes through before it is merged. The library panics on the contents of some kinds
/// of steps, so only those are let through that byte-level vocabularies have.
#[derive(Deserialize)]
struct Steps {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    model: Merging,
}

/// What of the merging itself the library cannot be trusted with.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Merging {
    continuing_subword_prefix: Option<String>,
}

const NORMALIZERS: [&str; 4] = ["NFC", "NFD", "NFKC", "NFKD"];
const PRE_TOKENIZERS: [&str; 3] = ["ByteLevel", "Digits", "Split"];

fn check_step(step: &Value, known: &[&str]) -> Result<(), String> {
    if step.is_null() {
        return Ok(());
    }
    let kind = step.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind == "Sequence" {
        let steps = ["normalizers", "pretokenizers"].iter().find_map(|name| step.get(*name));
        let steps = steps.and_then(Value::as_array).into_iter().flatten();
        return steps.into_iter().try_for_each(|step| check_step(step, known));
    }
    if known.contains(&kind) {
        return Ok(());
    }
    Err(format!("it has a step of type {kind:?}; supported are {}", known.join(", ")))
}

//! The tokenizer's files, made from the vocabulary in a GGUF file.

use super::{bad, number};
use crate::FusionError;
use glm4v_weights::{Gguf, GgufValue};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// How all tokenizers of the family cut a text before they merge, in the spelling of their
/// `tokenizer.json`. llama.cpp calls it `chatglm-bpe` and `glm4`.
const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Kinds of tokens. Source: `enum llama_token_type`.
const CONTROL: usize = 3;
const USER_DEFINED: usize = 4;
const UNUSED: usize = 5;

/// Tokens that end an answer, besides those that the file names: the stop tokens of the family's
/// `generation_config.json`s, for which GGUF has too few keys.
const END_TOKENS: &[&str] = &["<|endoftext|>", "<|user|>", "<|observation|>", "</answer>"];

/// The tokens of a file.
pub(super) struct Vocabulary<'a> {
    tokens: Vec<(&'a str, usize)>,
    merges: Vec<(&'a str, &'a str)>,
    ids: HashMap<&'a str, u32>,
}

impl<'a> Vocabulary<'a> {
    pub(super) fn read(gguf: &'a Gguf) -> Result<Self, FusionError> {
        const PRE_TOKENIZERS: [&str; 2] = ["glm4", "chatglm-bpe"];
        let model = gguf.require("tokenizer.ggml.model", GgufValue::as_text)?;
        let pre = gguf.require("tokenizer.ggml.pre", GgufValue::as_text)?;
        if model != "gpt2" || !PRE_TOKENIZERS.contains(&pre) {
            let reason = format!(
                "a tokenizer of model {model:?} with pre-tokenizer {pre:?}; supported: \"gpt2\" \
                 with {PRE_TOKENIZERS:?}"
            );
            return Err(bad(gguf, reason));
        }
        let texts = gguf.require("tokenizer.ggml.tokens", GgufValue::as_array)?;
        let kinds = gguf.require("tokenizer.ggml.token_type", GgufValue::as_array)?;
        let merges = gguf.require("tokenizer.ggml.merges", GgufValue::as_array)?;
        let tokens: Option<Vec<_>> = texts
            .iter()
            .zip(kinds)
            .map(|(text, kind)| Some((text.as_text()?, kind.as_usize()?)))
            .collect();
        let tokens = tokens.filter(|tokens| tokens.len() == texts.len()).ok_or_else(|| {
            bad(gguf, "keys `tokenizer.ggml.tokens` and `.token_type` do not go together".into())
        })?;
        // A space ends the first half, unless it is the first character.
        let halves = |merge: &'a GgufValue| {
            let text = merge.as_text()?;
            let start = text.chars().next()?.len_utf8();
            let at = start + text.get(start..)?.find(' ')?;
            Some((text.get(..at)?, text.get(at + 1..)?))
        };
        let merges: Option<Vec<_>> = merges.iter().map(halves).collect();
        let merges = merges
            .ok_or_else(|| bad(gguf, "key `tokenizer.ggml.merges` has a wrong line".into()))?;
        let ids = tokens.iter().zip(0..).map(|((text, _), id)| (*text, id)).collect();
        Ok(Self { tokens, merges, ids })
    }

    /// The id of the token with this text.
    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    /// Ids of tokens that end an answer.
    pub(super) fn end_ids(&self, gguf: &Gguf) -> Vec<u32> {
        let named = ["eos", "eot", "eom"].into_iter().filter_map(|name| {
            number(gguf, &format!("tokenizer.ggml.{name}_token_id")).ok()?.try_into().ok()
        });
        let mut ids: Vec<u32> =
            named.chain(END_TOKENS.iter().filter_map(|text| self.id(text))).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// `tokenizer.json`.
    pub(super) fn tokenizer(&self) -> Value {
        // Added tokens too: one that the vocabulary lacks would get an id past the others, whatever its own.
        let ordinary = |kind: usize| kind != UNUSED;
        let numbered = || self.tokens.iter().zip(0u32..);
        let vocabulary: Map<String, Value> = numbered()
            .filter(|((_, kind), _)| ordinary(*kind))
            .map(|((text, _), id)| ((*text).to_owned(), id.into()))
            .collect();
        let added: Vec<Value> =
            self.added().map(|(id, text, special)| added_token(Some(id), text, special)).collect();
        json!({
            "version": "1.0",
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": PATTERN }, "behavior": "Isolated", "invert": false },
                { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
            ]},
            "post_processor": null,
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
            "model": { "type": "BPE", "ignore_merges": true, "vocab": vocabulary, "merges": self.merges },
        })
    }

    /// `tokenizer_config.json`.
    pub(super) fn tokenizer_config(&self, gguf: &Gguf) -> Value {
        let added: Map<String, Value> = self
            .added()
            .map(|(id, text, special)| (id.to_string(), added_token(None, text, special)))
            .collect();
        let template = gguf.get("tokenizer.chat_template").and_then(GgufValue::as_text);
        json!({ "added_tokens_decoder": added, "chat_template": template })
    }

    /// Id, text and whether it is special, of tokens that are not made by merging.
    fn added(&self) -> impl Iterator<Item = (u32, &str, bool)> {
        let added = |((text, kind), id): (&(&'a str, usize), u32)| match *kind {
            CONTROL => Some((id, *text, true)),
            USER_DEFINED => Some((id, *text, false)),
            _ => None,
        };
        self.tokens.iter().zip(0..).filter_map(added)
    }
}

fn added_token(id: Option<u32>, text: &str, special: bool) -> Value {
    json!({
        "id": id, "content": text, "special": special,
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
    })
}

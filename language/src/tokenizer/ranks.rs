//! Vocabularies in `tokenizer.model`: lines of `base64(bytes of the token) rank`, as tiktoken
//! reads them. The rank is the token's id and its priority in merging.
//!
//! Source: `tokenization_chatglm.py` of glm-4-9b (pattern and added tokens) and tiktoken's
//! `_byte_pair_merge` (merging).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use regex::Regex;
use serde::Deserialize;

use crate::LanguageError;

/// The most ids: tables made of them must not take all memory.
const MOST_TOKENS: usize = 1 << 24;

/// The pattern of `tokenization_chatglm.py` with its last two alternatives, `\s+(?!\S)|\s+`, as
/// one `\s+`: [`pieces`] does what the look-ahead does, so that matching takes linear time.
const PIECES: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";

/// The part of `tokenizer_config.json` that lists the tokens beside the ranks.
#[derive(Default, Deserialize)]
pub(super) struct TokenizerConfig {
    #[serde(default)]
    added_tokens_decoder: BTreeMap<u32, AddedToken>,
}

#[derive(Deserialize)]
struct AddedToken {
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    single_word: bool,
}

pub(super) struct RankVocabulary {
    ranks: HashMap<Arc<[u8]>, u32>,
    tokens: HashMap<u32, Arc<[u8]>>,
    added: HashMap<String, u32>,
    special: HashSet<u32>,
    added_pattern: Regex,
    piece_pattern: Regex,
    size: usize,
}

impl RankVocabulary {
    pub(super) fn new(
        model_file: &str,
        model: &[u8],
        config_file: &str,
        config: TokenizerConfig,
    ) -> Result<Self, LanguageError> {
        let invalid = |file: &str, reason: String| LanguageError::InvalidTokenizer {
            file: file.to_owned(),
            reason,
        };
        let ranks = parse_ranks(model).map_err(|reason| invalid(model_file, reason))?;
        let added = config.added_tokens_decoder;
        check_added(&added).map_err(|reason| invalid(config_file, reason))?;
        let pattern = |source: &str| {
            Regex::new(source).map_err(|error| invalid(config_file, error.to_string()))
        };
        let added_pattern = pattern(&alternatives(added.values()))?;
        let piece_pattern = pattern(PIECES)?;

        let mut tokens: HashMap<u32, Arc<[u8]>> =
            ranks.iter().map(|(bytes, rank)| (*rank, bytes.clone())).collect();
        tokens.extend(added.iter().map(|(id, token)| (*id, Arc::from(token.content.as_bytes()))));
        let size = tokens.keys().max().map_or(0, |id| *id as usize + 1);
        if size > MOST_TOKENS {
            return Err(invalid(model_file, format!("its ids reach {size}, beyond {MOST_TOKENS}")));
        }
        let special = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let added = added.into_iter().map(|(id, token)| (token.content, id)).collect();
        Ok(Self { ranks, tokens, added, special, added_pattern, piece_pattern, size })
    }

    pub(super) fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut start = 0;
        for found in self.added_pattern.find_iter(text) {
            self.append_ordinary(&text[start..found.start()], &mut ids);
            ids.extend(self.added.get(found.as_str()));
            start = found.end();
        }
        self.append_ordinary(&text[start..], &mut ids);
        ids
    }

    pub(super) fn encode_ordinary(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        self.append_ordinary(text, &mut ids);
        ids
    }

    pub(super) fn token_id(&self, text: &str) -> Option<u32> {
        self.added.get(text).or_else(|| self.ranks.get(text.as_bytes())).copied()
    }

    pub(super) fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(&id).map(|bytes| &**bytes)
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn append_ordinary(&self, text: &str, ids: &mut Vec<u32>) {
        for piece in pieces(&self.piece_pattern, text) {
            match self.ranks.get(piece.as_bytes()) {
                Some(id) => ids.push(*id),
                None => self.merge(piece.as_bytes(), ids),
            }
        }
    }

    /// Byte-pair encoding of one piece: of all neighbouring parts that together are a token, merge
    /// those of the lowest rank, the leftmost first, until none is left.
    ///
    /// A heap of candidates and a linked list of parts keep this at `n log n`, where a search for
    /// the best pair before each merge would let a long word without spaces take minutes.
    fn merge(&self, piece: &[u8], ids: &mut Vec<u32>) {
        const GONE: usize = usize::MAX;
        // A part is known by where it starts; `ends` holds where it ends, or GONE.
        let mut ends: Vec<usize> = (1..=piece.len()).collect();
        let mut previous: Vec<Option<usize>> = (0..piece.len()).map(|i| i.checked_sub(1)).collect();
        let candidate = |ends: &[usize], start: usize| {
            let end = *ends.get(ends[start])?;
            Some(Reverse((*self.ranks.get(&piece[start..end])?, start, end)))
        };
        let mut heap: BinaryHeap<_> =
            (0..piece.len()).filter_map(|start| candidate(&ends, start)).collect();

        while let Some(Reverse((_, start, end))) = heap.pop() {
            let middle = ends[start];
            if middle == GONE || ends.get(middle) != Some(&end) {
                continue; // one of the two parts has been merged since
            }
            ends[start] = end;
            ends[middle] = GONE;
            if let Some(next) = previous.get_mut(end) {
                *next = Some(start);
            }
            heap.extend(candidate(&ends, start));
            heap.extend(previous[start].and_then(|before| candidate(&ends, before)));
        }

        let parts = ends.iter().enumerate().filter(|(_, end)| **end != GONE);
        ids.extend(parts.filter_map(|(start, end)| self.ranks.get(&piece[start..*end])));
    }
}

/// Splits `text` by [`PIECES`]. A run of spaces leaves its last one to the word that follows.
fn pieces<'t>(pattern: &Regex, text: &'t str) -> impl Iterator<Item = &'t str> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let found = pattern.find_at(text, start)?;
        let mut end = found.end();
        let mut backwards = found.as_str().char_indices().rev();
        if let (Some((last, space)), Some(_)) = (backwards.next(), backwards.next()) {
            // Only `\s+` gives a piece that ends with a space that ends no line.
            let only_spaces = space.is_whitespace() && !matches!(space, '\r' | '\n');
            if only_spaces && end < text.len() {
                end = found.start() + last;
            }
        }
        start = end;
        Some(&text[found.start()..end])
    })
}

fn parse_ranks(model: &[u8]) -> Result<HashMap<Arc<[u8]>, u32>, String> {
    let text = std::str::from_utf8(model).map_err(|error| error.to_string())?;
    let mut ranks = HashMap::with_capacity(text.len() / 16);
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let number = index + 1;
        let (bytes, rank) = line
            .split_once(' ')
            .and_then(|(bytes, rank)| {
                Some((BASE64_STANDARD.decode(bytes).ok()?, rank.parse().ok()?))
            })
            .ok_or_else(|| format!("line {number} is not `base64(token) rank`"))?;
        if ranks.insert(Arc::from(bytes), rank).is_some() {
            return Err(format!("line {number} repeats a token"));
        }
    }
    match (0..=u8::MAX).find(|byte| !ranks.contains_key([*byte].as_slice())) {
        Some(byte) => Err(format!("it has no token for the byte {byte:#04x}")),
        None => Ok(ranks),
    }
}

fn check_added(added: &BTreeMap<u32, AddedToken>) -> Result<(), String> {
    if added.is_empty() {
        return Err("it lists no added_tokens_decoder, which tokenizer.model needs beside it: \
                    take the whole checkpoint"
            .to_owned());
    }
    match added.values().find(|t| t.content.is_empty() || t.lstrip || t.rstrip || t.single_word) {
        Some(token) => Err(format!(
            "added token `{}` is empty, or sets lstrip, rstrip or single_word, which tokenizers in \
             tokenizer.model form do not support here",
            token.content
        )),
        None => Ok(()),
    }
}

/// A pattern for any of the added tokens; where several match, the longest.
fn alternatives<'a>(added: impl Iterator<Item = &'a AddedToken>) -> String {
    let mut spellings: Vec<&str> = added.map(|token| token.content.as_str()).collect();
    spellings.sort_by_key(|spelling| Reverse(spelling.len()));
    spellings.into_iter().map(regex::escape).collect::<Vec<_>>().join("|")
}

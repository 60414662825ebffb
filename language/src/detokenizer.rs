//! Tokens to text while they arrive.

use crate::Tokenizer;
use crate::marks::KEPT;

/// Turns a stream of token ids into whole characters. What it gives, joined, is what
/// [`Tokenizer::decode`] gives for all the ids together.
#[derive(Debug, Clone)]
pub struct Detokenizer {
    tokenizer: Tokenizer,
    skip_special: bool,
    /// Special tokens that give their text all the same.
    kept: Vec<u32>,
    /// The start of a character whose other bytes have not come yet: three bytes at most.
    pending: Vec<u8>,
}

impl Detokenizer {
    /// A detokenizer at the start of a text. With `skip_special`, special tokens give nothing.
    pub fn new(tokenizer: &Tokenizer, skip_special: bool) -> Self {
        let kept = Vec::new();
        Self { tokenizer: tokenizer.clone(), skip_special, kept, pending: Vec::new() }
    }

    /// A detokenizer for a model's reply: special tokens give nothing, but those that tell the
    /// reply's parts apart, such as `<think>` and `<|begin_of_box|>`, give their spelling.
    pub fn of_reply(tokenizer: &Tokenizer) -> Self {
        let kept = KEPT.iter().filter_map(|mark| tokenizer.token_id(mark)).collect();
        Self { kept, ..Self::new(tokenizer, true) }
    }

    /// Takes the next token; gives the characters that it completes, often none. Bytes that no
    /// later token can make into a character become U+FFFD at once.
    pub fn push(&mut self, id: u32) -> String {
        if self.skip_special && self.tokenizer.is_special(id) && !self.kept.contains(&id) {
            return String::new();
        }
        self.pending.extend(self.tokenizer.token_bytes(id).unwrap_or_default());
        let mut text = String::new();
        loop {
            let error = match std::str::from_utf8(&self.pending) {
                Ok(rest) => {
                    text.push_str(rest);
                    self.pending.clear();
                    return text;
                }
                Err(error) => error,
            };
            let Some(invalid) = error.error_len() else {
                let start = self.pending.split_off(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(&self.pending));
                self.pending = start;
                return text;
            };
            let read: Vec<u8> = self.pending.drain(..error.valid_up_to() + invalid).collect();
            text.push_str(&String::from_utf8_lossy(&read));
        }
    }

    /// Ends the text: gives U+FFFD when its last character was never completed.
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.pending);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

//! Tokens to text while they arrive.

use crate::Tokenizer;

/// Turns a stream of token ids into whole characters: what [`Tokenizer::decode`] gives for all of them, piece by piece.
#[derive(Debug, Clone)]
pub struct Detokenizer {}

impl Detokenizer {
    /// A detokenizer at the start of a text. With `skip_special`, special tokens give nothing.
    pub fn new(_tokenizer: &Tokenizer, _skip_special: bool) -> Self {
        todo!()
    }

    /// Takes the next token; gives the text that it completes, which may be empty.
    pub fn push(&mut self, _id: u32) -> String {
        todo!()
    }

    /// Gives what is left: U+FFFD where the last character was never completed.
    pub fn finish(&mut self) -> String {
        todo!()
    }
}

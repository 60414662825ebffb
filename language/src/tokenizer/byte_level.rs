//! How byte-level vocabularies spell bytes as characters.
//!
//! GPT-2's table (`bytes_to_unicode` of its encoder.py): printable bytes are the character of the
//! same number, the other 68 are U+0100 onwards, in order.

use std::collections::HashMap;

/// Both directions of the table.
pub(super) struct ByteLevel {
    characters: [char; 256],
    bytes: HashMap<char, u8>,
}

impl ByteLevel {
    pub(super) fn new() -> Self {
        let mut characters = ['\0'; 256];
        let mut hidden = '\u{100}'..;
        for (byte, character) in (0..=u8::MAX).zip(&mut characters) {
            *character = match byte {
                b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
                _ => hidden.next().unwrap_or_default(),
            };
        }
        let bytes = (0..=u8::MAX).zip(characters).map(|(byte, c)| (c, byte)).collect();
        Self { characters, bytes }
    }

    /// The spelling of `bytes` in the vocabulary.
    pub(super) fn spell(&self, bytes: &[u8]) -> String {
        bytes.iter().map(|byte| self.characters[usize::from(*byte)]).collect()
    }

    /// The bytes of a spelling. One with a character outside the table stands for itself, as in
    /// the decoder of the `tokenizers` library.
    pub(super) fn bytes(&self, spelling: &str) -> Vec<u8> {
        spelling
            .chars()
            .map(|c| self.bytes.get(&c).copied())
            .collect::<Option<_>>()
            .unwrap_or_else(|| spelling.as_bytes().to_vec())
    }
}

//! Streaming detokenisation, held to decoding all at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{both_forms, cases, golden, ids};
use glm4v_language::{Detokenizer, Tokenizer};
use proptest::prelude::*;

#[test]
fn never_gives_half_a_character() {
    for tokenizer in both_forms() {
        // The bytes of 图 one by one, as a model that has no token for it writes them.
        let bytes: Vec<u32> = "图"
            .bytes()
            .map(|byte| (0..256).find(|id| tokenizer.token_bytes(*id) == Some(vec![byte])).unwrap())
            .collect();
        let mut stream = Detokenizer::new(&tokenizer, true);
        let given: Vec<String> = bytes.iter().map(|id| stream.push(*id)).collect();
        assert_eq!(given, ["", "", "图"]);
        assert_eq!(stream.finish(), "");

        // A letter shows that the character before it will never be complete.
        let letter = tokenizer.token_id("a").unwrap();
        assert_eq!(stream.push(bytes[0]), "");
        assert_eq!(stream.push(letter), "\u{fffd}a");

        // So does the end.
        assert_eq!(stream.push(bytes[0]), "");
        assert_eq!(stream.finish(), "\u{fffd}");
        assert_eq!(stream.finish(), "");
    }
}

#[test]
fn streams_every_golden_answer() {
    for model in ["glm4v", "glm46v", "glm_ocr", "glm4v_9b"] {
        let tokenizer = Tokenizer::from_files(&golden(model)).unwrap();
        for (name, case) in cases(model) {
            let text = stream(&tokenizer, &ids(&case["greedy_tokens"]), false);
            assert_eq!(text, case["greedy_text"].as_str().unwrap(), "{name}");
        }
    }
}

fn stream(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut stream = Detokenizer::new(tokenizer, skip_special);
    let mut text: String = ids.iter().map(|id| stream.push(*id)).collect();
    text += &stream.finish();
    text
}

proptest! {
    #[test]
    fn is_decoding_piece_by_piece(
        ids in proptest::collection::vec(prop_oneof![0..256u32, 0..470u32, 160..256u32], 0..40),
        skip_special: bool,
    ) {
        let library = tokenizers::Tokenizer::from_file(
            common::fixture("goldens/glm4v_9b/tokenizer.json"),
        );
        let [tokenizer, ranks] = both_forms();
        let expected = library.unwrap().decode(&ids, skip_special).unwrap();
        prop_assert_eq!(tokenizer.decode(&ids, skip_special), expected.as_str());
        prop_assert_eq!(stream(&tokenizer, &ids, skip_special), expected);
        prop_assert_eq!(stream(&ranks, &ids, skip_special), ranks.decode(&ids, skip_special));
    }
}

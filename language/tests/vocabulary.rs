//! Tokenizers, held to ids that Python's `tokenizers` and `tiktoken` gave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{both_forms, cases, fixture, golden, ids, json};
use glm4v_language::{LanguageError, Tokenizer};
use glm4v_weights::Files;
use proptest::prelude::*;
use serde_json::{Value, json};

const MODELS: [&str; 8] =
    ["glm", "glm_1m", "glm4", "glm4v", "glm46v", "glm4v_moe", "glm_ocr", "glm4v_9b"];

#[test]
fn encodes_and_decodes_every_golden_case() {
    for model in MODELS {
        let tokenizer = Tokenizer::from_files(&golden(model)).unwrap();
        for (name, case) in cases(model) {
            match case.get("prompts") {
                Some(prompts) => {
                    for (row, prompt) in prompts.as_array().unwrap().iter().enumerate() {
                        let found = tokenizer.encode(prompt.as_str().unwrap()).unwrap();
                        assert_eq!(found, ids(&case["input_ids"][row]), "{name}");
                    }
                }
                None => {
                    let prompt = case.get("expanded_prompt").unwrap_or(&case["prompt"]);
                    let found = tokenizer.encode(prompt.as_str().unwrap()).unwrap();
                    assert_eq!(found, ids(&case["input_ids"]), "{name}");
                }
            }
            let greedy = match &case["greedy_text"] {
                Value::String(text) => vec![(text.as_str(), ids(&case["greedy_tokens"]))],
                texts => {
                    let texts: Vec<&str> =
                        texts.as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
                    let tokens = &case["greedy_tokens"];
                    let rows = match texts.len() {
                        1 => vec![ids(tokens)],
                        _ => tokens.as_array().unwrap().iter().map(ids).collect(),
                    };
                    texts.into_iter().zip(rows).collect()
                }
            };
            for (text, tokens) in greedy {
                assert_eq!(tokenizer.decode(&tokens, false), text, "{name}");
            }
        }
    }
}

/// The real vocabulary: 151,329 tokens as published, in both forms.
#[test]
fn encodes_the_real_vocabulary_in_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    let (ranks, library) = real_vocabulary(folder.path());
    for (form, files) in [("tokenizer.model", ranks), ("tokenizer.json", library)] {
        let tokenizer = Tokenizer::from_files(&files).unwrap();
        assert_eq!(tokenizer.vocab_size(), 151_365, "{form}");
        for case in json("tokenizers/glm-4/encode_cases.json").as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let expected = ids(&case["ids"]);
            assert_eq!(tokenizer.encode_ordinary(text).unwrap(), expected, "{form}: {text:?}");
            assert_eq!(tokenizer.encode(text).unwrap(), expected, "{form}: {text:?}");
            assert_eq!(tokenizer.decode(&expected, false), text, "{form}");
        }
        for case in json("tokenizers/glm-4/prompt_cases_glm-4.5v.json").as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{form}: {text:?}");
        }
        // A long word without spaces would take minutes in quadratic time.
        let word = "图中写着什么".repeat(20_000);
        assert_eq!(tokenizer.decode(&tokenizer.encode(&word).unwrap(), false), word);
    }
}

#[test]
fn plain_text_holds_no_special_tokens() {
    for tokenizer in both_forms() {
        let special = tokenizer.token_id("<|user|>").unwrap();
        assert_eq!(tokenizer.encode("<|user|>").unwrap(), [special]);
        let plain = tokenizer.encode_ordinary("<|user|>").unwrap();
        assert!(!plain.contains(&special));
        assert_eq!(tokenizer.decode(&plain, true), "<|user|>");

        assert!(tokenizer.is_special(special));
        let letter = tokenizer.token_id("a").unwrap();
        assert!(!tokenizer.is_special(letter));
        assert_eq!(tokenizer.decode(&[special, letter], true), "a");
        assert_eq!(tokenizer.decode(&[special, letter], false), "<|user|>a");
    }
    // `<think>` is an added token that is not special: found in prompts, kept in answers.
    let tokenizer = Tokenizer::from_files(&golden("glm4v")).unwrap();
    let think = tokenizer.token_id("<think>").unwrap();
    assert_eq!(tokenizer.encode("<think>").unwrap(), [think]);
    assert!(!tokenizer.encode_ordinary("<think>").unwrap().contains(&think));
    assert_eq!(tokenizer.decode(&[think], true), "<think>");
}

#[test]
fn tokens_are_known_by_their_text() {
    for tokenizer in both_forms() {
        let space = tokenizer.token_id(" the").unwrap();
        assert_eq!(tokenizer.token(space).as_deref(), Some(" the"));
        assert_eq!(tokenizer.token_bytes(space).as_deref(), Some(b" the".as_slice()));
        assert_eq!(tokenizer.token_id("no such token"), None);
        assert_eq!(tokenizer.token(1 << 20), None);
        assert_eq!(tokenizer.decode(&[1 << 20], false), "");
        assert_eq!(tokenizer.vocab_size(), 454);
    }
}

#[test]
fn refuses_what_is_no_tokenizer() {
    let model = std::fs::read(fixture("goldens/glm4v_9b/tokenizer.model")).unwrap();
    let mut library = json("goldens/glm4v_9b/tokenizer.json");
    library["decoder"] = json!({"type": "WordPiece", "prefix": "##", "cleanup": false});
    let library = library.to_string().into_bytes();
    let broken = [&model[..], b"not a rank line\n"].concat();
    let repeated = [&model[..], b"IQ== 9999\n"].concat();
    let shortened = model["IQ== 0\n".len()..].to_vec();
    type FolderContent<'a> = &'a [(&'a str, &'a [u8])];
    let wrong: [(&str, FolderContent<'_>, &str); 8] = [
        ("nothing", &[], "tokenizer.json is missing"),
        ("no JSON", &[("tokenizer.json", b"{")], "not a usable tokenizer"),
        ("another decoder", &[("tokenizer.json", &library)], "ByteLevel"),
        ("no added tokens", &[("tokenizer.model", &model)], "added_tokens_decoder"),
        ("a broken line", &[("tokenizer.model", &broken)], "line 407"),
        ("a repeated token", &[("tokenizer.model", &repeated)], "line 407"),
        ("a missing byte", &[("tokenizer.model", &shortened)], "byte 0x21"),
        (
            "a stripping token",
            &[
                ("tokenizer.model", &model),
                (
                    "tokenizer_config.json",
                    br#"{"added_tokens_decoder": {"500": {"content": "<x>", "lstrip": true}}}"#,
                ),
            ],
            "lstrip",
        ),
    ];
    for (what, content, message) in wrong {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in content {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let error = Tokenizer::from_files(&Files::Folder(folder.path().to_owned())).unwrap_err();
        assert!(error.to_string().contains(message), "{what}: {error}");
        let place = folder.path().display().to_string();
        assert!(error.to_string().contains(&place), "{what} does not name the file: {error}");
        assert!(matches!(
            error,
            LanguageError::NoTokenizer { .. } | LanguageError::InvalidTokenizer { .. }
        ));
    }
}

/// Text of the kinds that pre-tokenisation treats apart, more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        any::<String>(),
        "[ \t\r\n\u{a0}\u{3000}\u{85}]{0,6}",
        "[a-zA-Z'sSt]{0,6}",
        "[0-9٣]{0,5}",
        "[图片é🙂.,!<|>]{0,5}",
        Just("<|user|>".to_owned()),
    ];
    proptest::collection::vec(kind, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn both_forms_agree_and_round_trip(text in text()) {
        let [library, ranks] = both_forms();
        let plain = library.encode_ordinary(&text).unwrap();
        prop_assert_eq!(&plain, &ranks.encode_ordinary(&text).unwrap());
        prop_assert_eq!(library.decode(&plain, true), text.as_str());
        prop_assert_eq!(ranks.decode(&plain, true), text.as_str());

        let prompt = library.encode(&text).unwrap();
        prop_assert_eq!(&prompt, &ranks.encode(&text).unwrap());
        prop_assert_eq!(library.decode(&prompt, false), text.as_str());
    }
}

/// Writes the real vocabulary with GLM-4.5V's added tokens into `folder`, as both forms.
fn real_vocabulary(folder: &Path) -> (Files, Files) {
    let packed = std::fs::read(fixture("tokenizers/glm-4/tokenizer.model.gz")).unwrap();
    let mut model = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut model).unwrap();
    assert_eq!(model.len(), 2_623_634);
    let added = json("tokenizers/glm-4/added_tokens.json")["glm-4.5v"].clone();

    let ranks = folder.join("ranks");
    std::fs::create_dir(&ranks).unwrap();
    let decoder: serde_json::Map<String, Value> = added
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (token["id"].to_string(), token.clone()))
        .collect();
    let config = json!({"added_tokens_decoder": decoder});
    std::fs::write(ranks.join("tokenizer.model"), &model).unwrap();
    std::fs::write(ranks.join("tokenizer_config.json"), config.to_string()).unwrap();

    let library = folder.join("library");
    std::fs::create_dir(&library).unwrap();
    let mut tokenizer = json("goldens/glm4v_9b/tokenizer.json");
    tokenizer["added_tokens"] = added;
    (tokenizer["model"]["vocab"], tokenizer["model"]["merges"]) = vocabulary_and_merges(&model);
    std::fs::write(library.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    (Files::Folder(ranks), Files::Folder(library))
}

/// The vocabulary of rank lines as `tokenizers` spells it, and the merges that follow from it:
/// every way to cut a token into two others, in the order of the tokens' ranks.
fn vocabulary_and_merges(model: &str) -> (Value, Value) {
    let mut hidden = 0x100..;
    let spelling: Vec<char> = (0..=255u8)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
            _ => char::from_u32(hidden.next().unwrap()).unwrap(),
        })
        .collect();
    let spell = |bytes: &[u8]| -> String {
        bytes.iter().map(|byte| spelling[usize::from(*byte)]).collect()
    };
    let tokens: Vec<Vec<u8>> = model
        .lines()
        .map(|line| BASE64_STANDARD.decode(line.split(' ').next().unwrap()).unwrap())
        .collect();
    let ranks: HashMap<&[u8], usize> =
        tokens.iter().enumerate().map(|(rank, bytes)| (&bytes[..], rank)).collect();
    let mut merges = Vec::new();
    for token in &tokens {
        let mut cuts: Vec<_> = (1..token.len())
            .filter_map(|at| Some((*ranks.get(&token[..at])?, *ranks.get(&token[at..])?)))
            .collect();
        cuts.sort_unstable();
        merges.extend(cuts.into_iter().map(|(a, b)| json!([spell(&tokens[a]), spell(&tokens[b])])));
    }
    let vocabulary: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(rank, bytes)| (spell(bytes), rank.into())).collect();
    (Value::Object(vocabulary), Value::Array(merges))
}

/// The library below panics on some of these, and none is in a tokenizer of the family.
#[test]
fn steps_that_byte_level_vocabularies_do_not_have_are_refused() {
    let whole: Value = json("goldens/glm/tokenizer.json");
    let empty = json!({"type": "Replace", "pattern": {"String": ""}, "content": "x"});
    for (place, step) in [
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        ("normalizer", json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, empty]})),
        ("normalizer", json!({"type": "Prepend", "prepend": ""})),
        ("normalizer", json!({"precompiled_charsmap": ""})),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0})),
    ] {
        let mut tokenizer = whole.clone();
        tokenizer[place] = step.clone();
        let files = [("tokenizer.json".to_owned(), tokenizer.to_string().into_bytes())];
        let error = Tokenizer::from_files(&Files::Made(files.into())).unwrap_err();
        assert!(matches!(error, LanguageError::InvalidTokenizer { .. }), "{step}: {error}");
        assert!(error.to_string().contains("step of type"), "{step}: {error}");
    }
    let mut tokenizer = whole;
    tokenizer["model"]["continuing_subword_prefix"] = "##".into();
    let files = [("tokenizer.json".to_owned(), tokenizer.to_string().into_bytes())];
    let error = Tokenizer::from_files(&Files::Made(files.into())).unwrap_err();
    assert!(error.to_string().contains("continuing_subword_prefix"), "{error}");
}

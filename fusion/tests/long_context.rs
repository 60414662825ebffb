//! What a long prompt takes, on the 1M variant's golden with its positions raised.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use glm4v_fusion::{CacheType, FloatType, GenerateOptions, LoadOptions, Model};
use serde_json::Value;
use std::path::Path;

/// Tokens of the prompts, nearly: each twice the one before.
const LENGTHS: [usize; 5] = [512, 1_024, 2_048, 4_096, 8_192];

/// A copy of the golden that takes prompts of those lengths.
fn stretched() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens/glm_1m");
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let file = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["max_position_embeddings"] = (2 * LENGTHS[4]).into();
    std::fs::write(file, config.to_string()).unwrap();
    folder
}

/// Rows and bytes of the cache after a question about a haystack with a needle at a tenth of it, and
/// how likely the first token of the answer was.
fn ask(model: &Model, length: usize, needle: &str) -> (usize, usize, f32) {
    let straw = "a ".repeat(length / 2);
    let (before, after) = straw.split_at(straw.len() / 10);
    let options = GenerateOptions {
        temperature: Some(0.0),
        max_tokens: Some(2),
        ..GenerateOptions::default()
    };
    let mut chat = model.chat(None);
    let question = format!("{before}{needle}{after}");
    let answer = chat.send(&[], &question, &options, |_| ()).unwrap();
    let rows = answer.usage.prompt + answer.usage.completion;
    (rows, chat.cache_bytes(), answer.tokens[0].log_probability)
}

#[test]
fn memory_is_linear_in_the_length_and_the_needle_is_seen() {
    let folder = stretched();
    let mut a_row = Vec::new();
    for cache_type in [CacheType::Float, CacheType::Int8] {
        let options = LoadOptions { cache_type, ..LoadOptions::default() };
        let model = Model::load(folder.path().to_str().unwrap(), &options).unwrap();
        // The prompt's room is taken at once, and some rows ahead, as many for each length.
        let taken = LENGTHS.map(|length| ask(&model, length, "7"));
        let slopes: Vec<f64> = taken
            .windows(2)
            .map(|pair| (pair[1].1 - pair[0].1) as f64 / (pair[1].0 - pair[0].0) as f64)
            .collect();
        let slope = slopes[0];
        assert!(slopes.iter().all(|other| (other / slope - 1.0).abs() < 0.05), "{slopes:?}");
        let ahead = taken[0].1 as f64 / slope - taken[0].0 as f64;
        assert!((0.0..1024.0).contains(&ahead), "{cache_type:?}: room for {ahead} rows more");
        a_row.push(slope);
        for length in LENGTHS {
            let (seven, two) = (ask(&model, length, "7").2, ask(&model, length, "2").2);
            assert!(seven != two, "{cache_type:?}: the needle in {length} tokens changes nothing");
        }
    }
    assert!(a_row[1] < 0.45 * a_row[0], "int8 takes {} bytes a row, floats {}", a_row[1], a_row[0]);
}

#[test]
fn beside_weights_of_fewer_bits_the_cache_takes_half_unless_told_otherwise() {
    let folder = stretched();
    let bytes = |dtype, cache_type| {
        let options = LoadOptions { dtype: Some(dtype), cache_type, ..LoadOptions::default() };
        let model = Model::load(folder.path().to_str().unwrap(), &options).unwrap();
        ask(&model, LENGTHS[0], "7").1
    };
    let whole = bytes(FloatType::F32, CacheType::Auto);
    assert_eq!(bytes(FloatType::F32, CacheType::Half), whole / 2);
    assert_eq!(bytes(FloatType::Bf16, CacheType::Auto), whole / 2);
    assert_eq!(bytes(FloatType::Bf16, CacheType::Float), whole);
}

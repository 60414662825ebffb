//! What a long prompt costs: time and memory of the KV cache at growing lengths, and whether a
//! needle early in the text still reaches the last logits.
//!
//! ```text
//! cargo run --release -p glm4v-fusion --example long_context -- tests/fixtures/goldens/glm_1m
//! ```
//!
//! The checkpoint may be a tiny one: its `max_position_embeddings` is raised in a copy.

use glm4v_fusion::{CacheType, GenerateOptions, LoadOptions, Model};
use std::error::Error;
use std::path::Path;

/// Tokens of the prompts, nearly.
const LENGTHS: [usize; 5] = [2_048, 4_096, 8_192, 16_384, 32_768];
/// Tokens decoded after each.
const DECODED: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give the folder of a checkpoint")?;
    let copy = std::env::temp_dir().join(format!("glm4v-long-context-{}", std::process::id()));
    stretch(Path::new(&folder), &copy)?;
    let result = measure(&copy);
    std::fs::remove_dir_all(&copy)?;
    result
}

/// Copies a checkpoint and raises the positions that it takes.
fn stretch(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            std::fs::copy(&path, to.join(name))?;
        }
    }
    let file = to.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    config["max_position_embeddings"] = (2 * LENGTHS[LENGTHS.len() - 1]).into();
    std::fs::write(file, config.to_string())?;
    Ok(())
}

fn measure(folder: &Path) -> Result<(), Box<dyn Error>> {
    println!("cache  tokens  prefill s  decode ms/token  cache KiB  bytes/token  needle");
    for cache_type in [CacheType::Float, CacheType::Int8] {
        let options = LoadOptions { cache_type, ..LoadOptions::default() };
        let model = Model::load(folder.to_str().ok_or("a path in UTF-8")?, &options)?;
        for length in LENGTHS {
            let cost = ask(&model, length, "7")?;
            let moved = (cost.first - ask(&model, length, "2")?.first).abs();
            println!(
                "{cache_type:?}  {}  {:.2}  {:.2}  {}  {}  {moved:.4}",
                cost.prompt,
                cost.prefill_seconds,
                cost.token_milliseconds,
                cost.cache_bytes / 1024,
                cost.cache_bytes / (cost.prompt + DECODED),
            );
        }
    }
    Ok(())
}

/// What a question cost.
struct Cost {
    /// Log-probability of the first token.
    first: f32,
    /// Tokens of the prompt.
    prompt: usize,
    prefill_seconds: f64,
    token_milliseconds: f64,
    cache_bytes: usize,
}

/// Asks about a haystack with a needle at a tenth of its length.
fn ask(model: &Model, length: usize, needle: &str) -> Result<Cost, Box<dyn Error>> {
    let straw = "a ".repeat(length / 2);
    let (before, after) = straw.split_at(straw.len() / 10);
    let options = GenerateOptions {
        temperature: Some(0.0),
        max_tokens: Some(DECODED),
        draft: glm4v_fusion::Draft::Off,
        ..GenerateOptions::default()
    };
    let mut chat = model.chat(None);
    let answer = chat.send(&[], &format!("{before}{needle}{after}"), &options, |_| ())?;
    let decode = answer.timings.decode.as_secs_f64() * 1000.0;
    Ok(Cost {
        first: answer.tokens.first().map_or(f32::NAN, |token| token.log_probability),
        prompt: answer.usage.prompt,
        prefill_seconds: answer.timings.prefill.as_secs_f64(),
        token_milliseconds: decode / answer.tokens.len().max(1) as f64,
        cache_bytes: chat.cache_bytes(),
    })
}

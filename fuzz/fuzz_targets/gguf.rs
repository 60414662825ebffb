//! Bytes as `model.gguf`: a model that answers, or an error.

#![no_main]

use glm4v_fusion::{GenerateOptions, LoadOptions, Model};
use libfuzzer_sys::fuzz_target;

/// Weights of a corrupt header must be refused before they are asked for.
const MOST_MEMORY: u64 = 256 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("model.gguf");
    let (Ok(()), Some(name)) = (std::fs::write(&path, bytes), path.to_str()) else { return };
    let options = LoadOptions { max_memory: Some(MOST_MEMORY), ..LoadOptions::default() };
    let Ok(model) = Model::load(name, &options) else { return };
    let options =
        GenerateOptions { max_tokens: Some(2), seed: Some(1), ..GenerateOptions::default() };
    let _ = model.ask(&[], "What?", &options);
});

//! A small checkpoint with one of its JSON files replaced: a model that runs, or an error.
//!
//! The first byte picks the checkpoint and the file, the rest is the file.

#![no_main]

use glm4v_fusion::{GenerateOptions, LoadOptions, Model};
use glm4v_vision::Image;
use libfuzzer_sys::fuzz_target;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const CHECKPOINTS: [&str; 6] = ["glm4v", "glm4v_moe", "glm_ocr", "glm4v_9b", "glm", "glm4"];
const FILES: [&str; 5] = [
    "config.json",
    "preprocessor_config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
];

/// A copy of each checkpoint to replace files in, for the life of the process.
static FOLDERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let root = tempfile::tempdir().map(|folder| folder.keep()).unwrap_or_default();
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens");
    CHECKPOINTS
        .iter()
        .map(|name| {
            let folder = root.join(name);
            let _ = std::fs::create_dir_all(&folder);
            for file in FILES.iter().chain(&["model.safetensors", "tokenizer.json"]) {
                let _ = std::fs::copy(goldens.join(name).join(file), folder.join(file));
            }
            folder
        })
        .collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, content)) = bytes.split_first() else { return };
    let choice = usize::from(choice);
    let folder = &FOLDERS[choice % CHECKPOINTS.len()];
    let path = folder.join(FILES[choice / CHECKPOINTS.len() % FILES.len()]);
    let original = std::fs::read(&path).ok();
    if std::fs::write(&path, content).is_err() {
        return;
    }
    run(folder);
    let _ = match original {
        Some(original) => std::fs::write(&path, original),
        None => std::fs::remove_file(&path),
    };
});

fn run(folder: &Path) {
    let Some(name) = folder.to_str() else { return };
    let Ok(model) = Model::load(name, &LoadOptions::default()) else { return };
    let Ok(image) = Image::from_rgb(40, 30, vec![200; 3600]) else { return };
    let images = if model.info().vision { vec![image] } else { Vec::new() };
    let options =
        GenerateOptions { max_tokens: Some(2), seed: Some(1), ..GenerateOptions::default() };
    let _ = model.ask(&images, "What?", &options);
}

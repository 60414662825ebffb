//! The built-in model.

use crate::FusionError;
use glm4v_weights::Checkpoint;

/// The name under which the built-in model is loaded.
pub const NANO: &str = "nano";

macro_rules! nano_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../models/nano/", $name)))),*]
    };
}

/// The files of `models/nano`, as its Hugging Face folder has them. A static: the weights of a
/// constant can be in the program more than once.
pub(crate) static FILES: &[(&str, &[u8])] = nano_files![
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// The built-in model's checkpoint.
///
/// # Errors
/// When the files that were put into the program are no good checkpoint.
pub fn nano_checkpoint() -> Result<Checkpoint, FusionError> {
    Ok(Checkpoint::embedded(FILES)?)
}

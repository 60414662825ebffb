//! The built-in model.

/// The name under which the built-in model is loaded.
pub const NANO: &str = "nano";

macro_rules! nano_files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../models/nano/", $name)))),*]
    };
}

/// The files of `models/nano`, as its Hugging Face folder has them.
pub(crate) const FILES: &[(&str, &[u8])] = nano_files![
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

//! Where the fixtures are, and how they are read.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;

use glm4v_language::{Message, Part, Role, Tokenizer};
use glm4v_weights::Files;
use serde_json::Value;

pub(crate) fn fixture(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures")).join(path)
}

pub(crate) fn golden(model: &str) -> Files {
    Files::Folder(fixture("goldens").join(model))
}

pub(crate) fn json(path: &str) -> Value {
    let path = fixture(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The cases of a golden folder: the JSON files that hold the tokens of a prompt.
pub(crate) fn cases(model: &str) -> Vec<(String, Value)> {
    let folder = fixture("goldens").join(model);
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".json") {
            let case = json(&format!("goldens/{model}/{name}"));
            if case.get("input_ids").is_some() {
                cases.push((format!("{model}/{name}"), case));
            }
        }
    }
    assert!(!cases.is_empty(), "no cases in {model}");
    cases
}

pub(crate) fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The golden tokenizer of GLM-4V-9B as `tokenizer.json` and as `tokenizer.model`.
pub(crate) fn both_forms() -> [Tokenizer; 2] {
    let folder = tempfile::tempdir().unwrap();
    for name in ["tokenizer.model", "tokenizer_config.json"] {
        std::fs::copy(fixture("goldens/glm4v_9b").join(name), folder.path().join(name)).unwrap();
    }
    let ranks = Files::Folder(folder.path().to_owned());
    [golden("glm4v_9b"), ranks].map(|files| Tokenizer::from_files(&files).unwrap())
}

/// Messages in the shape that Hugging Face's templates take.
pub(crate) fn messages(value: &Value) -> Vec<Message> {
    value.as_array().unwrap().iter().map(message).collect()
}

fn message(value: &Value) -> Message {
    let role = match value["role"].as_str().unwrap() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "observation" | "tool" => Role::Observation,
        other => panic!("role {other}"),
    };
    let mut parts = match &value["content"] {
        Value::String(text) => vec![Part::Text(text.clone())],
        content => content.as_array().unwrap().iter().map(part).collect(),
    };
    if value.get("image").is_some() {
        parts.insert(0, Part::Image);
    }
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    Message {
        reasoning: text("reasoning_content"),
        metadata: text("metadata"),
        tool_calls: value.get("tool_calls").cloned(),
        ..Message::new(role, parts)
    }
}

fn part(value: &Value) -> Part {
    match value["type"].as_str().unwrap() {
        "image" => Part::Image,
        "video" => Part::Video,
        _ => Part::Text(value["text"].as_str().unwrap().to_owned()),
    }
}

//! Chat templates: conversations and the text that the reference's renderer made of them.

use super::case::{list, read_json, reference_error};
use super::compare::{self, StageReport};
use super::messages::ReferenceMessage;
use super::{CaseReport, folder_name};
use crate::FusionError;
use glm4v_language::{ChatTemplate, Message, PromptFormat, PromptOptions};
use glm4v_weights::Files;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The tokens by which the built-in formats tell GLM-4.5 and later from GLM-4.1V.
const GLM_45_TOKENS: Files = Files::Embedded(&[(
    "tokenizer_config.json",
    br#"{"added_tokens_decoder": {"0": {"content": "/nothink"}}}"#,
)]);

/// A conversation and its rendering.
#[derive(Deserialize)]
struct Rendering {
    name: String,
    messages: Vec<ReferenceMessage>,
    #[serde(default)]
    add_generation_prompt: bool,
    #[serde(default)]
    enable_thinking: Option<bool>,
    #[serde(default)]
    tools: Option<Value>,
    /// The template's source; the model's built-in one is meant where it is missing.
    #[serde(default)]
    chat_template: Option<String>,
    text: String,
}

/// Whether a folder has a file of renderings.
pub(super) fn is_folder_of_templates(folder: &Path) -> bool {
    let is_renderings = |file: &PathBuf| read_json::<Vec<Rendering>>(file).is_ok();
    files(folder).is_ok_and(|files| files.iter().any(is_renderings))
}

/// Holds every rendering of every file in a folder.
pub(super) fn run(folder: &Path, on_case: &mut dyn FnMut(CaseReport)) -> Result<(), FusionError> {
    for file in files(folder)? {
        let model = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let stages = hold_file(&file, &model)
            .unwrap_or_else(|error| vec![compare::failed(&model, error.to_string())]);
        on_case(CaseReport { case: format!("{}/{model}", folder_name(folder)), stages });
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, FusionError> {
    let mut files = list(folder)?;
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    Ok(files)
}

fn hold_file(file: &Path, model: &str) -> Result<Vec<StageReport>, FusionError> {
    let built_in = built_in(model)?;
    let renderings: Vec<Rendering> = read_json(file)?;
    let hold = |rendering: &Rendering| {
        let own = rendering.chat_template.as_deref();
        let own = own.map(|source| ChatTemplate::parse(&rendering.name, source)).transpose()?;
        let (format, ending) = match own {
            Some(template) => (PromptFormat::Template(template), ""),
            None => (built_in.clone(), built_in_ending(model)),
        };
        let text = render(&format, rendering).map_err(|reason| reference_error(file, reason))?;
        Ok(same_text(&rendering.name, &text, &format!("{}{ending}", rendering.text)))
    };
    renderings.iter().map(hold).collect()
}

/// The built-in format of the model that a file is named after.
fn built_in(model: &str) -> Result<PromptFormat, FusionError> {
    let files = if model.contains("4.1") { Files::Embedded(&[]) } else { GLM_45_TOKENS };
    Ok(PromptFormat::from_files(&files, "glm4v")?)
}

/// The generation prompt of GLM-4.6 and other text models ends without the newline that the vision
/// models of their generation have; the built-in format is theirs.
fn built_in_ending(model: &str) -> &'static str {
    if model.contains("text") { "\n" } else { "" }
}

fn render(format: &PromptFormat, rendering: &Rendering) -> Result<String, String> {
    let messages: Vec<Message> =
        rendering.messages.iter().map(ReferenceMessage::to_message).collect::<Result<_, _>>()?;
    let options = PromptOptions {
        add_generation_prompt: rendering.add_generation_prompt,
        thinking: rendering.enable_thinking,
        tools: rendering.tools.clone().filter(|tools| !tools.is_null()),
        ..PromptOptions::default()
    };
    format.render(&messages, &options).map_err(|error| error.to_string())
}

/// Equal text, or the words around the first character that differs.
fn same_text(stage: &str, ours: &str, reference: &str) -> StageReport {
    let [ours, reference]: [Vec<char>; 2] = [ours, reference].map(|text| text.chars().collect());
    let mut report = compare::equal(stage, &ours, &reference);
    if !report.passed {
        let same = ours.iter().zip(&reference).take_while(|(a, b)| a == b).count();
        let around = |text: &[char]| -> String {
            text.iter().skip(same.saturating_sub(10)).take(40).collect()
        };
        let (ours, reference) = (around(&ours), around(&reference));
        report.first_difference =
            Some(format!("at character {same}: {ours:?}, the reference has {reference:?}"));
    }
    report
}

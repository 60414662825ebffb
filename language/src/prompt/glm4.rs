//! The prompt of GLM-4 (2024) and GLM-4V-9B, which their checkpoints hold as code, not as a
//! template.
//!
//! Source: `build_single_message` and `apply_chat_template` of `tokenization_chatglm.py`.

use serde_json::Value;

use crate::template::JsonStyle;
use crate::tools::built_in;
use crate::{LanguageError, Message, Part, PromptOptions, Role, Tokenizer};

/// Opens the system message that lists tools; the words are the reference's.
const TOOLS_INTRODUCTION: &str = "你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具";
const TOOLS_REQUEST: &str = "在调用上述函数时，请使用 Json 格式表示调用的参数。";

/// A stretch of the prompt that is encoded by itself.
enum Piece {
    /// One special token.
    Token(&'static str),
    /// Plain text: the spelling of a special token in it stays text.
    Text(String),
}

pub(super) fn encode(
    tokenizer: &Tokenizer,
    messages: &[Message],
    options: &PromptOptions,
) -> Result<Vec<u32>, LanguageError> {
    let mut ids = Vec::new();
    for piece in pieces(messages, options)? {
        match piece {
            Piece::Token(token) => ids.push(tokenizer.require(token)?),
            Piece::Text(text) => ids.extend(tokenizer.encode_ordinary(&text)?),
        }
    }
    Ok(ids)
}

pub(super) fn render(
    messages: &[Message],
    options: &PromptOptions,
) -> Result<String, LanguageError> {
    let pieces = pieces(messages, options)?;
    Ok(pieces
        .iter()
        .map(|piece| match piece {
            Piece::Token(token) => token,
            Piece::Text(text) => text.as_str(),
        })
        .collect())
}

fn pieces(messages: &[Message], options: &PromptOptions) -> Result<Vec<Piece>, LanguageError> {
    let unsupported = |what: &str| Err(LanguageError::UnsupportedPrompt { what: what.to_owned() });
    let parts = || messages.iter().flat_map(|message| &message.parts);
    if parts().any(|part| *part == Part::Video) {
        return unsupported("a video");
    }
    if parts().filter(|part| **part == Part::Image).count() > 1 {
        return unsupported("more than one image");
    }

    let mut pieces = vec![Piece::Token("[gMASK]"), Piece::Token("<sop>")];
    if let Some(tools) = options.tools.as_ref().and_then(Value::as_array) {
        turn(&mut pieces, Role::System, "", false, tool_list(tools));
    }
    for message in messages {
        append(&mut pieces, message);
    }
    if options.add_generation_prompt {
        // The model writes the rest of the line itself: a tool's name, or nothing.
        pieces.push(Piece::Token("<|assistant|>"));
    }
    Ok(pieces)
}

fn append(pieces: &mut Vec<Piece>, message: &Message) {
    let words: String = message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Image | Part::Video => None,
        })
        .collect();
    let image = message.parts.contains(&Part::Image);
    let calls = message.tool_calls.as_ref().and_then(Value::as_array);
    if calls.is_none() || !words.is_empty() {
        let metadata = message.metadata.as_deref().unwrap_or_default();
        turn(pieces, message.role, metadata, image, words);
    }
    // A call is a turn of its own: the tool's name on the role's line, then the arguments.
    for call in calls.into_iter().flatten() {
        let function = call.get("function").unwrap_or(call);
        let name = function["name"].as_str().unwrap_or_default();
        let arguments = match &function["arguments"] {
            Value::String(json) => json.clone(),
            arguments => JsonStyle::default().write(arguments),
        };
        turn(pieces, Role::Assistant, name, false, arguments);
    }
}

/// One turn. The role's line and the words are encoded apart, so that words that begin with a
/// newline do not merge with the line's own; an image stands between the two.
fn turn(pieces: &mut Vec<Piece>, role: Role, metadata: &str, image: bool, words: String) {
    pieces.push(Piece::Token(match role {
        Role::System => "<|system|>",
        Role::User => "<|user|>",
        Role::Assistant => "<|assistant|>",
        Role::Observation => "<|observation|>",
    }));
    pieces.push(Piece::Text(format!("{metadata}\n")));
    if image {
        let place = ["<|begin_of_image|>", "<|endoftext|>", "<|end_of_image|>"];
        pieces.extend(place.map(Piece::Token));
    }
    pieces.push(Piece::Text(words));
}

fn tool_list(tools: &[Value]) -> String {
    let style = JsonStyle { indent: Some(" ".repeat(4)), ..JsonStyle::default() };
    let entries = tools.iter().map(|tool| {
        if let Some((name, description)) = built_in(tool) {
            return format!("\n\n## {name}\n\n{description}");
        }
        let function = tool.get("function").unwrap_or(tool);
        let name = function["name"].as_str().unwrap_or_default();
        format!("\n\n## {name}\n\n{}\n{TOOLS_REQUEST}", style.write(function))
    });
    entries.fold(TOOLS_INTRODUCTION.to_owned(), |list, entry| list + &entry)
}

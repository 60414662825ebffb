//! Conversations as reference files write them: Hugging Face's chat format.

use glm4v_language::{Message, Part, Role};
use serde::Deserialize;
use serde_json::Value;

/// A turn of a conversation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ReferenceMessage {
    role: String,
    content: Content,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    metadata: Option<String>,
    #[serde(default)]
    tool_calls: Option<Value>,
    /// In cases of GLM-4V-9B, present when the turn brings an image before its text.
    #[serde(default)]
    image: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum ContentPart {
    Text { text: String },
    Image,
    Video,
}

impl ReferenceMessage {
    /// The same as the language crate has it; `Err` says which role is unknown.
    pub(super) fn to_message(&self) -> Result<Message, String> {
        let role = match self.role.as_str() {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "observation" | "tool" => Role::Observation,
            unknown => return Err(format!("a message has the unknown role {unknown:?}")),
        };
        let mut parts: Vec<Part> = self.image.iter().map(|_| Part::Image).collect();
        match &self.content {
            Content::Text(text) => parts.push(Part::Text(text.clone())),
            Content::Parts(typed) => parts.extend(typed.iter().map(|part| match part {
                ContentPart::Text { text } => Part::Text(text.clone()),
                ContentPart::Image => Part::Image,
                ContentPart::Video => Part::Video,
            })),
        }
        Ok(Message {
            reasoning: self.reasoning_content.clone(),
            metadata: self.metadata.clone(),
            tool_calls: self.tool_calls.clone(),
            ..Message::new(role, parts)
        })
    }
}

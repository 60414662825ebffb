//! A conversation, before it becomes a prompt.

use serde_json::{Map, Value};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
    /// What a tool gave back. OpenAI's API and the templates of GLM-4.5 and later call it `tool`.
    Observation,
}

/// A piece of a message. Pictures and films themselves are not here: the prompt holds only their places, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words.
    Text(String),
    /// The place of one image.
    Image,
    /// The place of one video.
    Video,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown, in order.
    pub parts: Vec<Part>,
    /// What the assistant thought before it answered, if the model thinks.
    pub reasoning: Option<String>,
    /// What stands on the role's line: in GLM-4 the name of the tool that the assistant calls.
    pub metadata: Option<String>,
    /// The assistant's tool calls, a list in the shape of OpenAI's API.
    pub tool_calls: Option<Value>,
}

impl Message {
    /// A message of `parts` and nothing else.
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, reasoning: None, metadata: None, tool_calls: None }
    }

    /// A message of words alone.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(role, vec![Part::Text(text.into())])
    }

    /// The message as templates know it: `role`, `content` (a string when there are words alone, else a list of
    /// typed parts) and the optional fields under the names of Hugging Face's chat format.
    ///
    /// `observation` is the name that the template has for [`Role::Observation`].
    pub(crate) fn to_json(&self, observation: &str) -> Value {
        let role = match self.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Observation => observation,
        };
        let mut fields = Map::new();
        fields.insert("role".into(), role.into());
        fields.insert("content".into(), self.content());
        let optional = [
            ("reasoning_content", self.reasoning.clone().map(Value::from)),
            ("metadata", self.metadata.clone().map(Value::from)),
            ("tool_calls", self.tool_calls.clone()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                fields.insert(name.into(), value);
            }
        }
        Value::Object(fields)
    }

    fn content(&self) -> Value {
        let words: Option<String> = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Image | Part::Video => None,
            })
            .collect();
        if let Some(words) = words {
            return words.into();
        }
        let typed = self.parts.iter().map(|part| match part {
            Part::Text(text) => serde_json::json!({"type": "text", "text": text}),
            Part::Image => serde_json::json!({"type": "image"}),
            Part::Video => serde_json::json!({"type": "video"}),
        });
        Value::Array(typed.collect())
    }
}

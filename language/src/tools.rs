//! Calls of tools, out of what a model wrote.
//!
//! GLM-4 (2024) and GLM-4-0414 call a tool by a reply whose first line is its name and whose other
//! lines are its arguments in JSON. GLM-4.5 and later write
//! `<tool_call>name\n<arg_key>key</arg_key>\n<arg_value>value</arg_value>\n</tool_call>`, strings
//! bare and other values in JSON, as often as they like after their text.
//!
//! GLM-4 (2024) was taught three tools of its own, [`BUILT_IN`], which take bare text in place of
//! JSON: a program, a browser's command such as `search("…")`, a description of a picture.
//!
//! Source: `process_response` of zai-org/GLM-4's demos; the chat template of GLM-4.6.

use crate::{Message, PromptFormat, Role};
use serde_json::{Map, Value, json};

/// The tools that GLM-4 (2024) was taught, by type, and what its prompt says about them.
///
/// Source: `TOOL_SYSTEM_PROMPTS` of zai-org/GLM-4's composite demo.
const TAUGHT: [(&str, &str); 3] = [
    ("python", include_str!("../templates/glm-4-tools/python.txt")),
    ("simple_browser", include_str!("../templates/glm-4-tools/simple_browser.txt")),
    ("cogview", include_str!("../templates/glm-4-tools/cogview.txt")),
];
/// The types of tools that GLM-4 (2024) knows without a definition; each is the tool's name too.
pub const BUILT_IN: [&str; 3] = [TAUGHT[0].0, TAUGHT[1].0, TAUGHT[2].0];
/// The argument that holds the bare text of a call of such a tool.
pub const BARE_ARGUMENT: &str = "input";

/// Name and description of a built-in tool in a list of tools; none for functions.
pub(crate) fn built_in(tool: &Value) -> Option<(&'static str, &'static str)> {
    let kind = tool.get("type").and_then(Value::as_str)?;
    TAUGHT.into_iter().find(|(name, _)| *name == kind)
}

/// What a model asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments by name.
    pub arguments: Map<String, Value>,
    /// Whether it is one of the [`BUILT_IN`] tools, whose only argument, [`BARE_ARGUMENT`], is what
    /// the model wrote.
    pub is_built_in: bool,
}

impl ToolCall {
    /// The call in the shape of OpenAI's API.
    pub fn to_json(&self) -> Value {
        let function = json!({"name": self.name, "arguments": self.arguments});
        json!({"type": "function", "function": function})
    }
}

/// How a model writes its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolFormat {
    /// A line with the name, then JSON: GLM-4 and GLM-4-0414.
    NameLine,
    /// Tags around the name and each argument: GLM-4.5 and later.
    Tags,
}

impl ToolFormat {
    /// The form that a prompt format teaches the model.
    pub fn of(format: &PromptFormat) -> Self {
        match format {
            PromptFormat::Template(template) if template.mentions(KEY.0) => Self::Tags,
            _ => Self::NameLine,
        }
    }

    /// The assistant's message that holds a reply with calls, for the next prompt.
    pub fn message(
        self,
        text: &str,
        reasoning: Option<String>,
        calls: &[ToolCall],
    ) -> Vec<Message> {
        let mut message = Message::text(Role::Assistant, text);
        message.reasoning = reasoning;
        match self {
            Self::Tags => {
                message.tool_calls = Some(calls.iter().map(ToolCall::to_json).collect());
                vec![message]
            }
            Self::NameLine => {
                let call = |call: &ToolCall| {
                    let bare = call.arguments.get(BARE_ARGUMENT).and_then(Value::as_str);
                    let arguments = match bare.filter(|_| call.is_built_in) {
                        Some(bare) => bare.to_owned(),
                        None => Value::Object(call.arguments.clone()).to_string(),
                    };
                    let metadata = Some(call.name.clone());
                    Message { metadata, ..Message::text(Role::Assistant, arguments) }
                };
                let text = (!text.is_empty()).then_some(message);
                text.into_iter().chain(calls.iter().map(call)).collect()
            }
        }
    }
}

const CALL: (&str, &str) = ("<tool_call>", "</tool_call>");
const KEY: (&str, &str) = ("<arg_key>", "</arg_key>");
const VALUE: (&str, &str) = ("<arg_value>", "</arg_value>");

/// A piece of an answer, its calls parted from its text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolSplit {
    /// Text between calls.
    pub text: String,
    /// Calls that are complete.
    pub calls: Vec<ToolCall>,
}

/// Parts an answer as it arrives. Text that may yet turn out to be a call is held back; what looks
/// like a call and is none is given as text in the end.
#[derive(Clone, Debug)]
pub struct ToolCallSplitter {
    format: ToolFormat,
    tools: Vec<Tool>,
    pending: String,
    /// In [`ToolFormat::NameLine`], whether the first line turned out to be text.
    is_text: bool,
}

/// What is known of a tool that a call may name.
#[derive(Clone, Debug)]
struct Tool {
    name: String,
    /// Arguments that are strings, which the tagged form writes bare.
    strings: Vec<String>,
    /// Whether all that follows its name is bare text.
    is_built_in: bool,
}

impl ToolCallSplitter {
    /// A splitter at the start of an answer. `tools` is a list in the shape of OpenAI's API; names
    /// that it does not have are no calls.
    pub fn new(format: ToolFormat, tools: &Value) -> Self {
        let tools = tools.as_array().into_iter().flatten().filter_map(Tool::parse).collect();
        Self { format, tools, pending: String::new(), is_text: false }
    }

    /// Takes the next piece of the answer; gives what it makes certain.
    pub fn push(&mut self, piece: &str) -> ToolSplit {
        self.pending.push_str(piece);
        match self.format {
            ToolFormat::NameLine => self.read_lines(),
            ToolFormat::Tags => self.read_tags(),
        }
    }

    /// Ends the answer: what was held back is a call, or text.
    pub fn finish(&mut self) -> ToolSplit {
        let rest = std::mem::take(&mut self.pending);
        let may_be_call = self.format == ToolFormat::NameLine && !self.is_text;
        if let Some(call) = self.name_line_call(&rest).filter(|_| may_be_call) {
            return ToolSplit { text: String::new(), calls: vec![call] };
        }
        ToolSplit { text: rest, calls: Vec::new() }
    }

    /// Holds back a first line that is, or may become, a tool's name, and all that follows it.
    fn read_lines(&mut self) -> ToolSplit {
        if !self.is_text {
            let start = self.pending.trim_start();
            let (line, whole) =
                start.split_once('\n').map_or((start, false), |(line, _)| (line, true));
            let line = if whole { line.trim_end() } else { line };
            let may_be = self.tools.iter().any(|tool| match whole {
                true => tool.name == line,
                false => tool.name.starts_with(line),
            });
            if may_be {
                return ToolSplit::default();
            }
            self.is_text = true;
        }
        ToolSplit { text: std::mem::take(&mut self.pending), calls: Vec::new() }
    }

    fn name_line_call(&self, text: &str) -> Option<ToolCall> {
        let (name, arguments) = text.trim().split_once('\n')?;
        let tool = self.tools.iter().find(|tool| tool.name == name.trim_end())?;
        let arguments = match tool.is_built_in {
            true => Map::from_iter([(BARE_ARGUMENT.to_owned(), Value::from(arguments))]),
            false => serde_json::from_str(arguments).ok()?,
        };
        Some(ToolCall { name: tool.name.clone(), arguments, is_built_in: tool.is_built_in })
    }

    fn read_tags(&mut self) -> ToolSplit {
        let mut split = ToolSplit::default();
        loop {
            let Some(open) = self.pending.find(CALL.0) else {
                let held = (1..CALL.0.len()).rev().find(|&n| self.pending.ends_with(&CALL.0[..n]));
                let sure = self.pending.len() - held.unwrap_or(0);
                let rest = self.pending.split_off(sure);
                split.text += &std::mem::replace(&mut self.pending, rest);
                return split;
            };
            let call = self.pending.split_off(open);
            split.text += &std::mem::replace(&mut self.pending, call);
            let Some(end) = self.pending.find(CALL.1) else { return split };
            let rest = self.pending.split_off(end + CALL.1.len());
            let call = std::mem::replace(&mut self.pending, rest);
            let inside = call.strip_prefix(CALL.0).and_then(|call| call.strip_suffix(CALL.1));
            match inside.and_then(|inside| self.tagged_call(inside)) {
                Some(call) => split.calls.push(call),
                None => split.text += &call,
            }
        }
    }

    /// What stands between the tags of a call.
    fn tagged_call(&self, inside: &str) -> Option<ToolCall> {
        let (name, mut rest) =
            inside.split_at_checked(inside.find(KEY.0).unwrap_or(inside.len()))?;
        let tool = self.tools.iter().find(|tool| tool.name == name.trim())?;
        let mut arguments = Map::new();
        while let Some((_, after)) = rest.split_once(KEY.0) {
            let (key, after) = after.split_once(KEY.1)?;
            let (_, after) = after.split_once(VALUE.0)?;
            let (value, after) = after.split_once(VALUE.1)?;
            let key = key.trim();
            let bare = || Value::from(value);
            let value = match tool.strings.iter().any(|name| name == key) {
                true => bare(),
                false => serde_json::from_str(value.trim()).unwrap_or_else(|_| bare()),
            };
            arguments.insert(key.to_owned(), value);
            rest = after;
        }
        Some(ToolCall { name: tool.name.clone(), arguments, is_built_in: false })
    }
}

impl Tool {
    fn parse(tool: &Value) -> Option<Self> {
        if let Some((name, _)) = built_in(tool) {
            return Some(Self { name: name.to_owned(), strings: Vec::new(), is_built_in: true });
        }
        let function = tool.get("function").unwrap_or(tool);
        let name = function.get("name")?.as_str()?.to_owned();
        let properties = function.pointer("/parameters/properties").and_then(Value::as_object);
        let strings = properties.into_iter().flatten();
        let strings = strings.filter(|(_, schema)| schema.get("type") == Some(&"string".into()));
        let strings = strings.map(|(key, _)| key.clone()).collect();
        Some(Self { name, strings, is_built_in: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;
    use proptest::prelude::*;

    fn tools() -> Value {
        let parameters =
            json!({"properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
        json!([
            {"type": "function", "function": {"name": "get_weather", "parameters": parameters}},
            {"name": "get_time"},
            {"type": "python"},
        ])
    }

    fn split(format: ToolFormat, pieces: &[String]) -> ToolSplit {
        let mut splitter = ToolCallSplitter::new(format, &tools());
        let mut whole = ToolSplit::default();
        let mut add = |split: ToolSplit| {
            whole.text += &split.text;
            whole.calls.extend(split.calls);
        };
        pieces.iter().for_each(|piece| add(splitter.push(piece)));
        add(splitter.finish());
        whole
    }

    fn call(name: &str, arguments: Value) -> ToolCall {
        let arguments = arguments.as_object().unwrap().clone();
        ToolCall { name: name.to_owned(), arguments, is_built_in: name == "python" }
    }

    fn replies() -> Vec<(ToolFormat, &'static str, &'static str, Vec<ToolCall>)> {
        let weather = call("get_weather", json!({"city": "12", "days": 3}));
        vec![
            (
                ToolFormat::NameLine,
                "get_weather\n{\"city\": \"12\", \"days\": 3}",
                "",
                vec![weather.clone()],
            ),
            (ToolFormat::NameLine, "get_time\n{}", "", vec![call("get_time", json!({}))]),
            (
                ToolFormat::NameLine,
                "python\nfor i in [1, 2]:\n    print({})",
                "",
                vec![call("python", json!({"input": "for i in [1, 2]:\n    print({})"}))],
            ),
            (ToolFormat::NameLine, "python is a snake", "python is a snake", vec![]),
            (ToolFormat::NameLine, "get_tea\n{}", "get_tea\n{}", vec![]),
            (ToolFormat::NameLine, "get_time\nis a tool", "get_time\nis a tool", vec![]),
            (ToolFormat::NameLine, "get", "get", vec![]),
            (ToolFormat::NameLine, "Hello\nget_time\n{}", "Hello\nget_time\n{}", vec![]),
            (
                ToolFormat::Tags,
                "Let me look.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>12</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>get_time\n</tool_call>",
                "Let me look.\n\n",
                vec![weather, call("get_time", json!({}))],
            ),
            (
                ToolFormat::Tags,
                "<tool_call>get_time\n<arg_key>zone</arg_key>\n<arg_value>[\"a\", 1]</arg_value>\n<arg_key>day</arg_key><arg_value>to morrow</arg_value></tool_call>",
                "",
                vec![call("get_time", json!({"zone": ["a", 1], "day": "to morrow"}))],
            ),
            (
                ToolFormat::Tags,
                "<tool_call>get_tea</tool_call>!",
                "<tool_call>get_tea</tool_call>!",
                vec![],
            ),
            (ToolFormat::Tags, "<tool_call>get_time", "<tool_call>get_time", vec![]),
            (ToolFormat::Tags, "a < b <tool", "a < b <tool", vec![]),
        ]
    }

    #[test]
    fn calls_are_parted_from_text() {
        for (format, reply, text, calls) in replies() {
            let expected = ToolSplit { text: text.to_owned(), calls };
            assert_eq!(split(format, &[reply.to_owned()]), expected, "{reply}");
        }
    }

    #[test]
    fn a_built_in_call_goes_back_as_the_model_wrote_it() {
        let calls = [
            call("python", json!({"input": "print(1)\n"})),
            call("get_time", json!({"input": "x"})),
        ];
        let messages = ToolFormat::NameLine.message("", None, &calls);
        let told = |message: &Message| (message.metadata.clone().unwrap(), message.parts.clone());
        assert_eq!(
            told(&messages[0]),
            ("python".to_owned(), vec![Part::Text("print(1)\n".into())])
        );
        let json = Part::Text(r#"{"input":"x"}"#.into());
        assert_eq!(told(&messages[1]), ("get_time".to_owned(), vec![json]));
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_the_calls(
            (format, reply, _, _) in prop::sample::select(replies()),
            sizes in prop::collection::vec(1..5_usize, 1..20),
        ) {
            let letters: Vec<char> = reply.chars().collect();
            let mut pieces = Vec::new();
            let mut rest = letters.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, left) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece.iter().collect());
                rest = left;
            }
            prop_assert_eq!(split(format, &pieces), split(format, &[reply.to_owned()]));
        }
    }
}

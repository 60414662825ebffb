//! Tools that a model may call: each is a command that gets JSON on its standard input.

use super::told;
use anyhow::{Context, bail};
use glm4v::{BUILT_IN_TOOLS, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes of a tool's answer that the model gets to see.
const LONGEST_ANSWER: usize = 64 << 10;
/// How often it is looked whether a tool has ended.
const POLL: Duration = Duration::from_millis(10);
/// How long the end of a tool's output may come after the tool's own end.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A file of tools: a list in the shape of OpenAI's API, each with its command.
#[derive(Debug)]
pub(crate) struct ToolBox {
    tools: Vec<Tool>,
    /// Where commands run, so that they can be named by paths beside the file.
    folder: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    /// `function`, or one of GLM-4's built-in tools, which the model knows without a definition.
    #[serde(rename = "type")]
    kind: String,
    function: Option<Function>,
    /// The program and its arguments.
    command: Vec<String>,
    /// Seconds after which it is ended.
    #[serde(default = "default_timeout")]
    timeout: f64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Function {
    name: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

fn default_timeout() -> f64 {
    60.0
}

/// A call and what came of it, for the JSON result.
#[derive(Debug, Serialize)]
pub(crate) struct ToolRun {
    name: String,
    arguments: Value,
    /// Whether the user let it run.
    allowed: bool,
    /// What the model was told.
    pub(crate) output: String,
}

impl ToolBox {
    /// Reads a file of tools.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let tools: Vec<Tool> = serde_json::from_str(&text).with_context(|| {
            let form = r#"[{"type": "function", "function": {…}, "command": ["program", …]}]"#;
            format!("{}: not a list of tools like {form}", path.display())
        })?;
        for tool in &tools {
            let (name, kind) = (tool.name(), &tool.kind);
            match (kind == "function", &tool.function) {
                (true, None) => {
                    bail!("{}: a tool of type function has no function", path.display())
                }
                (false, _) if !BUILT_IN_TOOLS.contains(&kind.as_str()) => {
                    let known = BUILT_IN_TOOLS.join(", ");
                    bail!("{}: type {kind}: not one of function, {known}", path.display())
                }
                (false, Some(_)) => {
                    bail!("{}: a tool of type {kind} takes no function", path.display())
                }
                _ => {}
            }
            if tool.command.is_empty() {
                bail!("{}: tool {name} has no command", path.display());
            }
            if !(tool.timeout > 0.0 && tool.timeout <= 86_400.0) {
                bail!("{}: tool {name}: timeout must be above 0 and at most a day", path.display());
            }
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(Self { tools, folder: folder.unwrap_or(Path::new(".")).to_owned() })
    }

    /// What the model is told of the tools.
    pub(crate) fn definitions(&self) -> anyhow::Result<Value> {
        let define = |tool: &Tool| {
            Ok(match &tool.function {
                Some(function) => serde_json::json!({"type": "function", "function": function}),
                None => serde_json::json!({"type": tool.kind}),
            })
        };
        self.tools.iter().map(define).collect::<anyhow::Result<Vec<_>>>().map(Value::Array)
    }

    /// Whether there is a tool of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool.name() == name)
    }

    /// Runs a call when `allowed`; what went wrong is told to the model too.
    pub(crate) fn run(&self, call: &ToolCall, allowed: bool) -> ToolRun {
        let tool = self.tools.iter().find(|tool| tool.name() == call.name);
        let output = match tool {
            _ if !allowed => "The user did not allow this call.".to_owned(),
            None => format!("There is no tool {}.", call.name),
            Some(tool) => tool
                .run(call, &self.folder)
                .unwrap_or_else(|error| format!("Error: {}", told(&error))),
        };
        let arguments = Value::Object(call.arguments.clone());
        ToolRun { name: call.name.clone(), arguments, allowed, output }
    }
}

impl Tool {
    fn name(&self) -> &str {
        self.function.as_ref().map_or(&self.kind, |function| &function.name)
    }

    /// Runs the command with the arguments as JSON on its standard input.
    fn run(&self, call: &ToolCall, folder: &Path) -> anyhow::Result<String> {
        let Some((program, arguments)) = self.command.split_first() else { bail!("no command") };
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{program} cannot be run"))?;
        let input = serde_json::to_vec(&call.arguments)?;
        let stdin = child.stdin.take();
        // A tool that reads nothing of its input is no fault.
        thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let stdout = Gathered::from(child.stdout.take());
        let stderr = Gathered::from(child.stderr.take());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if started.elapsed().as_secs_f64() > self.timeout {
                child.kill()?;
                child.wait()?;
                bail!("{} took longer than {} s and was ended", call.name, self.timeout);
            }
            thread::sleep(POLL);
        };
        let ended = Instant::now();
        let (stdout, stderr) = (stdout.text(ended), stderr.text(ended));
        if !status.success() {
            bail!("{} failed ({status}): {}{}", call.name, stdout, stderr.trim());
        }
        Ok(stdout)
    }
}

/// What a tool writes into a stream, read in a thread of its own, so that neither of two streams
/// can fill up and block.
struct Gathered {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: thread::JoinHandle<()>,
}

impl Gathered {
    fn from(stream: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = bytes.clone();
        let thread = thread::spawn(move || {
            let Some(mut stream) = stream else { return };
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut piece) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let room = (LONGEST_ANSWER + 1).saturating_sub(kept.len());
                kept.extend(piece.iter().take(length.min(room)));
            }
        });
        Self { bytes, thread }
    }

    /// The text, when the tool has `ended`. What it started in the background may hold the stream
    /// open for long; that is waited for a moment only.
    fn text(self, ended: Instant) -> String {
        while !self.thread.is_finished() && ended.elapsed() < LAST_WORDS {
            thread::sleep(POLL);
        }
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_cut = bytes.len() > LONGEST_ANSWER;
        bytes.truncate(LONGEST_ANSWER);
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if is_cut {
            text += "\n[cut off here]";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool_box(tools: &Value) -> (tempfile::TempDir, ToolBox) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tools.json");
        std::fs::write(&path, tools.to_string()).unwrap();
        let tools = ToolBox::open(&path).unwrap();
        (folder, tools)
    }

    fn tool(name: &str, command: &[&str]) -> Value {
        json!({"type": "function", "function": {"name": name, "description": "d"}, "command": command, "timeout": 1})
    }

    fn call(name: &str) -> ToolCall {
        let arguments = json!({"city": "北京"}).as_object().cloned().unwrap();
        ToolCall { name: name.to_owned(), arguments, is_built_in: false }
    }

    #[cfg(unix)]
    #[test]
    fn a_tool_gets_its_arguments_and_gives_its_output() {
        let (folder, tools) = tool_box(&json!([
            tool("echo", &["cat"]),
            tool("where", &["pwd"]),
            tool("fail", &["sh", "-c", "echo out; echo why >&2; exit 3"]),
            tool("sleep", &["sleep", "30"]),
            tool("talk", &["sh", "-c", "yes | head -c 1000000"]),
            tool("none", &["/no/such/program"]),
            tool("background", &["sh", "-c", "sleep 30 & echo started"]),
        ]));
        assert_eq!(tools.run(&call("echo"), true).output, "{\"city\":\"北京\"}");
        let place = PathBuf::from(tools.run(&call("where"), true).output.trim());
        assert_eq!(place, folder.path().canonicalize().unwrap());
        let failed = tools.run(&call("fail"), true).output;
        assert!(failed.contains("3") && failed.contains("why"), "{failed}");
        assert!(tools.run(&call("sleep"), true).output.contains("longer than 1 s"));
        let talk = tools.run(&call("talk"), true).output;
        assert!(talk.ends_with("[cut off here]") && talk.len() < LONGEST_ANSWER + 100);
        assert_eq!(tools.run(&call("background"), true).output, "started\n");
        assert!(tools.run(&call("none"), true).output.contains("cannot be run"));
        assert!(tools.run(&call("other"), true).output.contains("no tool other"));
    }

    #[test]
    fn what_the_user_forbids_does_not_run() {
        let (folder, tools) = tool_box(&json!([tool("touch", &["touch", "ran"])]));
        let run = tools.run(&call("touch"), false);
        assert!(!run.allowed && run.output.contains("did not allow"));
        assert!(!folder.path().join("ran").exists());
    }

    #[test]
    fn the_model_is_told_of_functions_and_not_of_commands() {
        let (_folder, tools) = tool_box(&json!([tool("echo", &["cat"])]));
        let definitions = tools.definitions().unwrap();
        let expected =
            json!([{"type": "function", "function": {"name": "echo", "description": "d"}}]);
        assert_eq!(definitions, expected);
        assert!(tools.has("echo") && !tools.has("cat"));
    }

    #[test]
    fn a_built_in_tool_has_a_type_and_a_command() {
        let python = json!({"type": "python", "command": ["cat"]});
        let (folder, tools) = tool_box(&json!([python]));
        assert_eq!(tools.definitions().unwrap(), json!([{"type": "python"}]));
        let arguments = json!({"input": "print(1)"}).as_object().cloned().unwrap();
        let call = ToolCall { name: "python".to_owned(), arguments, is_built_in: true };
        assert_eq!(tools.run(&call, true).output, r#"{"input":"print(1)"}"#);

        let refused = |tool: Value| {
            let path = folder.path().join("bad.json");
            std::fs::write(&path, json!([tool]).to_string()).unwrap();
            ToolBox::open(&path).unwrap_err().to_string()
        };
        let unknown = refused(json!({"type": "drawing", "command": ["cat"]}));
        assert!(unknown.contains("type drawing: not one of function, python"), "{unknown}");
        assert!(refused(json!({"type": "function", "command": ["cat"]})).contains("no function"));
        let both = json!({"type": "python", "function": {"name": "f"}, "command": ["cat"]});
        assert!(refused(both).contains("takes no function"));
    }
}

//! `glm4v chat`: a conversation in the terminal.

use crate::cli::{
    CUT, Collector, Console, ConversationArgs, Engine, Exit, GenerateArgs, ImageArgs, ModelArgs,
    Output, Picture, Record, Reply, Shown, ToolBox, ToolRun, UsageError, open_all, told,
};
use anyhow::{Context, anyhow, bail};
use glm4v::{Chat, Chunk, FinishReason, GenerateOptions, Image, ToolCall};
use glm4v_language::ToolCallSplitter;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{ErrorKind, Lines, StdinLock};
use std::path::PathBuf;
use std::time::Duration;

/// Replies with calls of tools in one turn, at most.
const MOST_ROUNDS: usize = 8;

const EXAMPLES: &str = "\
Examples:
  glm4v chat page.png
  glm4v chat --model glm-4.6v-flash --tools examples/tools/tools.json --allow-tool run_python
  printf 'What is the title?\\nWho wrote it?\\n' | glm4v chat page.png

Each line of standard input is a turn. `/image PATH` adds an image to the next turn, `/help`
lists these words, `/quit` or the end of the input ends the conversation.";

const HELP: &str = "\
/image PATH  add an image to the next turn (a path, folder or glob)
/help        show this
/quit        end the conversation
Anything else is sent to the model.";

/// Hold a conversation in the terminal
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Images of the first turn
    #[arg(value_name = "IMAGE")]
    images: Vec<OsString>,
    /// Print one JSON object a turn, as docs/JSON.md describes it
    #[arg(long)]
    json: bool,
    /// Tools that the model may call, a JSON list: each with `function` as OpenAI's API has it, and
    /// `command`, which gets the arguments as JSON on its standard input
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
    /// Run this tool without asking; can be given several times
    #[arg(long, requires = "tools", value_name = "NAME")]
    allow_tool: Vec<String>,
    #[command(flatten)]
    reading: ImageArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    conversation: ConversationArgs,
    #[command(flatten)]
    generate: GenerateArgs,
}

/// What a line of input means.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Turn(&'a str),
    Image(&'a str),
    Help,
    Quit,
    Unknown(&'a str),
    Nothing,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (word, rest.trim()) {
            ("", _) => Self::Nothing,
            ("/image", path) if !path.is_empty() => Self::Image(path),
            ("/help", "") => Self::Help,
            ("/quit", "") => Self::Quit,
            (word, _) if word.starts_with('/') => Self::Unknown(word),
            _ => Self::Turn(line),
        }
    }
}

/// Images that the next turn brings.
#[derive(Default)]
struct Pending {
    names: Vec<String>,
    images: Vec<Image>,
    decode_time: Duration,
}

impl Pending {
    /// Opens what `arguments` stand for; all of it or none is added.
    fn add(&mut self, arguments: &[OsString], args: &ImageArgs) -> anyhow::Result<()> {
        if arguments.iter().any(|argument| argument == "-") {
            let message = "-: standard input holds the turns; give the image as a file".to_owned();
            bail!(UsageError(message));
        }
        let pictures = Picture::expand(arguments, args)?;
        let (images, time) = open_all(&pictures, &args.options())?;
        self.names.extend(pictures.into_iter().map(|picture| picture.name));
        self.images.extend(images);
        self.decode_time += time;
        Ok(())
    }
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let engine = Engine::new(&args.model, console)?.drafting(&args.generate);
    let mut pending = Pending::default();
    pending.add(&args.images, &args.reading)?;
    let tools = args.tools.as_deref().map(ToolBox::open).transpose()?;
    let unknown = |name: &&String| !tools.as_ref().is_some_and(|tools| tools.has(name));
    if let Some(name) = args.allow_tool.iter().find(unknown) {
        return Err(UsageError(format!("--allow-tool {name}: no such tool in the file")).into());
    }
    let mut options = args.generate.options(args.conversation.thinking(), &engine.cancel)?;
    options.tools = tools.as_ref().map(ToolBox::definitions).transpose()?;
    let conversation = Conversation {
        args,
        engine: &engine,
        chat: engine.model()?.chat(args.conversation.system.as_deref()),
        options,
        tools,
        lines: std::io::stdin().lines(),
        output: Output::new(args.json, false),
        pending,
    };
    conversation.run()
}

struct Conversation<'a> {
    args: &'a Args,
    engine: &'a Engine<'a>,
    chat: Chat,
    options: GenerateOptions,
    tools: Option<ToolBox>,
    lines: Lines<StdinLock<'static>>,
    output: Output,
    pending: Pending,
}

impl Conversation<'_> {
    /// Acts on each line until the input ends.
    fn run(mut self) -> anyhow::Result<Exit> {
        let console = self.engine.console;
        let (mut lines, mut failed) = (0, 0);
        console.prompt(&format!("{HELP}\n> "));
        while let Some(line) = self.lines.next() {
            // What is no text costs its own turn, not the conversation.
            let line = match line {
                Err(error) if error.kind() != ErrorKind::InvalidData => {
                    return Err(error).context("standard input");
                }
                line => line.map_err(|error| anyhow!("standard input: {error}")),
            };
            let result = match line.as_deref().map(Line::parse) {
                Err(_) => line.map(drop),
                Ok(Line::Quit) => break,
                Ok(Line::Nothing) => Ok(()),
                Ok(Line::Help) => {
                    console.note(HELP);
                    Ok(())
                }
                Ok(Line::Image(path)) => self.pending.add(&[path.into()], &self.args.reading),
                Ok(Line::Unknown(word)) => Err(anyhow!("{word} is not known; /help lists what is")),
                Ok(Line::Turn(text)) => self.turn(text),
            };
            if self.engine.cancel.is_cancelled() {
                return Ok(Exit::Interrupted);
            }
            lines += 1;
            if let Err(error) = result {
                if Exit::of_error(&error) == Exit::OutputClosed {
                    return Err(error);
                }
                failed += 1;
                console.error(&told(&error));
            }
            console.prompt("> ");
        }
        Ok(Exit::of_inputs(failed, lines))
    }

    /// Sends a turn with the images that wait for it, and prints the reply while it comes.
    fn turn(&mut self, text: &str) -> anyhow::Result<()> {
        let Pending { names, images, decode_time } = std::mem::take(&mut self.pending);
        let shown = Shown::of(names.iter().map(String::as_str));
        let name = self.engine.name();
        let mut runs: Vec<ToolRun> = Vec::new();
        match self.reply(&images, text, &mut runs) {
            Ok(reply) => {
                reply.tell_times(self.engine.console);
                let mut record = Record::of_reply(shown, name, text, decode_time, &reply);
                record.tool_calls = &runs;
                Ok(self.output.record(&record)?)
            }
            Err(error) => {
                if Exit::of_error(&error) == Exit::Failed {
                    let mut record = Record::of_error(shown, name, text, told(&error));
                    record.tool_calls = &runs; // what was run may have changed things
                    self.output.record(&record)?;
                }
                Err(error)
            }
        }
    }

    /// The reply to a turn, after the tools that it takes, which join `runs`.
    fn reply(
        &mut self,
        images: &[Image],
        text: &str,
        runs: &mut Vec<ToolRun>,
    ) -> anyhow::Result<Reply> {
        let mut results = None;
        for _ in 0..=MOST_ROUNDS {
            let reply = self.round(images, text, results.as_deref())?;
            let calls = reply.answer.tool_calls.clone();
            if calls.is_empty() {
                return Ok(reply);
            }
            let mut outputs = Vec::with_capacity(calls.len());
            for call in &calls {
                let allowed = self.allows(call)?;
                let Some(tools) = &self.tools else {
                    bail!("the model calls tools, there are none")
                };
                let run = tools.run(call, allowed);
                self.engine.console.detail(&format!("{}: {}", call.name, run.output));
                outputs.push(run.output.clone());
                runs.push(run);
                if self.engine.cancel.is_cancelled() {
                    return Err(glm4v::Error::Cancelled.into());
                }
            }
            results = Some(outputs);
        }
        bail!("the model called tools {MOST_ROUNDS} times in a row without an answer")
    }

    /// One reply: to the user's words, or to the `results` of tools.
    fn round(
        &mut self,
        images: &[Image],
        text: &str,
        results: Option<&[String]>,
    ) -> anyhow::Result<Reply> {
        let mut collector = Collector::default();
        let mut calls = CallFilter::new(&self.chat, &self.options);
        let mut written = Ok(());
        let (console, cancel) = (self.engine.console, &self.engine.cancel);
        let output = &mut self.output;
        let on_chunk = |chunk: &Chunk| {
            let piece = collector.push(&chunk.text);
            console.detail_piece(&piece.reasoning);
            if written.is_ok() {
                written = output.piece(&calls.push(&piece.text));
            }
            if written.is_err() {
                cancel.cancel();
            }
        };
        let answer = match results {
            None => self.chat.send(images, text, &self.options, on_chunk),
            Some(results) => self.chat.observe(results, &self.options, on_chunk),
        };
        let answer = answer.map_err(|error| self.args.generate.in_grammar(error));
        written?;
        let rest = calls.push(&collector.finish().text);
        self.output.piece(&rest)?;
        self.output.piece(&calls.finish())?;
        self.output.end()?;
        let mut reply = collector.into_reply(answer?);
        reply.place_boxes(images);
        if self.options.grammar.is_some() && reply.answer.finish_reason == FinishReason::Length {
            console.note(CUT);
        }
        Ok(reply)
    }

    /// Whether a call may run: named on the command line, or allowed by the user now.
    fn allows(&mut self, call: &ToolCall) -> anyhow::Result<bool> {
        let console = self.engine.console;
        let shown = format!("{} {}", call.name, Value::Object(call.arguments.clone()));
        if self.args.allow_tool.contains(&call.name) {
            console.note(&format!("runs {shown}"));
            return Ok(true);
        }
        console.ask(&format!("Run {shown}? [y/N] "));
        let answer = self.lines.next().transpose().context("standard input")?.unwrap_or_default();
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}

/// Keeps calls of tools out of the text that is shown.
struct CallFilter(Option<ToolCallSplitter>);

impl CallFilter {
    fn new(chat: &Chat, options: &GenerateOptions) -> Self {
        Self(options.tools.as_ref().map(|tools| ToolCallSplitter::new(chat.tool_format(), tools)))
    }

    fn push(&mut self, text: &str) -> String {
        match &mut self.0 {
            Some(splitter) => splitter.push(text).text,
            None => text.to_owned(),
        }
    }

    fn finish(&mut self) -> String {
        self.0.as_mut().map(|splitter| splitter.finish().text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn lines_are_turns_or_commands() {
        assert_eq!(Line::parse("  what is this? "), Line::Turn("what is this?"));
        assert_eq!(Line::parse("/image  my page.png"), Line::Image("my page.png"));
        assert_eq!(Line::parse("/image"), Line::Unknown("/image"));
        assert_eq!(Line::parse("/quit"), Line::Quit);
        assert_eq!(Line::parse("/help\n"), Line::Help);
        assert_eq!(Line::parse("/quit now"), Line::Unknown("/quit"));
        assert_eq!(Line::parse(" "), Line::Nothing);
    }
}

//! `glm4v chat`: a conversation in the terminal.

use crate::cli::{
    Collector, Console, ConversationArgs, Engine, Exit, GenerateArgs, ImageArgs, ModelArgs, Output,
    Picture, Record, Reply, Shown, open_all,
};
use anyhow::{Context, anyhow};
use glm4v::{Chat, GenerateOptions, Image};
use std::ffi::OsString;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  glm4v chat page.png
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
        let pictures = Picture::expand(arguments, args)?;
        let (images, time) = open_all(&pictures, &args.options())?;
        self.names.extend(pictures.into_iter().map(|picture| picture.name));
        self.images.extend(images);
        self.decode_time += time;
        Ok(())
    }
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let engine = Engine::new(&args.model, console)?;
    let mut pending = Pending::default();
    pending.add(&args.images, &args.reading)?;
    let conversation = Conversation {
        args,
        engine: &engine,
        chat: engine.model()?.chat(args.conversation.system.as_deref()),
        options: args.generate.options(args.conversation.thinking(), &engine.cancel),
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
    output: Output,
    pending: Pending,
}

impl Conversation<'_> {
    /// Acts on each line until the input ends.
    fn run(mut self) -> anyhow::Result<Exit> {
        let console = self.engine.console;
        let (mut lines, mut failed) = (0, 0);
        console.prompt(&format!("{HELP}\n> "));
        for line in std::io::stdin().lines() {
            let line = line.context("standard input")?;
            let result = match Line::parse(&line) {
                Line::Quit => break,
                Line::Nothing => Ok(()),
                Line::Help => {
                    console.note(HELP);
                    Ok(())
                }
                Line::Image(path) => self.pending.add(&[path.into()], &self.args.reading),
                Line::Unknown(word) => Err(anyhow!("{word} is not known; /help lists what is")),
                Line::Turn(text) => self.turn(text),
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
                console.error(&format!("{error:#}"));
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
        match self.reply(&images, text) {
            Ok(reply) => {
                reply.tell_times(self.engine.console);
                let record = Record::of_reply(shown, name, text, decode_time, &reply);
                Ok(self.output.record(&record)?)
            }
            Err(error) => {
                if Exit::of_error(&error) == Exit::Failed {
                    let message = format!("{error:#}");
                    self.output.record(&Record::of_error(shown, name, text, message))?;
                }
                Err(error)
            }
        }
    }

    fn reply(&mut self, images: &[Image], text: &str) -> anyhow::Result<Reply> {
        let mut collector = Collector::default();
        let mut written = Ok(());
        let answer = self.chat.send(images, text, &self.options, |chunk| {
            let piece = collector.push(&chunk.text);
            self.engine.console.detail_piece(&piece.reasoning);
            if written.is_ok() {
                written = self.output.piece(&piece.text);
            }
            if written.is_err() {
                self.engine.cancel.cancel();
            }
        });
        written?;
        self.output.piece(&collector.finish().text)?;
        self.output.end()?;
        let mut reply = collector.into_reply(answer?);
        reply.place_boxes(images);
        Ok(reply)
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

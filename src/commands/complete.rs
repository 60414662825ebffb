//! `glm4v complete`: text alone.

use crate::cli::{
    CUT, Console, Engine, Exit, GenerateArgs, ModelArgs, Output, Record, Reply, Shown,
};
use anyhow::Context;
use glm4v::FinishReason;
use std::io::Read;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  glm4v complete -p \"The capital of France is\" --model glm-4-9b --max-tokens 20
  glm4v complete --model ./my-model -p - < prompt.txt

The prompt is taken as it is, without a chat template; special tokens in it count as such. The
marks that GLM sequences begin with are put in front when they are missing.";

/// Go on from a text, without images
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The text to go on from; `-` reads it from standard input
    #[arg(short, long, value_name = "PROMPT")]
    prompt: String,
    /// Print one JSON object, as docs/JSON.md describes it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    generate: GenerateArgs,
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let engine = Engine::new(&args.model, console)?.drafting(&args.generate);
    let mut prompt = args.prompt.clone();
    if prompt == "-" {
        prompt.clear();
        std::io::stdin().read_to_string(&mut prompt).context("standard input")?;
    }
    let options = args.generate.options(None, &engine.cancel)?;
    let in_grammar = |error| args.generate.in_grammar(error);
    let mut generation = engine.model()?.complete(&prompt, &options).map_err(in_grammar)?;
    let mut output = Output::new(args.json, false);
    for chunk in &mut generation {
        output.piece(&chunk.map_err(in_grammar)?.text)?;
    }
    output.end()?;
    let reply = Reply::verbatim(generation.answer());
    reply.tell_times(console);
    if options.grammar.is_some() && reply.answer.finish_reason == FinishReason::Length {
        console.note(CUT);
    }
    let (name, image) = (engine.name(), Shown::Nothing);
    output.record(&Record::of_reply(image, name, &prompt, Duration::ZERO, &reply))?;
    let cancelled = reply.answer.finish_reason == FinishReason::Cancelled;
    Ok(if cancelled { Exit::Interrupted } else { Exit::Done })
}

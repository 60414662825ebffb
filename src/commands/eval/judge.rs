//! `glm4v eval judge`.

use super::endpoint::EndpointArgs;
use super::progress::RunProgress;
use super::run::{answer_options, tell};
use crate::cli::{Console, Engine, Exit, GenerateArgs, ModelArgs};
use anyhow::Context;
use glm4v::ImageOptions;
use glm4v_eval::EvalError;
use glm4v_eval::judge::judge;
use glm4v_eval::run::{RunFolder, RunOptions};
use std::path::PathBuf;

/// Have a model judge a run's answers, or go on with that: CharXiv's leaderboard does so
///
/// The judge sees question, right answers and answer, and says right or wrong; it sees no image.
/// The judgement is a run of its own, which names the judge and its prompt.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run's folder; nothing in it is changed
    run: PathBuf,
    /// The judgement's folder
    #[arg(short, long, value_name = "JUDGEMENT")]
    output: PathBuf,
    /// The judge's prompt, a Jinja template over meta.asked, meta.answer and meta.wanted (a list)
    #[arg(long, value_name = "FILE")]
    prompt: Option<PathBuf>,
    /// Print the scores as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    endpoint: EndpointArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    generate: GenerateArgs,
}

pub(super) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let judged = RunFolder::open(&args.run)?;
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file)
            .with_context(|| format!("{}: the prompt cannot be read", file.display()))
    };
    let prompt = args.prompt.as_ref().map(read).transpose()?;
    let engine = Engine::new(&args.model, console)?.drafting(&args.generate);
    let answerer = args.endpoint.answerer(&engine, ImageOptions::default())?;
    let generate = args.generate.options(None, &glm4v::CancelToken::default())?;
    let options = RunOptions {
        concurrency: args.endpoint.concurrency(),
        answer: answer_options(&generate),
        ..RunOptions::new(&args.run, &args.output)
    };
    let progress = RunProgress::new(console);
    let outcome =
        judge(&judged, &*answerer, &options, prompt.as_deref(), &|done| progress.show(done));
    progress.finish();
    match outcome {
        Ok(outcome) => tell(&outcome, &args.output, args.json, console),
        Err(EvalError::Interrupted) => Ok(Exit::Interrupted),
        Err(error) => Err(error.into()),
    }
}

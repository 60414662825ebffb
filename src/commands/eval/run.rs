//! `glm4v eval run`.

use super::data;
use super::endpoint::EndpointArgs;
use super::progress::RunProgress;
use super::table::scores_text;
use crate::cli::{
    Console, Engine, Exit, GenerateArgs, ImageArgs, ModelArgs, UsageError, print_json, print_line,
};
use glm4v::GenerateOptions;
use glm4v_eval::answerer::{AnswerOptions, Answerer};
use glm4v_eval::run::{Outcome, RunOptions, Selection, Shard};
use glm4v_eval::task::{DEFAULT_PRESET, Extraction, Task};
use glm4v_eval::{EvalError, State};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Put a benchmark to a model, or go on with a run that was broken off
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Names of tasks (`glm4v eval list` shows them), or `.toml` files that declare them
    #[arg(required = true, value_name = "TASK")]
    tasks: Vec<String>,
    /// The dataset: its folder or file, or a dataset of the Hugging Face hub, of which the files
    /// that the task reads are fetched (`glm4v eval list` shows the tasks' own)
    #[arg(long, value_name = "DIR|ORG/NAME[@REVISION]")]
    data: Option<PathBuf>,
    /// The run's folder; with several tasks each gets one in it
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
    /// Whose prompts: default, lmms-eval or vlmevalkit
    #[arg(long, default_value = DEFAULT_PRESET)]
    preset: String,
    /// Another metric than the task's, NAME:VARIANT
    #[arg(long)]
    metric: Option<String>,
    /// Another rule for taking answers out of replies: glm, boxed, json, last_number, none, or a
    /// variant of `answer_extract`, such as vlmevalkit.glm_thinking
    #[arg(long, value_name = "RULE")]
    extract: Option<String>,
    /// Ask the first N samples only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Ask N samples drawn at random with --seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// Ask the K-th of N parts only; `glm4v eval merge` joins them
    #[arg(long, value_name = "K/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Print the scores as a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    endpoint: EndpointArgs,
    #[command(flatten)]
    reading: ImageArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    generate: GenerateArgs,
}

pub(super) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let tasks = args.tasks.iter().map(|name| Task::find(name)).collect::<Result<Vec<_>, _>>()?;
    // Before the model is loaded, and before Ctrl-C waits for the end of an answer.
    let locate = |task| data::locate(task, args.data.as_deref(), console);
    let places = tasks.iter().map(locate).collect::<Result<Vec<_>, _>>()?;
    let engine = Engine::new(&args.model, console)?.drafting(&args.generate);
    let answerer = args.endpoint.answerer(&engine, args.reading.options())?;
    let mut exit = Exit::Done;
    for (task, place) in tasks.iter().zip(&places) {
        let output = match tasks.len() {
            1 => args.output.clone(),
            _ => args.output.join(&task.name),
        };
        let ended = run_task(args, (task, place), &*answerer, &output, console)?;
        exit = if ended == Exit::Done { exit } else { ended };
    }
    Ok(exit)
}

fn run_task(
    args: &Args,
    (task, place): (&Task, &Path),
    answerer: &dyn Answerer,
    output: &Path,
    console: Console,
) -> anyhow::Result<Exit> {
    let options = options(args, place, output)?;
    let progress = RunProgress::new(console);
    let outcome = glm4v_eval::run::run(task, answerer, &options, &|done| progress.show(done));
    progress.finish();
    match outcome {
        Ok(outcome) => tell(&outcome, output, args.json, console),
        Err(EvalError::Interrupted) => Ok(Exit::Interrupted),
        Err(error) => Err(error.into()),
    }
}

fn options(args: &Args, place: &Path, output: &Path) -> anyhow::Result<RunOptions> {
    let count = |number: Option<u32>| number.map(|number| number as usize);
    let generate = args.generate.options(None, &glm4v::CancelToken::default())?;
    Ok(RunOptions {
        preset: args.preset.clone(),
        selection: Selection {
            limit: count(args.limit),
            sample: count(args.sample),
            seed: generate.seed.unwrap_or(0),
        },
        shard: args.shard,
        concurrency: args.endpoint.concurrency(),
        answer: answer_options(&generate),
        metric: args.metric.clone(),
        extract: args.extract.as_deref().map(Extraction::find).transpose()?,
        ..RunOptions::new(place, output)
    })
}

/// How answers are made, the likeliest tokens unless something else is asked for.
pub(super) fn answer_options(generate: &GenerateOptions) -> AnswerOptions {
    AnswerOptions {
        max_tokens: generate.max_tokens,
        temperature: Some(generate.temperature.unwrap_or(0.0)),
        top_p: generate.top_p,
        top_k: generate.top_k,
        seed: Some(generate.seed.unwrap_or(0)),
        thinking: generate.thinking,
    }
}

/// Prints what a run came to.
pub(super) fn tell(
    outcome: &Outcome,
    output: &Path,
    json: bool,
    console: Console,
) -> anyhow::Result<Exit> {
    let Outcome { scores, asked, elapsed } = outcome;
    let rate = *asked as f64 / elapsed.as_secs_f64().max(1e-9);
    if json {
        print_json(&json!({
            "task": scores.task, "metric": scores.metric, "score": scores.all.score,
            "interval": scores.all.interval, "count": scores.all.count,
            "answered": scores.answered, "breakdown": scores.breakdown, "states": scores.states,
            "asked": asked, "seconds": elapsed.as_secs_f64(), "items_per_second": rate,
            "run": output,
        }))?;
    } else {
        print_line(scores_text(scores).trim_end())?;
        let seconds = elapsed.as_secs_f64();
        print_line(&format!("  {asked} asked in {seconds:.1} s, {rate:.2} items a second"))?;
    }
    scores.bad_rows.iter().take(10).for_each(|row| console.error(row));
    let failed = scores.items.iter().filter(|item| item.state >= State::TimedOut);
    for item in failed.clone().take(10) {
        let reason = item.failure.as_deref().unwrap_or_default();
        console.error(&format!("{}: {reason}", item.id));
    }
    let failures = failed.count() + scores.bad_rows.len();
    Ok(Exit::of_inputs(failures, scores.items.len() + scores.bad_rows.len()))
}

/// `K/N` with K from 1 to N.
fn shard(text: &str) -> Result<Shard, UsageError> {
    let wrong = || UsageError("expected K/N with K from 1 to N, such as 1/4".to_owned());
    let (part, parts) = text.split_once('/').ok_or_else(wrong)?;
    let shard = Shard {
        part: part.parse().map_err(|_| wrong())?,
        parts: parts.parse().map_err(|_| wrong())?,
    };
    if (1..=shard.parts).contains(&shard.part) { Ok(shard) } else { Err(wrong()) }
}

//! `glm4v eval`: benchmarks.

mod compare;
mod data;
mod endpoint;
mod export;
mod judge;
mod list;
mod local;
mod merge;
mod pace;
mod progress;
mod report;
mod rescore;
mod run;
mod table;

use crate::cli::{Console, Exit};
use clap::Subcommand;

const EXAMPLES: &str = "\
Examples:
  glm4v eval list
  glm4v eval run chartqa --data chartqa/ --output runs/nano-chartqa
  glm4v eval run chartqa --data lmms-lab/ChartQA --output runs/nano-hub
  glm4v eval run chartqa --data chartqa/ --output runs/glm --model glm-4.1v --sample 200 --seed 1
  glm4v eval judge runs/charxiv --output runs/judged --endpoint http://localhost:8000/v1 --model glm-4.6

A run is a folder: run.json, responses.jsonl, scores.json, report.html. The same command goes on with a run that
was broken off, and asks nothing twice.

A dataset of the hub is kept in the Hugging Face cache, as models are. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN
and HF_HUB_OFFLINE are honoured.";

/// Run benchmarks, and look at what came of them
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: EvalCommand,
}

#[derive(Debug, Subcommand)]
enum EvalCommand {
    List(list::Args),
    Run(Box<run::Args>),
    Report(report::Args),
    Compare(compare::Args),
    Export(export::Args),
    Rescore(rescore::Args),
    Judge(Box<judge::Args>),
    Merge(merge::Args),
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    match &args.command {
        EvalCommand::List(args) => list::run(args),
        EvalCommand::Run(args) => run::run(args, console),
        EvalCommand::Report(args) => report::run(args, console),
        EvalCommand::Compare(args) => compare::run(args),
        EvalCommand::Export(args) => export::run(args),
        EvalCommand::Rescore(args) => rescore::run(args),
        EvalCommand::Judge(args) => judge::run(args, console),
        EvalCommand::Merge(args) => merge::run(args, console),
    }
}

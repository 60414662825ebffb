//! One file a command.

mod ask;
mod bench;
mod chart;
mod chat;
mod complete;
mod completions;
mod describe;
mod eval;
mod man;
mod models;
mod ocr;
mod parity;
mod score;

use crate::cli::{Console, Exit, leave_at_once};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Describe(describe::Args),
    Ask(ask::Args),
    Ocr(ocr::Args),
    Chart(chart::Args),
    Chat(chat::Args),
    Complete(complete::Args),
    Models(models::Args),
    Bench(bench::Args),
    Parity(parity::Args),
    Score(score::Args),
    Eval(eval::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs a command to its end.
pub(crate) fn run(command: &Command, console: Console) -> anyhow::Result<Exit> {
    if matches!(command, Command::Models(_) | Command::Bench(_) | Command::Parity(_)) {
        leave_at_once()?;
    }
    match command {
        Command::Describe(args) => describe::run(args, console),
        Command::Ask(args) => ask::run(args, console),
        Command::Ocr(args) => ocr::run(args, console),
        Command::Chart(args) => chart::run(args, console),
        Command::Chat(args) => chat::run(args, console),
        Command::Complete(args) => complete::run(args, console),
        Command::Models(args) => models::run(args, console),
        Command::Bench(args) => bench::run(args, console),
        Command::Parity(args) => parity::run(args, console),
        Command::Score(args) => score::run(args),
        Command::Eval(args) => eval::run(args, console),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    }
}

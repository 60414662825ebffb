//! `glm4v eval merge`.

use super::table::scores_text;
use crate::cli::{Exit, print_line};
use glm4v_eval::run::{RunFolder, merge};
use std::path::PathBuf;

/// Join the parts of a run that --shard made
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The parts' folders
    #[arg(required = true, value_name = "RUN")]
    parts: Vec<PathBuf>,
    /// The folder of the whole run
    #[arg(short, long, value_name = "RUN")]
    output: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let parts = args.parts.iter().map(RunFolder::open).collect::<Result<Vec<_>, _>>()?;
    let scores = merge(&parts, &args.output)?;
    print_line(scores_text(&scores).trim_end())?;
    Ok(Exit::Done)
}

//! `glm4v eval merge`.

use super::table::scores_text;
use crate::cli::{Console, Exit, print_line};
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

pub(super) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let parts = args.parts.iter().map(RunFolder::open).collect::<Result<Vec<_>, _>>()?;
    let scores = merge(&parts, &args.output)?;
    let manifest = RunFolder::open(&args.output)?.manifest()?;
    if let missing @ 1.. = manifest.samples.saturating_sub(manifest.asked) {
        let all = manifest.samples;
        console.note(&format!("{missing} of {all} samples are in none of the parts"));
    }
    print_line(scores_text(&scores).trim_end())?;
    Ok(Exit::Done)
}

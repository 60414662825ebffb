//! `glm4v eval report`.

use super::table::scores_text;
use crate::cli::{Console, Exit, print_line};
use glm4v_eval::report::write_report;
use glm4v_eval::run::RunFolder;
use std::path::PathBuf;

/// Print a run's scores, and write its report anew (report.html, report.md, report.csv)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run's folder
    run: PathBuf,
}

pub(super) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let folder = RunFolder::open(&args.run)?;
    write_report(&folder)?;
    print_line(scores_text(&folder.scores()?).trim_end())?;
    console.note(&format!("{}", folder.file("report.html").display()));
    Ok(Exit::Done)
}

//! `glm4v eval export`.

use crate::cli::{Exit, print_line};
use clap::ValueEnum;
use glm4v_eval::export::{ExportForm, export};
use glm4v_eval::run::RunFolder;
use std::path::PathBuf;

/// Write a run as the result files of another harness
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run's folder
    run: PathBuf,
    /// Whose files
    #[arg(long, value_enum)]
    format: Form,
    /// Where to write them [default: the run's folder]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// A JSON file with the results and one with a line a sample
    LmmsEval,
    /// A table of predictions and one of scores
    Vlmevalkit,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let folder = RunFolder::open(&args.run)?;
    let form = match args.format {
        Form::LmmsEval => ExportForm::LmmsEval,
        Form::Vlmevalkit => ExportForm::Vlmevalkit,
    };
    let output = args.output.clone().unwrap_or_else(|| {
        args.run.join(match args.format {
            Form::LmmsEval => "lmms-eval",
            Form::Vlmevalkit => "vlmevalkit",
        })
    });
    let files = export(&folder, form, &output)?;
    for file in &files {
        print_line(&file.display().to_string())?;
    }

    Ok(Exit::Done)
}

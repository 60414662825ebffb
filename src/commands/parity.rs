//! `glm4v parity`: the implementation against reference outputs.

use crate::cli::{Console, EngineArgs, Exit, print_json};
use glm4v::{FloatType, LoadOptions};
use glm4v_fusion::parity::{self, CaseReport, StageReport};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  glm4v parity goldens/glm4v
  glm4v parity goldens --json > report.jsonl

A directory holds a checkpoint and, per case, NAME.json and NAME.safetensors with what the
reference computed; or tables of functions; or rendered chat templates; or such directories.
Bounds are for --dtype f32, which is the default here. Exit code 1 when a stage fails.";

/// Hold every stage against the outputs of the reference implementation
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A directory of reference outputs, or a folder of such directories
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print one JSON object a stage
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// A stage as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    case: &'a str,
    #[serde(flatten)]
    stage: &'a StageReport,
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    args.engine.build_thread_pool()?;
    let options = args.engine.load_options();
    let options = LoadOptions { dtype: options.dtype.or(Some(FloatType::F32)), ..options };
    let (mut stages, mut failed) = (0, 0);
    let mut written = Ok(());
    parity::run(&args.folder, &options, &mut |report| {
        stages += report.stages.len();
        failed += report.stages.iter().filter(|stage| !stage.passed).count();
        if written.is_ok() {
            written = if args.json { print_lines(&report) } else { print_table(&report) };
        }
    })?;
    written?;
    console.note(&format!("{stages} stages, {failed} failed"));
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}

fn print_lines(report: &CaseReport) -> std::io::Result<()> {
    report.stages.iter().try_for_each(|stage| print_json(&Line { case: &report.case, stage }))
}

fn print_table(report: &CaseReport) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    for stage in &report.stages {
        let name = format!("{} {}", report.case, stage.stage);
        let (error, relative) = (stage.max_error, stage.max_relative_error);
        let verdict = match (&stage.first_difference, stage.passed) {
            (_, true) => "pass".to_owned(),
            (None, false) => "FAIL".to_owned(),
            (Some(difference), false) => format!("FAIL {difference}"),
        };
        writeln!(output, "{name:<52} {error:>9.2e} {relative:>9.2e}  {verdict}")?;
    }
    output.flush()
}

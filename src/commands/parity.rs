//! `glm4v parity`: the implementation against reference outputs.

use crate::cli::{Console, EngineArgs, Exit, print_json};
use glm4v::{FloatType, LoadOptions, Model};
use glm4v_fusion::parity::{self, CaseReport, StageReport};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  glm4v parity goldens/glm4v
  glm4v parity goldens --json > report.jsonl
  glm4v parity goldens/glm4v --quant q8_0
  glm4v parity goldens/glm4v --model glm4v-q4_k_m.gguf

A directory holds a checkpoint and, per case, NAME.json and NAME.safetensors with what the
reference computed; or tables of functions; or rendered chat templates; or such directories. --model holds another form of the same model against the
cases in place of the checkpoint beside them. Logits come with the mean Kullback-Leibler divergence
from the reference in nats, and the share of rows with the same likeliest token.
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
    /// Hold this model against the cases, and not the checkpoint in DIR
    #[arg(long)]
    model: Option<String>,
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
    let mut on_case = |report: CaseReport| {
        stages += report.stages.len();
        failed += report.stages.iter().filter(|stage| !stage.passed).count();
        if written.is_ok() {
            written = if args.json { print_lines(&report) } else { print_table(&report) };
        }
    };
    match &args.model {
        None => parity::run(&args.folder, &options, &mut on_case)?,
        Some(source) => {
            let model = Model::load(source, &options)?;
            parity::run_model(&args.folder, &model, &mut on_case)?;
        }
    }
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
        let divergence = stage.divergence.map_or_else(String::new, |divergence| {
            format!("  KL {:.2e}, top-1 {:.1} %", divergence.kl, 100.0 * divergence.top1)
        });
        writeln!(output, "{name:<52} {error:>9.2e} {relative:>9.2e}  {verdict}{divergence}")?;
    }
    output.flush()
}

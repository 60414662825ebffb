//! `glm4v score`: predictions made by anything, against their references.

use crate::cli::{Exit, print_json, print_line};
use anyhow::Context;
use clap::ArgGroup;
use glm4v_eval::{
    GoldenReport, MetricInfo, ScoreReport, metrics, score_goldens, score_predictions,
};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  glm4v score --metric anls:lmms_eval predictions.jsonl
  glm4v score --metric relaxed_accuracy predictions.jsonl --items
  glm4v score --goldens goldens.jsonl
  glm4v score --list

Predictions are JSON lines {\"id\", \"prediction\", \"references\": [...], \"extra\"?}. Goldens carry
`metric`, `variant` and the `score` that the reference gave; exit code 1 when one differs.";

/// Score predictions, or hold the metrics against reference scores
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(group = ArgGroup::new("job").required(true).args(["metric", "goldens", "list"]))]
pub(crate) struct Args {
    /// The predictions; `-` reads standard input
    #[arg(value_name = "FILE", requires = "metric")]
    file: Option<PathBuf>,
    /// The metric, NAME or NAME:VARIANT
    #[arg(long, requires = "file")]
    metric: Option<String>,
    /// Print the score of each prediction too
    #[arg(long, requires = "metric")]
    items: bool,
    /// Score each line of this file by its own metric, and print those that differ
    #[arg(long, value_name = "FILE")]
    goldens: Option<PathBuf>,
    /// Show the metrics and their variants
    #[arg(long)]
    list: bool,
    /// Print JSON objects
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if let Some(path) = &args.goldens {
        let report = score_goldens(open(path)?).with_context(|| path.display().to_string())?;
        return print_goldens(&report, args.json);
    }
    if let (Some(metric), Some(path)) = (&args.metric, &args.file) {
        let context = || path.display().to_string();
        let report = score_predictions(metric, open(path)?).with_context(context)?;
        return print_scores(&report, args);
    }
    for MetricInfo { name, variant, summary, .. } in metrics::all() {
        if args.json {
            print_json(&json!({ "metric": name, "variant": variant, "summary": summary }))?;
        } else {
            print_line(&format!("{:<30} {summary}", format!("{name}:{variant}")))?;
        }
    }
    Ok(Exit::Done)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn print_scores(report: &ScoreReport, args: &Args) -> anyhow::Result<Exit> {
    for item in report.items.iter().filter(|_| args.items) {
        if args.json {
            print_json(item)?;
        } else {
            print_line(&format!("{}\t{}", plain(&item.id), plain(&item.score)))?;
        }
    }
    if args.json {
        print_json(report)?;
        return Ok(Exit::Done);
    }
    let ScoreReport { metric, variant, count, .. } = report;
    let score = match (report.mean, report.interval) {
        (Some(mean), Some((low, high))) => {
            format!("{mean:.4} (95 % interval {low:.4} to {high:.4}, {count} predictions)")
        }
        _ => format!("the scores are no numbers ({count} predictions); --items shows them"),
    };
    print_line(&format!("{metric}:{variant} {score}"))?;
    Ok(Exit::Done)
}

fn print_goldens(report: &GoldenReport, json: bool) -> anyhow::Result<Exit> {
    let GoldenReport { count, mismatches } = report;
    if json {
        print_json(report)?;
    } else {
        for m in mismatches {
            let (line, id, metric) = (m.line, plain(&m.id), &m.metric);
            let (found, expected) = (&m.found, &m.expected);
            print_line(&format!("line {line}, {id}, {metric}: {found}, expected {expected}"))?;
        }
        print_line(&format!("{count} scores, {} differ", mismatches.len()))?;
    }
    Ok(if mismatches.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Texts without quotes, the rest as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

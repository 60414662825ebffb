//! `glm4v chart`: the data of a chart.

mod table;

use crate::cli::{Batch, Console, Engine, Exit, Form, JobArgs, Question};
use clap::ValueEnum;
use table::Table;

const PROMPT: &str = "Convert the chart to a table.";

const EXAMPLES: &str = "\
Examples:
  glm4v chart bars.png
  glm4v chart --format json charts/*.png > charts.jsonl

Formats:
  csv       rows with commas, as RFC 4180 has them
  markdown  a Markdown table
  json      an object a line with `image`, `header` (null when the chart's table has none) and
            `rows`; cells that are numbers become numbers

An answer that holds no table is an error.";

/// Read a chart's data as a table
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How the table is written
    #[arg(long, default_value = "csv")]
    format: Format,
    #[command(flatten)]
    job: JobArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Csv,
    Markdown,
    Json,
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let engine = Engine::new(&args.job.model, console)?.drafting(&args.job.generate);
    let question = Question::new(PROMPT, &args.job, &engine)?;
    let form = match args.format {
        Format::Csv => Form::Converted { convert: csv, headers: true },
        Format::Markdown => Form::Converted { convert: markdown, headers: true },
        Format::Json => Form::Converted { convert: json, headers: false },
    };
    Batch { args: &args.job, engine: &engine, question, form }.run()
}

fn csv(_image: &str, answer: &str) -> anyhow::Result<String> {
    Ok(Table::parse(answer)?.to_csv())
}

fn markdown(_image: &str, answer: &str) -> anyhow::Result<String> {
    Ok(Table::parse(answer)?.to_markdown())
}

fn json(image: &str, answer: &str) -> anyhow::Result<String> {
    Ok(Table::parse(answer)?.to_json(image).to_string())
}

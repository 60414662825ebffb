//! `glm4v ocr`: the text of an image.

use crate::cli::{Batch, Console, Engine, Exit, Form, JobArgs, Question};
use clap::ValueEnum;
use glm4v::NANO;
use serde_json::json;

/// What GLM-OCR and the built-in model were trained with.
const PROMPT: &str = "Text Recognition:";
/// For models that follow instructions.
const MARKDOWN_PROMPT: &str = "Transcribe this image as Markdown, in reading order. Write tables \
as Markdown tables and formulas as LaTeX. Give nothing but the transcript.";

const EXAMPLES: &str = "\
Examples:
  glm4v ocr receipt.jpg
  glm4v ocr --format json pages/*.png > pages.jsonl
  glm4v ocr --model glm-4.1v --format markdown page.png

Formats:
  text      the text as the model reads it
  markdown  asks for Markdown with tables and formulas; nano and GLM-OCR, which know one way of
            reading only, give their plain text
  json      an object a line with `image` and the list `lines`";

/// Read the text of each image
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How the text is written
    #[arg(long, default_value = "text")]
    format: Format,
    #[command(flatten)]
    job: JobArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Json,
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let engine = Engine::new(&args.job.model, console)?.drafting(&args.job.generate);
    let question = Question::new(prompt(args.format, &engine)?, &args.job, &engine)?;
    let form = match args.format {
        Format::Text | Format::Markdown => Form::Streamed,
        Format::Json => Form::Converted { convert: lines, headers: false },
    };
    Batch { args: &args.job, engine: &engine, question, form }.run()
}

fn prompt(format: Format, engine: &Engine<'_>) -> anyhow::Result<&'static str> {
    if format != Format::Markdown || engine.name() == NANO {
        return Ok(PROMPT);
    }
    let knows_one_way = engine.model()?.info().model_type == "glm_ocr";
    Ok(if knows_one_way { PROMPT } else { MARKDOWN_PROMPT })
}

fn lines(image: &str, text: &str) -> anyhow::Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    Ok(json!({ "image": image, "lines": lines }).to_string())
}

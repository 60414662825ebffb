//! `glm4v describe`: the main job.

use crate::cli::{Batch, Console, Engine, Exit, Form, JobArgs, Question};

const PROMPT: &str = "Describe this image.";
const VIDEO_PROMPT: &str = "Describe this video.";

const EXAMPLES: &str = "\
Examples:
  glm4v describe photo.png
  glm4v describe --json photos/ --recursive > photos.jsonl
  glm4v describe --model glm-4.1v --video clip.mp4
  cat photo.png | glm4v describe -
  glm4v describe --model glm-4.1v --dtype bf16 \"scans/*.tif\"

Several images are described one after another, each below a line `==> NAME <==`.";

/// Say what each image shows
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    job: JobArgs,
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let engine = Engine::new(&args.job.model, console)?.drafting(&args.job.generate);
    let prompt = if args.job.video.is_some() { VIDEO_PROMPT } else { PROMPT };
    let question = Question::new(prompt, &args.job, &engine)?;
    Batch { args: &args.job, engine: &engine, question, form: Form::Streamed }.run()
}

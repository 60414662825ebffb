//! `glm4v ask`: a question about one image or several.

use crate::cli::{
    Batch, Console, Engine, Exit, Form, JobArgs, Output, Picture, Question, Record, Reply, Shown,
    UsageError, draw_boxes, drawing_paths, open_all, told,
};
use glm4v::FinishReason;
use std::path::Path;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  glm4v ask chart.png -p \"Which year was best?\"
  glm4v ask before.png after.png -p \"What has changed?\"
  glm4v ask street.png -p \"Give the box of every car.\" --draw-boxes cars.png
  glm4v ask --each receipts/*.jpg -p \"What is the total?\" --json > totals.jsonl";

/// Answer a question about one image, or about several seen together
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The question
    #[arg(short, long, value_name = "QUESTION")]
    prompt: String,
    /// Ask about each image in turn, instead of all of them together
    #[arg(long)]
    each: bool,
    #[command(flatten)]
    job: JobArgs,
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    let job = &args.job;
    let engine = Engine::new(&job.model, console)?.drafting(&job.generate);
    let question = Question::new(&args.prompt, job, &engine)?;
    if args.each || job.video.is_some() {
        return Batch { args: job, engine: &engine, question, form: Form::Streamed }.run();
    }
    let pictures = Picture::expand(&job.images, &job.reading)?;
    if job.draw_boxes.is_some() && pictures.len() != 1 {
        let message = "--draw-boxes: nothing says which of several images a box is in; use --each";
        return Err(UsageError(message.to_owned()).into());
    }
    let drawing = match &job.draw_boxes {
        Some(target) => drawing_paths(target, &pictures)?.pop(),
        None => None,
    };
    let mut output = Output::new(job.json, false);
    let result = ask_together(job, &engine, &question, &pictures, drawing.as_deref(), &mut output);
    output.end()?;
    let shown = Shown::of(pictures.iter().map(|picture| picture.name.as_str()));
    let (name, prompt) = (engine.name(), &question.prompt);
    match result {
        Ok((reply, decode_image)) => {
            output.record(&Record::of_reply(shown, name, prompt, decode_image, &reply))?;
            reply.tell_times(console);
            let cancelled = reply.answer.finish_reason == FinishReason::Cancelled;
            Ok(if cancelled { Exit::Interrupted } else { Exit::Done })
        }
        Err(error) => {
            if Exit::of_error(&error) == Exit::Failed {
                output.record(&Record::of_error(shown, name, prompt, told(&error)))?;
            }
            Err(error)
        }
    }
}

/// Asks, and prints the text while it comes. Gives the time of decoding the images too.
fn ask_together(
    args: &JobArgs,
    engine: &Engine<'_>,
    question: &Question<'_>,
    pictures: &[Picture],
    drawing: Option<&Path>,
    output: &mut Output,
) -> anyhow::Result<(Reply, Duration)> {
    let (images, decode_image) = open_all(pictures, &args.reading.options())?;
    let reply = question.ask(engine.model()?, &images, &mut |piece| {
        engine.console.detail_piece(&piece.reasoning);
        output.piece(&piece.text)
    })?;
    if let (Some(drawing), [image]) = (drawing, images.as_slice()) {
        draw_boxes(image, &reply.boxes, drawing)?;
    }
    Ok((reply, decode_image))
}

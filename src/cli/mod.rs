//! What the commands share: options, images, the model, answers, output.

mod answer;
mod args;
mod batch;
mod boxes;
mod console;
mod engine;
mod exit;
mod inputs;
mod interrupt;
mod output;
mod progress;
mod record;
mod remote;
mod tools;

pub(crate) use answer::{CUT, Collector, Question, Reply};
pub(crate) use args::{
    ConversationArgs, DraftArg, EngineArgs, GenerateArgs, ImageArgs, JobArgs, ModelArgs, file_form,
};
pub(crate) use batch::{Batch, Form};
pub(crate) use boxes::{PixelBox, draw_boxes, drawing_paths};
pub(crate) use console::{Console, ConsoleArgs, told};
pub(crate) use engine::Engine;
pub(crate) use exit::{Exit, UsageError};
pub(crate) use inputs::{Picture, open_all};
pub(crate) use interrupt::leave_at_once;
pub(crate) use output::{Output, print_json, print_line};
pub(crate) use progress::{bar, byte_bar, download_progress};
pub(crate) use record::{Record, Shown};
pub(crate) use tools::{ToolBox, ToolRun};

use crate::commands::Command;
use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  glm4v describe photo.png
  glm4v ask chart.png -p \"Which year was best?\"
  glm4v ocr --json pages/*.png > pages.jsonl
  glm4v describe --model zai-org/GLM-4.1V-9B-Thinking photo.png

`glm4v help COMMAND` shows the options and examples of a command.

Exit codes: 0 all done, 1 the job failed, 2 wrong usage, 3 some inputs of a batch failed,
130 interrupted. Standard output carries the answer alone; the rest goes to standard error.";

/// Looks at images and answers: the GLM-V family of vision-language models in one program
#[derive(Debug, Parser)]
#[command(name = "glm4v", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) console: ConsoleArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

//! `glm4v models`: which models there are, where they are, and what is in them.

mod inspect;
mod list;
mod quantize;

use crate::cli::{Console, Exit, download_progress, print_line};
use anyhow::bail;
use clap::Subcommand;
use glm4v::{HubOptions, NANO};
use glm4v_weights::{ModelSource, cached, pull};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  glm4v models list
  glm4v models pull glm-4.1v
  glm4v models inspect zai-org/GLM-4.1V-9B-Thinking
  glm4v models quantize glm-ocr glm-ocr-q8_0.gguf --quant q8_0
  glm4v describe --model \"$(glm4v models path glm-4.1v)\" photo.png

Models from the hub are kept in the ordinary Hugging Face cache. HF_HOME, HF_HUB_CACHE,
HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured.";

/// List, fetch and inspect models
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    List(list::Args),
    /// Fetch a model from the hub into the cache, or go on with a download that broke off, and
    /// print its folder
    Pull(ModelName),
    /// Print the folder of a model; nothing is fetched
    Path(ModelName),
    Inspect(inspect::Args),
    Quantize(quantize::Args),
}

#[derive(Debug, clap::Args)]
struct ModelName {
    /// A hub id (owner/name, owner/name@revision), a short name or a folder
    model: String,
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    match &args.command {
        ModelsCommand::List(args) => list::run(args),
        ModelsCommand::Pull(name) => print_path(&fetch(&name.model, console)?),
        ModelsCommand::Path(name) => print_path(&locate(&name.model)?),
        ModelsCommand::Inspect(args) => inspect::run(args, console),
        ModelsCommand::Quantize(args) => quantize::run(args, console),
    }
}

fn fetch(model: &str, console: Console) -> anyhow::Result<PathBuf> {
    match source(model)? {
        ModelSource::Hub { id, revision } => {
            let options = HubOptions::from_env()?;
            Ok(pull(&id, revision.as_deref(), &options, &mut download_progress(console))?)
        }
        ModelSource::Folder(path) | ModelSource::Gguf(path) => {
            bail!("{}: a path; only models of the hub are fetched", path.display())
        }
    }
}

/// The folder or file of a model that is there.
fn locate(model: &str) -> anyhow::Result<PathBuf> {
    match source(model)? {
        ModelSource::Hub { id, revision } => {
            match cached(&id, revision.as_deref(), &HubOptions::from_env()?) {
                Some(path) => Ok(path),
                None => bail!("{id}: not in the cache; `glm4v models pull {model}` fetches it"),
            }
        }
        ModelSource::Folder(path) | ModelSource::Gguf(path) if path.exists() => Ok(path),
        ModelSource::Folder(path) | ModelSource::Gguf(path) => {
            bail!("{}: no such folder or file", path.display())
        }
    }
}

fn source(model: &str) -> anyhow::Result<ModelSource> {
    if model == NANO {
        bail!("{NANO} is inside the program; it has no folder and needs no download");
    }
    Ok(ModelSource::parse(model)?)
}

fn print_path(path: &Path) -> anyhow::Result<Exit> {
    print_line(&path.display().to_string())?;
    Ok(Exit::Done)
}

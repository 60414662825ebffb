//! `glm4v man`: manual pages.

use crate::cli::{Cli, Exit};
use anyhow::Context;
use clap::CommandFactory;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  glm4v man ~/.local/share/man/man1 && man glm4v-describe";

/// Write manual pages into a folder, one a command
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder, which is made when it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let unwritable = || format!("{}: cannot be written to", args.folder.display());
    std::fs::create_dir_all(&args.folder).with_context(unwritable)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).with_context(unwritable)?;
    Ok(Exit::Done)
}

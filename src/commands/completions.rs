//! `glm4v completions`: what a shell completes.

use crate::cli::{Cli, Exit};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;

const EXAMPLES: &str = "\
Examples:
  glm4v completions bash > ~/.local/share/bash-completion/completions/glm4v
  glm4v completions fish > ~/.config/fish/completions/glm4v.fish";

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "glm4v", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Exit::Done)
}

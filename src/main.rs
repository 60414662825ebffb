//! The `glm4v` program: a thin shell over the library.

mod cli;
mod commands;

use clap::Parser;
use cli::{Cli, Exit, told};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = cli.console.console();
    let exit = commands::run(&cli.command, console).unwrap_or_else(|error| {
        let exit = Exit::of_error(&error);
        if exit.is_worth_telling() {
            console.error(&told(&error));
        }
        exit
    });
    exit.into()
}

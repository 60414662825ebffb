//! Standard error: notes, errors and how much of them.

use std::io::{IsTerminal, Write};

/// How much is told on standard error.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct ConsoleArgs {
    /// Tell more on standard error: the model, its times and its thoughts
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Tell nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

impl ConsoleArgs {
    pub(crate) fn console(self) -> Console {
        Console { args: self }
    }
}

/// Writes to standard error. That it can't be written to is nobody's concern.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    args: ConsoleArgs,
}

impl Console {
    /// What went wrong.
    pub(crate) fn error(self, message: &str) {
        let _ = writeln!(std::io::stderr(), "error: {message}");
    }

    /// What the user should know.
    pub(crate) fn note(self, message: &str) {
        if !self.args.quiet {
            let _ = writeln!(std::io::stderr(), "note: {message}");
        }
    }

    /// What only curious users want to know.
    pub(crate) fn detail(self, message: &str) {
        if self.args.verbose {
            let _ = writeln!(std::io::stderr(), "{message}");
        }
    }

    /// A piece of a text that grows, for curious users.
    pub(crate) fn detail_piece(self, text: &str) {
        if self.args.verbose {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    /// A line for a person at a terminal, such as a prompt.
    pub(crate) fn prompt(self, text: &str) {
        if self.has_terminal() {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    /// A question that waits for an answer, shown in any case.
    pub(crate) fn ask(self, text: &str) {
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Whether bars and prompts have someone to look at them.
    pub(crate) fn has_terminal(self) -> bool {
        !self.args.quiet && std::io::stderr().is_terminal()
    }
}
/// An error and what caused it, in a line; causes that repeat what was said already are left out.
pub(crate) fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| match cause.to_string() {
        cause if told.is_empty() => cause,
        cause if told.contains(&cause) => told,
        cause => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = anyhow::anyhow!("bad byte").context("decoding: bad byte").context("a.png");
        assert_eq!(told(&error), "a.png: decoding: bad byte");
    }
}

//! Standard output: streamed text, or one JSON object a line.

use super::Record;
use serde::Serialize;
use std::io::Write;

/// Writes the answers of a command.
pub(crate) struct Output {
    json: bool,
    headers: bool,
    answers: usize,
    /// Whether the last byte written ended a line.
    at_line_start: bool,
}

impl Output {
    /// Text, or with `json` records. `headers` puts a line `==> NAME <==` above each text.
    pub(crate) fn new(json: bool, headers: bool) -> Self {
        Self { json, headers, answers: 0, at_line_start: true }
    }

    /// Begins the text of an image.
    pub(crate) fn begin(&mut self, name: &str) -> std::io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.answers += 1;
        if !self.headers {
            return Ok(());
        }
        let space = if self.answers > 1 { "\n" } else { "" };
        self.write(&format!("{space}==> {name} <==\n"))
    }

    /// Writes a piece of a text at once.
    pub(crate) fn piece(&mut self, text: &str) -> std::io::Result<()> {
        if self.json || text.is_empty() { Ok(()) } else { self.write(text) }
    }

    /// Ends the line of a text.
    pub(crate) fn end(&mut self) -> std::io::Result<()> {
        if self.json || self.at_line_start { Ok(()) } else { self.write("\n") }
    }

    /// Writes a record, where records are wanted.
    pub(crate) fn record(&mut self, record: &Record<'_>) -> std::io::Result<()> {
        if self.json { print_json(record) } else { Ok(()) }
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.at_line_start = text.ends_with('\n');
        let mut output = std::io::stdout().lock();
        output.write_all(text.as_bytes())?;
        output.flush()
    }
}

/// Writes a line of text.
pub(crate) fn print_line(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// Writes one JSON object as a line, whole.
pub(crate) fn print_json(value: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut output = std::io::stdout().lock();
    output.write_all(&line)?;
    output.flush()
}

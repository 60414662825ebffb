//! A JSON file as a stream of its rows: one row at a time is in memory, however long the list is.

use super::{Rows, buffered};
use crate::DatasetError;
use crate::dataset::DataFile;
use crate::row::Row;
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

const EXPECTED: &str = "a JSON list of rows, or an object of them";

/// Opens the list or object of rows that the file is, or that its field `rows` holds.
pub(super) fn open(file: &DataFile, rows: Option<&str>) -> Result<Rows, DatasetError> {
    let path = file.path.clone();
    let mut scanner = Scanner { input: buffered(file)? };
    let begun = begin(&mut scanner, rows);
    let end = begun.map_err(|reason| wrong_form(&path, &reason.to_string()))?;
    Ok(Box::new(JsonRows { path, scanner, end, number: 0, finished: false }))
}

/// Reads up to the first row; gives the byte that ends the rows.
fn begin(scanner: &mut Scanner, rows: Option<&str>) -> io::Result<u8> {
    if let Some(wanted) = rows {
        scanner.expect(b'{')?;
        while scanner.key()? != wanted {
            scanner.value()?;
            if scanner.next_of(b'}')?.is_none() {
                return Err(invalid(format!("there is no field `{wanted}`")));
            }
        }
    }
    match scanner.peek()? {
        b'[' => scanner.expect(b'[').map(|()| b']'),
        b'{' => scanner.expect(b'{').map(|()| b'}'),
        other => Err(invalid(format!("it begins with `{}`", char::from(other)))),
    }
}

struct JsonRows {
    path: PathBuf,
    scanner: Scanner,
    end: u8,
    number: usize,
    finished: bool,
}

impl JsonRows {
    fn read(&mut self) -> io::Result<Option<Row>> {
        let first = self.number == 0;
        if first && self.scanner.peek()? == self.end {
            return Ok(None);
        }
        if !first && self.scanner.next_of(self.end)?.is_none() {
            return Ok(None);
        }
        self.number += 1;
        let key = if self.end == b'}' { Some(self.scanner.key()?) } else { None };
        let values: Value = serde_json::from_slice(&self.scanner.value()?)?;
        Ok(Some(Row { key, ..Row::of_values(self.number, values) }))
    }
}

impl Iterator for JsonRows {
    type Item = Result<Row, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        match self.read() {
            Ok(Some(row)) => Some(Ok(row)),
            Ok(None) => None,
            Err(error) => {
                // What follows a broken row can't be told from it.
                self.finished = true;
                let reason = format!("row {}: {error}", self.number.max(1));
                Some(Err(wrong_form(&self.path, &reason)))
            }
        }
    }
}

/// Cuts a JSON text into values without keeping what is behind it.
struct Scanner {
    input: BufReader<File>,
}

impl Scanner {
    /// The next byte that is no white space; it stays in the input.
    fn peek(&mut self) -> io::Result<u8> {
        loop {
            let Some(&byte) = self.input.fill_buf()?.first() else {
                return Err(invalid("it ends in the middle".to_owned()));
            };
            // A byte-order mark stands before the text of some files.
            if !byte.is_ascii_whitespace() && !matches!(byte, 0xEF | 0xBB | 0xBF) {
                return Ok(byte);
            }
            self.input.consume(1);
        }
    }

    fn expect(&mut self, wanted: u8) -> io::Result<()> {
        let found = self.peek()?;
        if found != wanted {
            let (found, wanted) = (char::from(found), char::from(wanted));
            return Err(invalid(format!("`{found}` stands where `{wanted}` should")));
        }
        self.input.consume(1);
        Ok(())
    }

    /// Passes a comma; `None` when `end` stands there, which is passed too.
    fn next_of(&mut self, end: u8) -> io::Result<Option<()>> {
        let more = self.peek()? != end;
        self.expect(if more { b',' } else { end })?;
        Ok(more.then_some(()))
    }

    /// A field's name, and the colon behind it.
    fn key(&mut self) -> io::Result<String> {
        let key = serde_json::from_slice(&self.value()?)?;
        self.expect(b':')?;
        Ok(key)
    }

    /// The bytes of the next value. Whether they are good JSON is for the parser to say.
    fn value(&mut self) -> io::Result<Vec<u8>> {
        self.peek()?;
        let mut value = Vec::new();
        let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
        loop {
            let Some(&byte) = self.input.fill_buf()?.first() else {
                return Err(invalid("it ends in the middle".to_owned()));
            };
            if in_text {
                in_text = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            } else {
                match byte {
                    b'"' => in_text = true,
                    b'[' | b'{' => depth += 1,
                    b']' | b'}' | b',' | b':' if depth == 0 => return Ok(value),
                    b']' | b'}' => depth -= 1,
                    _ => {}
                }
            }
            value.push(byte);
            self.input.consume(1);
            let closed = matches!(byte, b'"' | b']' | b'}') && !in_text;
            if closed && depth == 0 {
                return Ok(value);
            }
        }
    }
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn wrong_form(path: &std::path::Path, reason: &str) -> DatasetError {
    DatasetError::WrongForm { file: path.to_owned(), expected: EXPECTED, reason: reason.to_owned() }
}

//! JSON as Python's `json.dumps` writes it.

use std::io::{self, Write};

use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// The arguments of `json.dumps` that change its output.
#[derive(Debug, Clone, Default)]
pub(crate) struct JsonStyle {
    /// Write characters beyond ASCII as `\u` escapes.
    pub(crate) ascii: bool,
    /// Put each item on a line of its own, indented by this per level.
    pub(crate) indent: Option<String>,
    /// What stands between items, and between a key and its value.
    pub(crate) separators: Option<(String, String)>,
}

impl JsonStyle {
    /// `value` as JSON.
    pub(crate) fn write(&self, value: &Value) -> String {
        let (between_items, after_key) = match (&self.separators, &self.indent) {
            (Some((items, keys)), _) => (items.as_str(), keys.as_str()),
            (None, Some(_)) => (",", ": "),
            (None, None) => (", ", ": "),
        };
        let formatter = PythonFormatter {
            ascii: self.ascii,
            indent: self.indent.as_deref(),
            between_items,
            after_key,
            level: 0,
            empty: true,
        };
        let mut bytes = Vec::new();
        // Writing a JSON value to memory cannot fail.
        let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

struct PythonFormatter<'a> {
    ascii: bool,
    indent: Option<&'a str>,
    between_items: &'a str,
    after_key: &'a str,
    level: usize,
    /// Whether the list or map that was opened last has no item yet.
    empty: bool,
}

impl PythonFormatter<'_> {
    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.level += 1;
        self.empty = true;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.level -= 1;
        if !self.empty {
            self.new_line(writer)?;
        }
        self.empty = false;
        writer.write_all(bracket)
    }

    fn item<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(self.between_items.as_bytes())?;
        }
        self.empty = false;
        self.new_line(writer)
    }

    fn new_line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        let Some(indent) = self.indent else { return Ok(()) };
        writer.write_all(b"\n")?;
        (0..self.level).try_for_each(|_| writer.write_all(indent.as_bytes()))
    }
}

impl Formatter for PythonFormatter<'_> {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.item(w, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        self.item(w, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.after_key.as_bytes())
    }

    /// The shortest digits that give the number back, as `float.__repr__` places them.
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        match exponent.parse::<i32>() {
            Ok(exponent) if !(-4..16).contains(&exponent) => {
                write!(writer, "{digits}e{exponent:+03}")
            }
            _ => write!(writer, "{value:?}"),
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        if !self.ascii {
            return w.write_all(text.as_bytes());
        }
        for character in text.chars() {
            match character {
                ' '..='~' => write!(w, "{character}")?,
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(w, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

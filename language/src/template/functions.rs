//! What templates can call beside Jinja's own functions.

use chrono::Local;
use chrono::format::{Item, StrftimeItems};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::JsonStyle;

/// `raise_exception(message)`: the template refuses its input.
pub(super) fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// `strftime_now(format)`: the local date and time.
pub(super) fn strftime_now(format: &str) -> Result<String, Error> {
    let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
    if items.contains(&Item::Error) {
        let message = format!("`{format}` is not a date format");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(Local::now().format_with_items(items.into_iter()).to_string())
}

/// Jinja2's `is sequence`: whatever has a length and items, so texts and maps too.
pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
}

/// `tojson(ensure_ascii=false, indent=none, separators=none, sort_keys=false)`, which Hugging Face
/// defines as Python's `json.dumps`; Jinja's own would escape for HTML.
pub(super) fn tojson(state: &State, value: &Value, options: Kwargs) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "tojson of an undefined value"));
    }
    let unusable = |error: serde_json::Error| {
        Error::new(ErrorKind::BadSerialization, "the value is not JSON").with_source(error)
    };
    let mut json = serde_json::to_value(value).map_err(unusable)?;
    if options.get::<Option<bool>>("sort_keys")?.unwrap_or(false) {
        json.sort_all_objects();
    }
    let style = JsonStyle {
        ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        indent: indent(options.get("indent")?)?,
        separators: options.get::<Option<Vec<String>>>("separators")?.map(pair).transpose()?,
    };
    options.assert_all_used()?;
    let text = style.write(&json);
    state.consume_fuel(text.len() as u64 / 16)?;
    Ok(text.into())
}

/// As `json.dumps`, a number of spaces or the text to indent with.
fn indent(value: Option<Value>) -> Result<Option<String>, Error> {
    const WIDEST: usize = 64;
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
    if let Some(text) = value.as_str() {
        return Ok(Some(text.to_owned()));
    }
    match usize::try_from(value)? {
        width @ 0..=WIDEST => Ok(Some(" ".repeat(width))),
        width => Err(Error::new(ErrorKind::InvalidOperation, format!("indent of {width} spaces"))),
    }
}

fn pair(separators: Vec<String>) -> Result<(String, String), Error> {
    <[String; 2]>::try_from(separators).map(Into::into).map_err(|_| {
        Error::new(ErrorKind::InvalidOperation, "separators must be one for items, one for keys")
    })
}

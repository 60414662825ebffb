//! A row of a file, before it becomes a sample.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// The cells of a row.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// Its number in the file, from 1.
    pub(crate) number: usize,
    /// The key under which an object of rows holds it.
    pub(crate) key: Option<String>,
    /// Every cell but binary ones.
    pub(crate) values: Value,
    /// Binary cells by their dotted path.
    pub(crate) blobs: HashMap<String, Vec<u8>>,
}

impl Row {
    /// A row without binary cells.
    pub(crate) fn of_values(number: usize, values: Value) -> Self {
        Self { number, values, ..Self::default() }
    }

    /// A row of named texts.
    pub(crate) fn of_texts<'a>(
        number: usize,
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let values: Map<String, Value> =
            texts.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
        Self::of_values(number, Value::Object(values))
    }

    /// The cell at a dotted path, or the whole row for `.`; a null or missing one is `None`.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        if path == "." {
            return Some(&self.values);
        }
        if let Some(value) = self.values.get(path) {
            return Some(value).filter(|value| !value.is_null());
        }
        let mut value = &self.values;
        for part in path.split('.') {
            value = match value {
                Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
                _ => value.get(part)?,
            };
        }
        Some(value).filter(|value| !value.is_null())
    }
}

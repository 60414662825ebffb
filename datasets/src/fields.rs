//! From a row's fields to a sample.

use crate::dataset::DataFile;
use crate::literal::list_items;
use crate::row::Row;
use crate::{DatasetError, Fields, ImageSource, Layout, ReferencesForm, Sample};
use serde_json::{Map, Value};

/// The sample that a row holds; `number` counts rows from 0.
pub(crate) fn sample(
    file: &DataFile,
    layout: &Layout,
    mut row: Row,
    number: usize,
    with_images: bool,
) -> Result<Sample, DatasetError> {
    let images = if with_images { images(file, &mut row)? } else { Vec::new() };
    let reader = FieldReader { file, fields: &file.fields, row: &row };
    let options = reader.options()?;
    Ok(Sample {
        id: reader.id(number)?,
        question: reader.question()?,
        references: reader.references(&options)?,
        metadata: metadata(file, layout, &row),
        options,
        images,
    })
}

struct FieldReader<'a> {
    file: &'a DataFile,
    fields: &'a Fields,
    row: &'a Row,
}

impl FieldReader<'_> {
    fn id(&self, number: usize) -> Result<String, DatasetError> {
        let own = match (&self.fields.id, &self.row.key) {
            (Some(field), _) => self.text(field)?,
            (None, Some(key)) => key.clone(),
            (None, None) => number.to_string(),
        };
        Ok(match &self.file.label {
            Some(label) => format!("{label}-{own}"),
            None => own,
        })
    }

    fn question(&self) -> Result<String, DatasetError> {
        self.fields.question.as_ref().map_or(Ok(String::new()), |field| self.text(field))
    }

    fn references(&self, options: &[String]) -> Result<Vec<String>, DatasetError> {
        let Some(field) = &self.fields.references else { return Ok(Vec::new()) };
        let value = self.required(field)?;
        let plain = || texts(value).ok_or_else(|| self.bad(field, "is no text or list of texts"));
        match self.fields.references_form {
            ReferencesForm::Plain => plain(),
            ReferencesForm::Literal => {
                let literal = value.as_str().and_then(list_items).filter(|items| !items.is_empty());
                literal.map_or_else(plain, Ok)
            }
            ReferencesForm::Json => Ok(vec![self.json(field, value)?]),
            ReferencesForm::Solution => {
                let text = self.text(field)?;
                let (_, answer) = text.rsplit_once("####").unwrap_or(("", &text));
                Ok(vec![answer.trim().replace(',', "")])
            }
            ReferencesForm::Index => {
                let number = text(value).and_then(|text| text.trim().parse::<usize>().ok());
                let number = number.filter(|number| *number < options.len().max(1));
                let letter = number.and_then(letter);
                let wrong = || self.bad(field, "is no number of an option");
                letter.map(|letter| vec![letter]).ok_or_else(wrong)
            }
        }
    }

    /// An object as text, or the part of it that counts.
    fn json(&self, field: &str, value: &Value) -> Result<String, DatasetError> {
        let wrong = || self.bad(field, "is no JSON with the part that counts");
        let parsed: Value = match value {
            Value::String(text) => serde_json::from_str(text).map_err(|_| wrong())?,
            other => other.clone(),
        };
        match &self.fields.references_inside {
            Some(part) => parsed.get(part).map(Value::to_string).ok_or_else(wrong),
            None => Ok(parsed.to_string()),
        }
    }

    fn options(&self) -> Result<Vec<String>, DatasetError> {
        let mut options = Vec::new();
        for field in &self.fields.options {
            if let Some(value) = self.row.get(field) {
                let found = value.as_str().filter(|_| self.fields.options.len() == 1);
                let found = found.and_then(list_items).or_else(|| texts(value));
                let wrong = || self.bad(field, "is no text or list of texts");
                options.extend(found.ok_or_else(wrong)?);
            }
        }
        Ok(options)
    }

    fn text(&self, field: &str) -> Result<String, DatasetError> {
        text(self.required(field)?).ok_or_else(|| self.bad(field, "is no text or number"))
    }

    fn required(&self, field: &str) -> Result<&Value, DatasetError> {
        self.row.get(field).ok_or_else(|| self.bad(field, "is missing"))
    }

    fn bad(&self, field: &str, reason: &str) -> DatasetError {
        bad(self.file, self.row, field, reason.to_owned())
    }
}

/// `A` for 0, `B` for 1 and so on.
fn letter(number: usize) -> Option<String> {
    let letter = u8::try_from(number).ok().filter(|&n| n < 26)?;
    Some(char::from(b'A' + letter).to_string())
}

/// A text, or a number or truth value as JSON and Python write it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(if *value { "True" } else { "False" }.to_owned()),
        _ => None,
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        other => text(other).map(|text| vec![text]),
    }
}

fn metadata(file: &DataFile, layout: &Layout, row: &Row) -> Map<String, Value> {
    let mut metadata = file.set.clone();
    if let Some(label) = &file.label {
        metadata.insert("split".to_owned(), label.as_str().into());
    }
    for (name, field) in &file.keep {
        let Some(value) = row.get(field) else { continue };
        let renamed = layout.rename.get(name).and_then(|names| names.get(&text(value)?));
        let value = renamed.map_or_else(|| value.clone(), |name| name.as_str().into());
        metadata.insert(name.clone(), value);
    }
    metadata
}

fn images(file: &DataFile, row: &mut Row) -> Result<Vec<ImageSource>, DatasetError> {
    let fields = &file.fields;
    let mut images = Vec::new();
    for field in &fields.images {
        images.extend(images_of_field(file, fields, row, field)?);
    }
    match fields.images.first() {
        Some(field) if images.is_empty() => Err(bad(file, row, field, "holds no image".to_owned())),
        _ => Ok(images),
    }
}

fn images_of_field(
    file: &DataFile,
    fields: &Fields,
    row: &mut Row,
    field: &str,
) -> Result<Vec<ImageSource>, DatasetError> {
    if let Some(bytes) = blob(row, field) {
        return Ok(vec![ImageSource::Bytes(bytes)]);
    }
    let mut images = Vec::new();
    while let Some(bytes) = blob(row, &format!("{field}.{}", images.len())) {
        images.push(ImageSource::Bytes(bytes));
    }
    if !images.is_empty() {
        return Ok(images);
    }
    let Some(value) = row.get(field) else { return Ok(images) };
    let names = match value {
        Value::Object(parts) => parts.get("path").and_then(texts),
        other => texts(other),
    };
    for name in names.unwrap_or_default() {
        // A name from the data must not lead out of the dataset's folder.
        let name = format!("{name}{}", fields.image_suffix);
        let path = file.images.join(&name);
        if std::path::Path::new(&name).is_absolute() || name.split('/').any(|part| part == "..") {
            return Err(bad(file, row, field, format!("leads out of the folder: {name}")));
        }
        if !path.is_file() {
            let reason = format!("names {}, which does not exist", path.display());
            return Err(bad(file, row, field, reason));
        }
        images.push(ImageSource::Path(path));
    }
    Ok(images)
}

/// The bytes at a path, or at `bytes` below it, where Hugging Face's image columns have them.
fn blob(row: &mut Row, path: &str) -> Option<Vec<u8>> {
    let blob = row.blobs.remove(path).or_else(|| row.blobs.remove(&format!("{path}.bytes")));
    blob.filter(|bytes| !bytes.is_empty())
}

fn bad(file: &DataFile, row: &Row, field: &str, reason: String) -> DatasetError {
    DatasetError::BadRow {
        file: file.path.clone(),
        row: row.number,
        field: field.to_owned(),
        reason,
    }
}

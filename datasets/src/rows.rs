//! The rows of a file, one after the other.

mod json;
mod parquet;
mod separated;

use crate::dataset::DataFile;
use crate::row::Row;
use crate::{DatasetError, Format, Layout};
use std::fs::File;
use std::io::{BufRead, BufReader};

/// Rows as they are read.
pub(crate) type Rows = Box<dyn Iterator<Item = Result<Row, DatasetError>> + Send>;

/// Opens a file of rows. Without `images`, binary cells may be left out.
pub(crate) fn open(file: &DataFile, layout: &Layout, images: bool) -> Result<Rows, DatasetError> {
    match layout.format {
        Format::Json => json::open(file, file.fields.rows.as_deref()),
        Format::Jsonl => lines(file),
        Format::Csv => separated::open(file, b',', None),
        Format::Tsv => {
            let images = if images { file.fields.images.clone() } else { Vec::new() };
            separated::open(file, b'\t', Some(images))
        }
        Format::Parquet => parquet::open(file, &file.fields.images, images),
        Format::Sroie | Format::Funsd | Format::Words | Format::Ai2d => {
            crate::folders::open(file, layout.format)
        }
    }
}

/// JSON lines; empty ones are passed over.
fn lines(file: &DataFile) -> Result<Rows, DatasetError> {
    let path = file.path.clone();
    let lines = buffered(file)?.lines().enumerate();
    let rows = lines.map(move |(index, line)| {
        let line =
            line.map_err(|source| DatasetError::UnreadableFile { file: path.clone(), source })?;
        if line.trim().is_empty() {
            return Ok(None);
        }
        let values = serde_json::from_str(&line).map_err(|error| DatasetError::BadRow {
            file: path.clone(),
            row: index + 1,
            field: "line".to_owned(),
            reason: format!("is no JSON: {error}"),
        })?;
        Ok(Some(Row::of_values(index + 1, values)))
    });
    Ok(Box::new(rows.filter_map(Result::transpose)))
}

pub(crate) fn buffered(file: &DataFile) -> Result<BufReader<File>, DatasetError> {
    let opened = File::open(&file.path);
    opened
        .map(BufReader::new)
        .map_err(|source| DatasetError::UnreadableFile { file: file.path.clone(), source })
}

//! Comma- and tab-separated values with a header.

use super::Rows;
use crate::DatasetError;
use crate::dataset::DataFile;
use crate::row::Row;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use csv::{Position, Reader, ReaderBuilder, StringRecord};
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

/// VLMEvalKit's rule: a shorter cell is no image but the index of a row that has one.
const SHORTEST_IMAGE: usize = 64;

/// Opens a file. `images` are the columns whose cells are images in base64; with `None` the cells
/// are taken as they are.
pub(super) fn open(
    file: &DataFile,
    delimiter: u8,
    images: Option<Vec<String>>,
) -> Result<Rows, DatasetError> {
    let path = file.path.clone();
    let mut reader = reader(&path, delimiter)?;
    let header = reader.headers().map_err(|error| wrong_form(&path, &error))?.clone();
    let images = images.unwrap_or_default();
    Ok(Box::new(Table { path, delimiter, reader, header, images, shared: None, number: 0 }))
}

fn reader(path: &PathBuf, delimiter: u8) -> Result<Reader<File>, DatasetError> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).flexible(true);
    builder.from_path(path).map_err(|error| wrong_form(path, &error))
}

struct Table {
    path: PathBuf,
    delimiter: u8,
    reader: Reader<File>,
    header: StringRecord,
    images: Vec<String>,
    shared: Option<SharedImages>,
    number: usize,
}

/// Where the rows with images of their own are, for those that point at them.
struct SharedImages {
    reader: Reader<File>,
    positions: HashMap<String, Position>,
}

impl Table {
    fn row(&mut self, record: &StringRecord) -> Result<Row, DatasetError> {
        if record.len() != self.header.len() {
            let (found, expected) = (record.len(), self.header.len());
            let reason = format!("has {found} cells and the header {expected}");
            return Err(self.bad("line", reason));
        }
        let cells = self.header.iter().zip(record.iter());
        let plain =
            cells.filter(|(name, cell)| !cell.is_empty() && !self.images.iter().any(|i| i == name));
        let mut row = Row::of_texts(self.number, plain);
        for name in self.images.clone() {
            let Some(cell) = self.cell(record, &name).filter(|cell| !cell.is_empty()) else {
                continue;
            };
            let cell = match cell.len() < SHORTEST_IMAGE {
                true => self.shared_image(cell, &name)?,
                false => cell.to_owned(),
            };
            match crate::literal::list_items(&cell) {
                Some(items) => {
                    for (at, item) in items.iter().enumerate() {
                        row.blobs.insert(format!("{name}.{at}"), self.decode(item, &name)?);
                    }
                }
                None => drop(row.blobs.insert(name.clone(), self.decode(&cell, &name)?)),
            }
        }
        Ok(row)
    }

    fn cell<'a>(&self, record: &'a StringRecord, name: &str) -> Option<&'a str> {
        record.get(self.header.iter().position(|column| column == name)?)
    }

    fn decode(&self, cell: &str, column: &str) -> Result<Vec<u8>, DatasetError> {
        let decoded = STANDARD.decode(cell.trim());
        decoded.map_err(|error| self.bad(column, format!("is no image in base64: {error}")))
    }

    /// The image of the row with this index.
    fn shared_image(&mut self, index: &str, column: &str) -> Result<String, DatasetError> {
        if self.shared.is_none() {
            self.shared = Some(self.find_images(column)?);
        }
        let error = |error| wrong_form(&self.path, &error);
        let mut record = StringRecord::new();
        let found = match &mut self.shared {
            Some(SharedImages { reader, positions }) => match positions.get(index) {
                Some(position) => {
                    reader.seek(position.clone()).map_err(error)?;
                    reader.read_record(&mut record).map_err(error)?
                }
                None => false,
            },
            None => false,
        };
        match self.cell(&record, column) {
            Some(cell) if found => Ok(cell.to_owned()),
            _ => Err(self.bad(column, format!("names row `{index}`, which has no image"))),
        }
    }

    /// Goes through the file once for the rows that hold an image.
    fn find_images(&self, column: &str) -> Result<SharedImages, DatasetError> {
        let error = |error| wrong_form(&self.path, &error);
        let mut reader = reader(&self.path, self.delimiter)?;
        reader.headers().map_err(error)?;
        let mut positions = HashMap::new();
        let mut record = StringRecord::new();
        loop {
            let position = reader.position().clone();
            if !reader.read_record(&mut record).map_err(error)? {
                return Ok(SharedImages { reader, positions });
            }
            let image = self.cell(&record, column).unwrap_or_default();
            if let Some(index) = self.cell(&record, "index")
                && image.len() >= SHORTEST_IMAGE
            {
                positions.insert(index.to_owned(), position);
            }
        }
    }

    fn bad(&self, field: &str, reason: String) -> DatasetError {
        let (file, field) = (self.path.clone(), field.to_owned());
        DatasetError::BadRow { file, row: self.number, field, reason }
    }
}

impl Iterator for Table {
    type Item = Result<Row, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = StringRecord::new();
        self.number += 1;
        match self.reader.read_record(&mut record) {
            Ok(true) => Some(self.row(&record)),
            Ok(false) => None,
            Err(error) => Some(Err(self.bad("line", format!("cannot be read: {error}")))),
        }
    }
}

fn wrong_form(path: &std::path::Path, error: &csv::Error) -> DatasetError {
    DatasetError::WrongForm {
        file: path.to_owned(),
        expected: "a table with a header",
        reason: error.to_string(),
    }
}

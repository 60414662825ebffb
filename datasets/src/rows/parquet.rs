//! Parquet shards as Hugging Face's hub has them. A few rows of one row group are in memory at a
//! time.

use super::Rows;
use crate::DatasetError;
use crate::dataset::DataFile;
use crate::row::Row as DatasetRow;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::record::{Field, Row};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows that are decoded at once: images are large.
const BATCH: usize = 16;

/// Opens a shard; without `with_images`, the columns of images are not read.
pub(super) fn open(
    file: &DataFile,
    images: &[String],
    with_images: bool,
) -> Result<Rows, DatasetError> {
    let path = file.path.clone();
    let opened = File::open(&path)
        .map_err(|source| DatasetError::UnreadableFile { file: path.clone(), source })?;
    let reader = SerializedFileReader::new(opened).map_err(|error| wrong_form(&path, &error))?;
    let schema = reader.metadata().file_metadata().schema();
    let schema = if with_images { schema.clone() } else { without(schema, images) };
    let descriptor = Arc::new(SchemaDescriptor::new(TypePtr::new(schema)));
    Ok(Box::new(Shard { path, reader, descriptor, group: 0, rows: None, number: 0 }))
}

/// The schema without the top-level columns in which `images` are.
fn without(schema: &Type, images: &[String]) -> Type {
    let is_image = |name: &str| images.iter().any(|path| path.split('.').next() == Some(name));
    let kept = schema.get_fields().iter().filter(|field| !is_image(field.name())).cloned();
    let kept: Vec<TypePtr> = kept.collect();
    if kept.is_empty() {
        return schema.clone();
    }
    let built = Type::group_type_builder(schema.name()).with_fields(kept).build();
    built.unwrap_or_else(|_| schema.clone())
}

struct Shard {
    path: PathBuf,
    reader: SerializedFileReader<File>,
    descriptor: Arc<SchemaDescriptor>,
    /// The row group to be opened next.
    group: usize,
    rows: Option<ReaderIter>,
    number: usize,
}

impl Shard {
    fn read(&mut self) -> Result<Option<Row>, ParquetError> {
        loop {
            if let Some(row) = self.rows.as_mut().and_then(Iterator::next) {
                return row.map(Some);
            }
            if self.group == self.reader.num_row_groups() {
                return Ok(None);
            }
            let group = self.reader.get_row_group(self.group)?;
            let builder = TreeBuilder::new().with_batch_size(BATCH);
            self.rows = Some(builder.as_iter(self.descriptor.clone(), &*group)?);
            self.group += 1;
        }
    }
}

impl Iterator for Shard {
    type Item = Result<DatasetRow, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = match self.read() {
            Ok(row) => row?,
            Err(error) => {
                // A page that can't be read takes those behind it along.
                self.group = self.reader.num_row_groups();
                self.rows = None;
                return Some(Err(wrong_form(&self.path, &error)));
            }
        };
        self.number += 1;
        let mut blobs = HashMap::new();
        let cells = row.into_columns().into_iter();
        let values: Map<String, Value> =
            cells.map(|(name, field)| (name.clone(), value(field, &name, &mut blobs))).collect();
        let values = Value::Object(values);
        Some(Ok(DatasetRow { number: self.number, key: None, values, blobs }))
    }
}

/// A cell as JSON; bytes go to `blobs` under their path.
fn value(field: Field, path: &str, blobs: &mut HashMap<String, Vec<u8>>) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => value.into(),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) => value.into(),
        Field::Long(value) => value.into(),
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value.into(),
        Field::Float(value) => Number::from_f64(value.into()).map_or(Value::Null, Value::Number),
        Field::Double(value) => Number::from_f64(value).map_or(Value::Null, Value::Number),
        Field::Str(text) => text.into(),
        Field::Bytes(bytes) => {
            blobs.insert(path.to_owned(), bytes.data().to_vec());
            Value::Null
        }
        Field::Group(row) => {
            let cells = row.into_columns().into_iter();
            let cells = cells.map(|(name, field)| {
                let cell = value(field, &format!("{path}.{name}"), blobs);
                (name, cell)
            });
            Value::Object(cells.collect())
        }
        Field::ListInternal(list) => {
            let items = list.elements().iter().cloned().enumerate();
            items.map(|(at, item)| value(item, &format!("{path}.{at}"), blobs)).collect()
        }
        // Rarer kinds, such as dates, as the crate prints them.
        other => other.to_string().into(),
    }
}

fn wrong_form(path: &Path, error: &ParquetError) -> DatasetError {
    DatasetError::WrongForm {
        file: path.to_owned(),
        expected: "a Parquet file",
        reason: error.to_string(),
    }
}

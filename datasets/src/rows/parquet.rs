//! Hugging Face's Parquet shards: cells as JSON, bytes beside them. Shards and their row groups are
//! read side by side, each some rows ahead of whoever takes them, so that memory does not grow with
//! the shard.

use super::Rows;
use crate::DatasetError;
use crate::dataset::DataFile;
use crate::row::Row as DatasetRow;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::TreeBuilder;
use parquet::record::{Field, Row};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use serde_json::{Map, Number, Value};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Rows that are decoded at once: images are large.
const BATCH: usize = 16;

/// Row groups that are read at the same time.
const GROUPS_AT_ONCE: usize = 3;
/// Rows that a row group may be ahead.
const ROWS_AHEAD: usize = 16;

/// Opens a shard; without `with_images`, the columns of images are not read.
pub(super) fn open(
    file: &DataFile,
    images: &[String],
    with_images: bool,
) -> Result<Rows, DatasetError> {
    let path = file.path.clone();
    let reader = reader(&path)?;
    let metadata = reader.metadata();
    let schema = metadata.file_metadata().schema();
    let schema = if with_images { schema.clone() } else { without(schema, images) };
    let descriptor = Arc::new(SchemaDescriptor::new(TypePtr::new(schema)));
    let mut first = 1;
    let groups = metadata.row_groups().iter().enumerate().map(|(group, found)| {
        let number = first;
        first += found.num_rows() as usize;
        Group { path: path.clone(), descriptor: descriptor.clone(), group, number }
    });
    let groups = groups.collect::<Vec<_>>().into_iter();
    let mut shard = Shard { groups, running: VecDeque::new() };
    // It reads ahead from now on, while another shard may still be read.
    shard.fill();
    Ok(Box::new(shard))
}

fn reader(path: &Path) -> Result<SerializedFileReader<File>, DatasetError> {
    let opened = File::open(path)
        .map_err(|source| DatasetError::UnreadableFile { file: path.to_owned(), source })?;
    SerializedFileReader::new(opened).map_err(|error| wrong_form(path, &error))
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

type RowResult = Result<DatasetRow, DatasetError>;

/// The rows of a shard in order; those of the next row groups are being read meanwhile.
struct Shard {
    groups: std::vec::IntoIter<Group>,
    running: VecDeque<Receiver<RowResult>>,
}

impl Shard {
    /// Begins with as many row groups as are read at the same time.
    fn fill(&mut self) {
        while self.running.len() < GROUPS_AT_ONCE
            && let Some(group) = self.groups.next()
        {
            let (sender, receiver) = sync_channel(ROWS_AHEAD);
            // It ends when the group does, or when nobody takes its rows any more.
            std::thread::spawn(move || group.send(&sender));
            self.running.push_back(receiver);
        }
    }
}

impl Iterator for Shard {
    type Item = RowResult;

    fn next(&mut self) -> Option<RowResult> {
        loop {
            self.fill();
            match self.running.front()?.recv() {
                Ok(row) => return Some(row),
                Err(_) => drop(self.running.pop_front()),
            }
        }
    }
}

/// A row group to be read.
struct Group {
    path: PathBuf,
    descriptor: Arc<SchemaDescriptor>,
    /// Its place in the file.
    group: usize,
    /// The number of its first row, from 1.
    number: usize,
}

impl Group {
    /// Sends the rows. A page that can't be read takes those behind it in the group along.
    fn send(self, rows: &SyncSender<RowResult>) {
        let ended = self.read(rows).map_err(|error| wrong_form(&self.path, &error));
        if let Err(error) = ended {
            let _ = rows.send(Err(error));
        }
    }

    fn read(&self, rows: &SyncSender<RowResult>) -> Result<(), ParquetError> {
        let reader = SerializedFileReader::new(File::open(&self.path)?)?;
        let group = reader.get_row_group(self.group)?;
        let builder = TreeBuilder::new().with_batch_size(BATCH);
        let found = builder.as_iter(self.descriptor.clone(), &*group)?;
        for (at, row) in found.enumerate() {
            if rows.send(Ok(dataset_row(row?, self.number + at))).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn dataset_row(row: Row, number: usize) -> DatasetRow {
    let mut blobs = HashMap::new();
    let cells = row.into_columns().into_iter();
    let values: Map<String, Value> =
        cells.map(|(name, field)| (name.clone(), value(field, &name, &mut blobs))).collect();
    DatasetRow { number, key: None, values: Value::Object(values), blobs }
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

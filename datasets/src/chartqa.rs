//! ChartQA (Masry et al. 2022) as published: `test_human.json`, `test_augmented.json`, `png/`.

use crate::{DatasetError, ImageSource, Sample};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The two halves of the test set, which are scored apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartQaSplit {
    /// Questions that people wrote.
    Human,
    /// Questions that were made from summaries.
    Augmented,
}

impl ChartQaSplit {
    /// The split's name in file names and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Augmented => "augmented",
        }
    }
}

/// The samples of one split, in the file's order.
#[derive(Debug)]
pub struct ChartQa {
    file: PathBuf,
    images: PathBuf,
    split: ChartQaSplit,
    rows: std::iter::Enumerate<std::vec::IntoIter<Value>>,
}

impl ChartQa {
    /// Opens a split in `folder`, or in `folder/test` where the whole dataset lies above it.
    ///
    /// # Errors
    /// When the split's file can't be read or is no JSON list.
    pub fn open(folder: impl AsRef<Path>, split: ChartQaSplit) -> Result<Self, DatasetError> {
        let name = format!("test_{}.json", split.name());
        let outer = folder.as_ref();
        let folder = if outer.join("test").join(&name).is_file() {
            outer.join("test")
        } else {
            outer.to_owned()
        };
        let file = folder.join(name);
        let text = std::fs::read(&file)
            .map_err(|source| DatasetError::UnreadableFile { file: file.clone(), source })?;
        let rows: Vec<Value> =
            serde_json::from_slice(&text).map_err(|source| DatasetError::WrongForm {
                file: file.clone(),
                expected: "a JSON list of ChartQA rows",
                source,
            })?;
        Ok(Self { file, images: folder.join("png"), split, rows: rows.into_iter().enumerate() })
    }

    fn sample(&self, index: usize, row: &Value) -> Result<Sample, DatasetError> {
        let bad = |field, reason: String| DatasetError::BadRow {
            file: self.file.clone(),
            row: index + 1,
            field,
            reason,
        };
        let text = |field| match row.get(field) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(other) => Err(bad(field, format!("is {other}, not a text"))),
            None => Err(bad(field, "is missing".into())),
        };
        let image = self.images.join(text("imgname")?);
        if !image.is_file() {
            return Err(bad("imgname", format!("names {}, which does not exist", image.display())));
        }
        let mut metadata = Map::new();
        metadata.insert("split".into(), self.split.name().into());
        Ok(Sample {
            id: format!("{}-{index}", self.split.name()),
            images: vec![ImageSource::Path(image)],
            question: text("query")?.to_owned(),
            references: vec![text("label")?.to_owned()],
            metadata,
        })
    }
}

impl Iterator for ChartQa {
    type Item = Result<Sample, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (index, row) = self.rows.next()?;
        Some(self.sample(index, &row))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

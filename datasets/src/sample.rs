//! One item of a dataset.

use crate::DatasetError;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::PathBuf;

/// A question about some images, with the answers that count as right.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Unique in its dataset, and the same each time it is read.
    pub id: String,
    /// The images, in the order in which the question refers to them; none when they were not
    /// asked for.
    pub images: Vec<ImageSource>,
    /// The question as the dataset has it, without any prompt around it.
    pub question: String,
    /// The answers to choose from, where the question has them.
    pub options: Vec<String>,
    /// Right answers; metrics say whether one or all count.
    pub references: Vec<String>,
    /// What else the dataset says, such as the split or the question's type.
    pub metadata: Map<String, Value>,
}

/// Where an image's bytes are.
#[derive(Clone, Debug, PartialEq)]
pub enum ImageSource {
    /// A file on disk.
    Path(PathBuf),
    /// The encoded file itself, from inside a dataset file.
    Bytes(Vec<u8>),
}

impl ImageSource {
    /// The encoded image.
    ///
    /// # Errors
    /// [`DatasetError::UnreadableFile`] when its file can't be read.
    pub fn read(&self) -> Result<Cow<'_, [u8]>, DatasetError> {
        match self {
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::Path(file) => std::fs::read(file)
                .map(Cow::Owned)
                .map_err(|source| DatasetError::UnreadableFile { file: file.clone(), source }),
        }
    }
}

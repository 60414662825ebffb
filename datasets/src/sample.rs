//! One item of a dataset.

use serde::Serialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// A question about some images, with the answers that count as right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Unique in its dataset, and the same each time it is read.
    pub id: String,
    /// The images, in the order in which the question refers to them.
    pub images: Vec<ImageSource>,
    /// The question as the dataset has it, without any prompt around it.
    pub question: String,
    /// Right answers; metrics say whether one or all count.
    pub references: Vec<String>,
    /// What else the dataset says, such as the split or the question's type.
    pub metadata: Map<String, Value>,
}

/// Where an image's bytes are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// A file on disk.
    Path(PathBuf),
    /// The encoded file itself, from inside a dataset file.
    #[serde(skip)]
    Bytes(Vec<u8>),
}

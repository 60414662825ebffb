//! How a dataset lies on disk, as a task file declares it.

use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One way in which a dataset is published.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// What reports call it.
    pub name: String,
    /// The form of its files.
    pub format: Format,
    /// The files, in the order in which they are read.
    pub files: Vec<FilePattern>,
    /// Where the parts of a sample are in a row.
    #[serde(default)]
    pub fields: Fields,
    /// Metadata of a sample: its name, and the field that it comes from.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// Values of metadata to be called otherwise: name, then value, then what it becomes.
    #[serde(default)]
    pub rename: BTreeMap<String, BTreeMap<String, String>>,
}

/// The form of a dataset's files.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A list of rows, or an object of them by id.
    Json,
    /// A row a line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
    /// VLMEvalKit's: tab-separated values with a header, images in base64. A cell that holds
    /// another row's index stands for that row's image.
    Tsv,
    /// Hugging Face's Parquet shards, images as bytes or paths.
    Parquet,
    /// ICDAR 2019 SROIE: `key/ID.json`, `box/ID.csv`, `img/ID.jpg`. `files` name the keys.
    Sroie,
    /// FUNSD: `annotations/ID.json` and `images/ID.png`. `files` name the annotations.
    Funsd,
    /// AI2D as its authors publish it: `questions/NAME.png.json`, each with several questions on
    /// `images/NAME.png`. `files` name the questions, `images` the folder above. Where that folder
    /// has `ai2d_test_ids.csv`, only the images that it lists are read. Questions on letters in
    /// place of the image's words (`abcLabel`) want the image with the letters, in `abc_images`.
    Ai2d,
    /// A folder of word images with lines of `image, word` (IIIT5K, ICDAR 2013 and 2015).
    Words,
}

/// Files of one part of a dataset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilePattern {
    /// Paths or glob patterns in the dataset's folder; the first that matches any file counts.
    pub paths: Vec<String>,
    /// What the part is called: the samples' `split`, and the start of their ids.
    pub label: Option<String>,
    /// The folder of the images, seen from the file's folder.
    #[serde(default)]
    pub images: String,
    /// Metadata that all samples of these files have.
    #[serde(default)]
    pub set: Map<String, Value>,
    /// Where the parts of a sample are, where these files are read otherwise than the layout says:
    /// a row that holds several questions is read once for each.
    pub fields: Option<Fields>,
    /// Metadata besides the layout's.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
}

/// Where the parts of a sample are in a row: names of fields, with dots to reach inside
/// (`image.bytes`, `answers.0`); `.` alone is the whole row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// The sample's id; by default the row's number, after the label.
    pub id: Option<String>,
    /// Fields that hold images; one that is empty is passed over if another is not.
    #[serde(default)]
    pub images: Vec<String>,
    /// What is appended to an image's name to get its file's.
    #[serde(default)]
    pub image_suffix: String,
    /// The question; without one it is empty, and the prompt says it all.
    pub question: Option<String>,
    /// The right answers: a text, a number or a list of them.
    pub references: Option<String>,
    /// How the references are written.
    #[serde(default)]
    pub references_form: ReferencesForm,
    /// With [`ReferencesForm::Json`], the part of the object that counts.
    pub references_inside: Option<String>,
    /// The answers to choose from: one field with a list, or a field each.
    #[serde(default)]
    pub options: Vec<String>,
    /// In a JSON file, the field that holds the rows.
    pub rows: Option<String>,
}

/// How references are written in their field.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ReferencesForm {
    /// As they are; a list is several.
    #[default]
    Plain,
    /// As a Python literal where it is a list of texts, such as `['12', '12 %']`.
    Literal,
    /// The field as JSON, for metrics that take objects.
    Json,
    /// A number, from 0, that says which option is right; becomes the option's letter.
    Index,
    /// A worked solution, of which only what stands behind the last `####` counts, without commas,
    /// as in GSM8K.
    Solution,
}

//! What can go wrong between a dataset's files and its samples.

use std::path::PathBuf;

/// Why a dataset, or one row of it, could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file of the dataset could not be read.
    #[error("{file}: cannot be read; check that the folder is the whole dataset")]
    UnreadableFile {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not of the form that its layout promises.
    #[error("{file}: not {expected}: {reason}")]
    WrongForm {
        /// The file.
        file: PathBuf,
        /// The form it should have.
        expected: &'static str,
        /// Where and how it departs from it.
        reason: String,
    },
    /// A row lacks a field, or has a wrong one.
    #[error("{file}: row {row}: `{field}` {reason}")]
    BadRow {
        /// The file.
        file: PathBuf,
        /// The row, from 1.
        row: usize,
        /// The field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No file of any layout of the dataset is there.
    #[error("{folder}: no files of this dataset; expected one of: {expected}")]
    NoFiles {
        /// Where they were looked for.
        folder: PathBuf,
        /// The paths and patterns of each layout.
        expected: String,
    },
}

impl DatasetError {
    /// Whether other rows of the dataset can still be read.
    pub fn is_one_row(&self) -> bool {
        matches!(self, Self::BadRow { .. })
    }
}

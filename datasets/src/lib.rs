//! Evaluation datasets as a stream of samples: images, question, references, metadata.
//!
//! A [`Layout`] declares how a dataset lies on disk; [`Dataset::find`] takes the first of several
//! that fits a folder, and [`Dataset::samples`] reads it row by row, so that memory does not grow
//! with the dataset. A bad row is an error item that names file, row and field; the rows after it
//! still come. [`wanted_files`] says which files of a repository such a folder needs.

mod dataset;
mod error;
mod fields;
mod folders;
mod layout;
mod literal;
mod row;
mod rows;
mod sample;
mod wanted;

pub use dataset::{Dataset, Samples};
pub use error::DatasetError;
pub use layout::{Fields, FilePattern, Format, Layout, ReferencesForm};
pub use sample::{ImageSource, Sample};
pub use wanted::wanted_files;

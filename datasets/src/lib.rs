//! Evaluation datasets as a stream of samples: images, question, references, metadata.
//!
//! A reader is an iterator. A bad row is an error item that names file, row and field; the rows
//! after it still come.

mod chartqa;
mod error;
mod sample;

pub use chartqa::{ChartQa, ChartQaSplit};
pub use error::DatasetError;
pub use sample::{ImageSource, Sample};

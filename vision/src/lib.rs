//! Image files to visual tokens: decoding, preprocessing that matches the reference, towers and projectors.

mod error;
mod grid;

pub use error::VisionError;
pub use grid::Grid;

//! Image files to visual tokens: decoding, preprocessing that matches the reference, towers and projectors.

mod error;

pub use error::VisionError;

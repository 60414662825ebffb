//! Upright RGB to what a tower reads: resized, normalised, and cut into patches.

mod config;
mod fixed_square;
mod normalize;
mod patchify;
mod smart;

pub use config::{PixelLimits, PreprocessorConfig};
pub use fixed_square::FixedSquarePreprocessor;
pub use smart::{Patches, SmartResizePreprocessor};

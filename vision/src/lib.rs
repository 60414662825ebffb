//! Image files to visual tokens: decoding, preprocessing that matches the reference, towers and projectors.

mod error;
mod grid;
mod image;
mod padded_resize;
mod preprocess;
mod resize;
mod smart_resize;
mod tower;
mod video_file;
mod video_sampling;

pub use self::image::{AlphaMode, Image, ImageOptions};
pub use error::VisionError;
pub use grid::Grid;
pub use padded_resize::{Canvas, CanvasRule, padded_resize};
pub use preprocess::{
    FixedSquarePreprocessor, Patches, PixelLimits, PreprocessorConfig, SmartResizePreprocessor,
};
pub use resize::{Resampler, resize};
pub use smart_resize::{SizeRule, smart_resize};
pub use tower::{
    EvaClipConfig, EvaClipTower, Glm4vTower, Glm4vVisionConfig, TowerFlavour, sample_position_grid,
};
pub use video_file::VideoFile;
pub use video_sampling::{FrameSampler, VideoMetadata, timestamps};

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

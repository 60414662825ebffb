//! Upright RGB to what a tower reads: resized, normalised, and cut into patches.

mod config;
mod fixed_square;
mod normalize;
mod patchify;
mod smart;

pub use config::{PixelLimits, PreprocessorConfig};
pub use fixed_square::FixedSquarePreprocessor;
pub use smart::{Patches, SmartResizePreprocessor};

use crate::{Image, VisionError};
use ndarray::Array3;

/// How a family prepares its images.
#[derive(Clone, Debug)]
pub enum Preprocessor {
    /// Near the original size and aspect ratio, as flat patches: `glm4v` and its kin.
    SmartResize(SmartResizePreprocessor),
    /// One fixed square: GLM-4V-9B.
    FixedSquare(FixedSquarePreprocessor),
}

/// What a [`Preprocessor`] makes of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Flat patches and their grid.
    Patches(Patches),
    /// `(3, side, side)`, normalised.
    Square(Array3<f32>),
}

impl Preprocessor {
    /// Prepares one still image.
    ///
    /// # Errors
    /// [`VisionError::TooElongated`] or [`VisionError::OffGrid`] for shapes that the model cannot
    /// take; a fixed square takes any shape.
    pub fn image(&self, image: &Image) -> Result<Pixels, VisionError> {
        match self {
            Preprocessor::SmartResize(smart) => smart.image(image).map(Pixels::Patches),
            Preprocessor::FixedSquare(square) => Ok(Pixels::Square(square.image(image))),
        }
    }
}

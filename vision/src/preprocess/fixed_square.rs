//! The preprocessing of GLM-4V-9B (2024): one fixed square.

use super::normalize::{CLIP_MEAN, CLIP_STD, LevelTables, level_tables};
use crate::image::CHANNELS;
use crate::{Image, Resampler, VisionError, resize};
use ndarray::Array3;

/// The longest side taken from a config; the published model has 1120.
const MAX_SIDE: usize = 1 << 14;

/// Resizes to a square whatever the aspect ratio (Pillow's bicubic), scales to 0…1 and normalises
/// with constants, as the reference does in `tokenization_chatglm.py`.
#[derive(Clone, Debug)]
pub struct FixedSquarePreprocessor {
    side: usize,
    tables: LevelTables,
}

impl FixedSquarePreprocessor {
    /// `side` is `vision_config.image_size` in pixels.
    ///
    /// # Errors
    /// [`VisionError::BadPreprocessorConfig`] when the side is zero or beyond belief.
    pub fn new(side: usize) -> Result<Self, VisionError> {
        if side == 0 || side > MAX_SIDE {
            let reason = format!("is {side}; it must be 1 to {MAX_SIDE}");
            return Err(VisionError::BadPreprocessorConfig { field: "image_size", reason });
        }
        let tables =
            level_tables(|channel, level| (level / 255.0 - CLIP_MEAN[channel]) / CLIP_STD[channel]);
        Ok(Self { side, tables })
    }

    /// Side of the square, in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// The image as `(3, side, side)`, normalised.
    pub fn image(&self, image: &Image) -> Array3<f32> {
        let resized = resize(image.pixels(), self.side, self.side, Resampler::Pillow);
        Array3::from_shape_fn((CHANNELS, self.side, self.side), |(channel, y, x)| {
            self.tables[channel][usize::from(resized[(y, x, channel)])]
        })
    }
}

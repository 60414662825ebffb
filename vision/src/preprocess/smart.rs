//! The preprocessing of GLM-4.1V and later: near the original size, in patches.

use super::config::{PixelLimits, PreprocessorConfig};
use super::normalize::{LevelTables, level_tables};
use super::patchify::{PatchShape, patchify};
use crate::{
    Canvas, CanvasRule, Grid, Image, Resampler, SizeRule, VisionError, padded_resize, resize,
    smart_resize,
};
use ndarray::{Array2, Array3, ArrayView3, s};

/// What a `glm4v` tower reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// Normalised values `(patches, channels * frames * side * side)`, squares of `merge_size`
    /// patches lying together.
    pub pixels: Array2<f32>,
    /// How the patches lie in the image.
    pub grid: Grid,
}

/// The most of a video: the default of `Glm5NextVideoProcessor`.
const VIDEO_CANVAS_TOKENS: u64 = 240_000;

/// How an image comes to a size that patches cover.
#[derive(Clone, Copy, Debug)]
enum Fit {
    /// [`smart_resize`].
    Stretch(SizeRule),
    /// [`padded_resize`].
    Pad(CanvasRule),
}

/// Resizes, normalises and cuts into patches.
#[derive(Clone, Debug)]
pub struct SmartResizePreprocessor {
    fit: Fit,
    do_resize: bool,
    resampler: Resampler,
    tables: LevelTables,
    shape: PatchShape,
}

impl SmartResizePreprocessor {
    /// The most visual tokens of an image of GLM-5.3-Flash: the default of `Glm5NextImageProcessor`.
    pub const CANVAS_TOKENS: u64 = 8000;

    /// For stills, from `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`VisionError::BadPreprocessorConfig`] for numbers that no image can be prepared with.
    pub fn for_images(config: &PreprocessorConfig) -> Result<Self, VisionError> {
        Self::new(config, Fit::Stretch(config.size_rule(PixelLimits::IMAGE)?))
    }

    /// For stills of GLM-5.3-Flash, which are not stretched but laid on a canvas.
    ///
    /// # Errors
    /// As [`SmartResizePreprocessor::for_images`].
    pub fn for_padded_images(config: &PreprocessorConfig) -> Result<Self, VisionError> {
        Self::new(config, Fit::Pad(config.canvas_rule(Self::CANVAS_TOKENS)?))
    }

    /// For videos of GLM-5.3-Flash, as [`SmartResizePreprocessor::for_padded_images`].
    ///
    /// # Errors
    /// As [`SmartResizePreprocessor::for_images`].
    pub fn for_padded_videos(config: &PreprocessorConfig) -> Result<Self, VisionError> {
        Self::new(config, Fit::Pad(config.canvas_rule(VIDEO_CANVAS_TOKENS)?))
    }

    /// For videos, from `video_preprocessor_config.json`, whose default limits are larger.
    ///
    /// # Errors
    /// As [`SmartResizePreprocessor::for_images`].
    pub fn for_videos(config: &PreprocessorConfig) -> Result<Self, VisionError> {
        Self::new(config, Fit::Stretch(config.size_rule(PixelLimits::VIDEO)?))
    }

    fn new(config: &PreprocessorConfig, fit: Fit) -> Result<Self, VisionError> {
        Ok(Self {
            fit,
            do_resize: config.do_resize,
            resampler: Resampler::Torchvision,
            tables: level_tables(|channel, level| config.normalized(channel, level)),
            shape: PatchShape {
                side: config.patch_size as usize,
                frames: config.temporal_patch_size as usize,
                merge: config.merge_size as usize,
            },
        })
    }

    /// The same with another resampler; [`Resampler::Torchvision`] is the reference's default.
    #[must_use]
    pub fn with_resampler(self, resampler: Resampler) -> Self {
        Self { resampler, ..self }
    }

    /// Prepares a still, which counts as one temporal patch of equal frames.
    ///
    /// # Errors
    /// [`VisionError::TooElongated`] when one side is more than 200 times the other, and
    /// [`VisionError::OffGrid`] when the config forbids resizing and the image needs it.
    pub fn image(&self, image: &Image) -> Result<Patches, VisionError> {
        self.resized_patches(std::slice::from_ref(image), self.shape.frames)
    }

    /// Prepares the chosen frames of one video, in order. A last, incomplete temporal patch is
    /// filled by repeating the last frame.
    ///
    /// # Errors
    /// As [`SmartResizePreprocessor::image`]; also [`VisionError::TooFewFrames`] for fewer frames
    /// than a temporal patch has, [`VisionError::UnequalFrames`] when sizes differ, and
    /// [`VisionError::TooManyFrames`] for more than may have a visual token each.
    pub fn frames(&self, frames: &[Image]) -> Result<Patches, VisionError> {
        let needed = self.shape.frames;
        let Some(first) = frames.first().filter(|_| frames.len() >= needed) else {
            return Err(VisionError::TooFewFrames { found: frames.len(), needed });
        };
        let expected = first.size();
        if let Some(frame) = frames.iter().position(|frame| frame.size() != expected) {
            let found = frames[frame].size();
            return Err(VisionError::UnequalFrames { frame, expected, found });
        }
        self.resized_patches(frames, frames.len())
    }

    /// `counted` is the number of frames that the pixel limits apply to.
    fn resized_patches(&self, frames: &[Image], counted: usize) -> Result<Patches, VisionError> {
        let (width, height) = frames.first().map_or((0, 0), Image::size);
        let canvas = self.canvas(counted, width, height)?;
        let resized: Vec<_> =
            frames.iter().map(|frame| lay(frame.pixels(), &canvas, self.resampler)).collect();
        let (pixels, grid) = patchify(&resized, &self.tables, self.shape);
        Ok(Patches { pixels, grid })
    }

    /// The size that is cut into patches, and how much of it the image has.
    fn canvas(&self, frames: usize, width: u32, height: u32) -> Result<Canvas, VisionError> {
        let block = match &self.fit {
            Fit::Stretch(rule) => rule.factor,
            Fit::Pad(rule) => rule.factor,
        };
        let size = match &self.fit {
            Fit::Pad(rule) if self.do_resize => return padded_resize(frames, height, width, rule),
            Fit::Stretch(rule) if self.do_resize => smart_resize(frames, height, width, rule)?,
            _ if height.is_multiple_of(block) && width.is_multiple_of(block) => (height, width),
            _ => return Err(VisionError::OffGrid { width, height, block }),
        };
        Ok(Canvas { size, content: size })
    }
}

/// Resizes pixels `(height, width, 3)` to the canvas's content, with black to the right and below.
fn lay(pixels: ArrayView3<'_, u8>, canvas: &Canvas, resampler: Resampler) -> Array3<u8> {
    let (height, width) = (canvas.content.0 as usize, canvas.content.1 as usize);
    let content = resize(pixels, height, width, resampler);
    if canvas.size == canvas.content {
        return content;
    }
    let size = (canvas.size.0 as usize, canvas.size.1 as usize, content.dim().2);
    let mut laid = Array3::zeros(size);
    laid.slice_mut(s![..height, ..width, ..]).assign(&content);
    laid
}

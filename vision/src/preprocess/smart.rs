//! The preprocessing of GLM-4.1V, 4.5V, 4.6V and GLM-OCR: near the original size, in patches.

use super::config::{PixelLimits, PreprocessorConfig};
use super::normalize::{LevelTables, level_tables};
use super::patchify::{PatchShape, patchify};
use crate::{Grid, Image, Resampler, SizeRule, VisionError, resize, smart_resize};
use ndarray::Array2;

/// What a `glm4v` tower reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// Normalised values `(patches, channels * frames * side * side)`, squares of `merge_size`
    /// patches lying together.
    pub pixels: Array2<f32>,
    /// How the patches lie in the image.
    pub grid: Grid,
}

/// Resizes by [`smart_resize`], normalises and cuts into patches.
#[derive(Clone, Debug)]
pub struct SmartResizePreprocessor {
    rule: SizeRule,
    do_resize: bool,
    resampler: Resampler,
    tables: LevelTables,
    shape: PatchShape,
}

impl SmartResizePreprocessor {
    /// For stills, from `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`VisionError::BadPreprocessorConfig`] for numbers that no image can be prepared with.
    pub fn for_images(config: &PreprocessorConfig) -> Result<Self, VisionError> {
        Self::new(config, PixelLimits::IMAGE)
    }

    /// For videos, from `video_preprocessor_config.json`, whose default limits are larger.
    ///
    /// # Errors
    /// As [`SmartResizePreprocessor::for_images`].
    pub fn for_videos(config: &PreprocessorConfig) -> Result<Self, VisionError> {
        Self::new(config, PixelLimits::VIDEO)
    }

    fn new(config: &PreprocessorConfig, default: PixelLimits) -> Result<Self, VisionError> {
        Ok(Self {
            rule: config.size_rule(default)?,
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
    /// than a temporal patch has, and [`VisionError::UnequalFrames`] when sizes differ.
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
        let (height, width) = self.target(counted, width, height)?;
        let resized: Vec<_> = frames
            .iter()
            .map(|frame| resize(frame.pixels(), height, width, self.resampler))
            .collect();
        let (pixels, grid) = patchify(&resized, &self.tables, self.shape);
        Ok(Patches { pixels, grid })
    }

    /// The resized `(height, width)`.
    fn target(
        &self,
        frames: usize,
        width: u32,
        height: u32,
    ) -> Result<(usize, usize), VisionError> {
        let block = self.rule.factor;
        let (height, width) = if self.do_resize {
            smart_resize(frames, height, width, &self.rule)?
        } else if height.is_multiple_of(block) && width.is_multiple_of(block) {
            (height, width)
        } else {
            return Err(VisionError::OffGrid { width, height, block });
        };
        Ok((height as usize, width as usize))
    }
}

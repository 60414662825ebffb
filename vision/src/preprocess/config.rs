//! `preprocessor_config.json` and `video_preprocessor_config.json`.

use super::normalize::{CLIP_MEAN, CLIP_STD};
use crate::image::CHANNELS;
use crate::{CanvasRule, SizeRule, VisionError};
use serde::Deserialize;

/// Pillow's number for bicubic, the only `resample` that the family uses.
const BICUBIC: u32 = 3;

/// The largest block (`patch_size * merge_size`) taken from a file; published ones are 28.
const MAX_BLOCK: u64 = 1024;

/// The largest `size.longest_edge` taken from a file; published ones are near 5e7.
const MAX_LONGEST_EDGE: u64 = 1 << 30;

/// The largest `max_image_tokens` taken from a file; published ones are at most 240,000.
const MAX_TOKENS: u64 = 1 << 20;

/// The numbers of a preprocessor file, under the names that the file gives them.
///
/// Defaults are those of transformers' `Glm4vImageProcessor`; unknown keys are ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct PreprocessorConfig {
    /// Whether to resize at all; without it, images must fit the patch grid as they are.
    pub do_resize: bool,
    /// Filter of the resize, in Pillow's numbering; only 3, bicubic, is known.
    pub resample: u32,
    /// Limits on the pixels of all frames together; see [`PixelLimits`].
    pub size: Option<PixelLimits>,
    /// The smaller limit in files of the first days, used where `size` is missing.
    pub min_pixels: Option<u64>,
    /// The larger limit in files of the first days, used where `size` is missing.
    pub max_pixels: Option<u64>,
    /// Whether to multiply grey levels by `rescale_factor`.
    pub do_rescale: bool,
    /// Usually 1/255.
    pub rescale_factor: f64,
    /// Whether to subtract the mean and divide by the standard deviation.
    pub do_normalize: bool,
    /// Mean of each channel, after rescaling.
    pub image_mean: [f32; CHANNELS],
    /// Standard deviation of each channel, after rescaling.
    pub image_std: [f32; CHANNELS],
    /// Side of a patch in pixels.
    pub patch_size: u32,
    /// Frames that a patch spans.
    pub temporal_patch_size: u32,
    /// Side of the square of patches that becomes one visual token.
    pub merge_size: u32,
    /// Sides are resized to multiples of this many visual tokens; 1 but in GLM-GA.
    pub patch_expand_factor: u32,
    /// The least visual tokens of an image or video, in GLM-5.3-Flash, which has no limits on pixels.
    pub min_image_tokens: u64,
    /// The most visual tokens, there: of an image 8,000 where the file has none, of a video 240,000.
    pub max_image_tokens: Option<u64>,
}

/// Limits on `frames * height * width`. The names are the reference's; they are no edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct PixelLimits {
    /// The least pixels; smaller images are scaled up. 0, which is no limit, where the file has none.
    #[serde(default)]
    pub shortest_edge: u64,
    /// The most pixels; larger images are scaled down. A still counts `temporal_patch_size` times.
    pub longest_edge: u64,
}

impl PixelLimits {
    /// Defaults of `Glm4vImageProcessor`.
    pub const IMAGE: Self = Self { shortest_edge: 112 * 112, longest_edge: 28 * 28 * 15_000 };

    /// Defaults of `Glm4vVideoProcessor`.
    pub const VIDEO: Self = Self { shortest_edge: 112 * 112, longest_edge: 28 * 28 * 2 * 30_000 };
}

impl Default for PreprocessorConfig {
    fn default() -> Self {
        Self {
            do_resize: true,
            resample: BICUBIC,
            size: None,
            min_pixels: None,
            max_pixels: None,
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            do_normalize: true,
            image_mean: CLIP_MEAN,
            image_std: CLIP_STD,
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            patch_expand_factor: 1,
            min_image_tokens: 16,
            max_image_tokens: None,
        }
    }
}

impl PreprocessorConfig {
    /// The rule for resized sizes, with `default` where the file names no limits.
    ///
    /// # Errors
    /// [`VisionError::BadPreprocessorConfig`] for numbers that no image can be prepared with.
    pub(super) fn size_rule(&self, default: PixelLimits) -> Result<SizeRule, VisionError> {
        let size = self.size.unwrap_or(PixelLimits {
            shortest_edge: self.min_pixels.unwrap_or(default.shortest_edge),
            longest_edge: self.max_pixels.unwrap_or(default.longest_edge),
        });
        let (block, frames) = self.block()?;
        let (least, most) = (size.shortest_edge, size.longest_edge);
        check(least > 0 && least <= most && most <= MAX_LONGEST_EDGE, "size", || {
            format!(
                "limits pixels to {least} ..= {most}; shortest_edge must be 1 to longest_edge, \
                 longest_edge at most {MAX_LONGEST_EDGE}"
            )
        })?;
        Ok(SizeRule { factor: block, temporal_factor: frames, min_pixels: least, max_pixels: most })
    }

    /// The rule for canvases of GLM-5.3-Flash, with `default` for the most tokens.
    ///
    /// # Errors
    /// As [`Self::size_rule`].
    pub(super) fn canvas_rule(&self, default: u64) -> Result<CanvasRule, VisionError> {
        let (factor, temporal_factor) = self.block()?;
        let least = self.min_image_tokens;
        let most = self.max_image_tokens.unwrap_or(default);
        check(least > 0 && least <= most && most <= MAX_TOKENS, "max_image_tokens", || {
            format!(
                "limits tokens to {least} ..= {most}; min_image_tokens must be 1 to it, and it at \
                 most {MAX_TOKENS}"
            )
        })?;
        Ok(CanvasRule { factor, temporal_factor, min_tokens: least, max_tokens: most })
    }

    /// The side of a visual token in pixels, and the frames that it spans.
    fn block(&self) -> Result<(u32, u32), VisionError> {
        let block = u64::from(self.patch_size)
            * u64::from(self.merge_size).saturating_mul(self.patch_expand_factor.into());
        check(block > 0 && block <= MAX_BLOCK, "patch_size", || {
            format!(
                "times merge_size and patch_expand_factor is {block}; it must be 1 to {MAX_BLOCK}"
            )
        })?;
        let frames = self.temporal_patch_size;
        check(frames > 0 && u64::from(frames) <= MAX_BLOCK, "temporal_patch_size", || {
            format!("is {frames}; it must be 1 to {MAX_BLOCK}")
        })?;
        check(self.resample == BICUBIC, "resample", || {
            format!("is {}; only {BICUBIC} (bicubic) is supported", self.resample)
        })?;
        Ok((block as u32, frames))
    }

    /// The normalised value of a grey level of a channel. In f32 and in the order of the
    /// reference's fused rescale and normalise, so that the results are equal to the last bit.
    pub(super) fn normalized(&self, channel: usize, level: f32) -> f32 {
        let (mean, std) = (self.image_mean[channel], self.image_std[channel]);
        let unscale = (1.0 / self.rescale_factor) as f32;
        match (self.do_rescale, self.do_normalize) {
            (true, true) => (level - mean * unscale) / (std * unscale),
            (false, true) => (level - mean) / std,
            (true, false) => level * self.rescale_factor as f32,
            (false, false) => level,
        }
    }
}

fn check(
    holds: bool,
    field: &'static str,
    reason: impl FnOnce() -> String,
) -> Result<(), VisionError> {
    if holds { Ok(()) } else { Err(VisionError::BadPreprocessorConfig { field, reason: reason() }) }
}

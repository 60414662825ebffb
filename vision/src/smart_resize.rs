//! The size that an image is resized to before it is cut into patches.

use crate::VisionError;

/// The largest ratio of the longer to the shorter side that the reference takes.
const MAX_ASPECT_RATIO: f64 = 200.0;

/// What bounds the resized size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRule {
    /// Both sides become multiples of this, in pixels: `patch_size * merge_size`.
    pub factor: u32,
    /// Frames in a temporal patch; a still counts as this many frames.
    pub temporal_factor: u32,
    /// Smallest `frames * height * width` (`size.shortest_edge`).
    pub min_pixels: u64,
    /// Largest `frames * height * width` (`size.longest_edge`).
    pub max_pixels: u64,
}

/// The resized `(height, width)` of `frames` frames of `height` by `width` pixels.
///
/// Both sides come out as positive multiples of `factor`, near the original aspect ratio, with the
/// pixels of all frames within the limits as far as multiples allow. Rounds half to even, as
/// Python does. Source: `smart_resize` in transformers' `image_processing_glm4v.py`.
///
/// # Errors
/// [`VisionError::TooElongated`] when one side is more than 200 times the other, and
/// [`VisionError::TooFewFrames`] below `temporal_factor` frames.
pub fn smart_resize(
    frames: usize,
    height: u32,
    width: u32,
    rule: &SizeRule,
) -> Result<(u32, u32), VisionError> {
    let needed = rule.temporal_factor as usize;
    if frames < needed {
        return Err(VisionError::TooFewFrames { found: frames, needed });
    }
    let (factor, temporal) = (f64::from(rule.factor), f64::from(rule.temporal_factor));
    let (min_pixels, max_pixels) = (rule.min_pixels as f64, rule.max_pixels as f64);
    let frames = frames as f64;
    let (mut h, mut w) = (f64::from(height), f64::from(width));
    if h < factor || w < factor {
        let scale = (factor / h).max(factor / w);
        (h, w) = ((h * scale).trunc(), (w * scale).trunc());
    }
    // Written so that a side of zero, whose ratio is no number, is refused as well.
    let ratio = h.max(w) / h.min(w);
    if ratio.is_nan() || ratio > MAX_ASPECT_RATIO {
        return Err(VisionError::TooElongated { width, height });
    }
    let nearest = |x: f64| (x / factor).round_ties_even() * factor;
    let (mut h_bar, mut w_bar) = (nearest(h), nearest(w));
    let pixels = (frames / temporal).round_ties_even() * temporal * h_bar * w_bar;
    if pixels > max_pixels {
        let beta = (frames * h * w / max_pixels).sqrt();
        let shrink = |x: f64| ((x / beta / factor).floor() * factor).max(factor);
        (h_bar, w_bar) = (shrink(h), shrink(w));
    } else if pixels < min_pixels {
        let beta = (min_pixels / (frames * h * w)).sqrt();
        let grow = |x: f64| (x * beta / factor).ceil() * factor;
        (h_bar, w_bar) = (grow(h), grow(w));
    }
    Ok((h_bar as u32, w_bar as u32))
}

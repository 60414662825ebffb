//! The canvas that GLM-5.3-Flash lays an image on before it is cut into patches.

use crate::VisionError;

/// What bounds the canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanvasRule {
    /// Both sides become multiples of this, in pixels: the side of a visual token.
    pub factor: u32,
    /// The frames that a visual token spans, which a still counts for.
    pub temporal_factor: u32,
    /// The least visual tokens of an image, or of all of a video (`min_image_tokens`).
    pub min_tokens: u64,
    /// The most visual tokens (`max_image_tokens`), 1 or more.
    pub max_tokens: u64,
}

/// A canvas, and the image in its upper left corner. What the image does not cover is black.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Height and width of the canvas, multiples of the factor.
    pub size: (u32, u32),
    /// Height and width that the image is resized to.
    pub content: (u32, u32),
}

/// The canvas of `frames` frames of `height` by `width` pixels, all above 0; a still counts
/// [`CanvasRule::temporal_factor`] frames.
///
/// Its sides are the next multiples of the factor. An image of too few tokens is made larger; one of
/// too many gets the largest size at which its canvas has no more. An image that fits is not resized.
///
/// Source: `smart_resize` and `resize` in transformers' `image_processing_glm5_next.py` and
/// `video_processing_glm5_next.py`.
///
/// # Errors
/// [`VisionError::TooManyFrames`] when a token for each would be too many.
pub fn padded_resize(
    frames: usize,
    height: u32,
    width: u32,
    rule: &CanvasRule,
) -> Result<Canvas, VisionError> {
    let (h, w) = (f64::from(height), f64::from(width));
    let step = f64::from(rule.temporal_factor);
    let aligned_frames = ((frames as f64 / step).round_ties_even() * step).max(step);
    let token = step * f64::from(rule.factor).powi(2); // in pixels of all its frames
    let (least, most) = (rule.min_tokens as f64 * token, rule.max_tokens as f64 * token);
    let mut size = (aligned(height, rule), aligned(width, rule));
    if aligned_frames * pixels(size) < least {
        let scale = (least / (frames as f64 * h * w)).sqrt();
        let grown = |side: f64| aligned((side * scale).ceil().max(1.0) as u32, rule);
        size = (grown(h), grown(w));
    }
    if aligned_frames * pixels(size) > most {
        let room = most / aligned_frames;
        if room < f64::from(rule.factor).powi(2) {
            return Err(VisionError::TooManyFrames { frames, tokens: rule.max_tokens });
        }
        size = largest_within(height, width, room, rule);
    }
    let (canvas_h, canvas_w) = (f64::from(size.0), f64::from(size.1));
    let mut scale = (canvas_h / h).min(canvas_w / w);
    if frames as f64 * h * w >= least {
        scale = scale.min(1.0);
    }
    let content = |side: f64, canvas: f64| (side * scale).floor().min(canvas).max(1.0) as u32;
    Ok(Canvas { size, content: (content(h, canvas_h), content(w, canvas_w)) })
}

/// The canvas of the largest height at which it has at most `room` pixels.
fn largest_within(height: u32, width: u32, room: f64, rule: &CanvasRule) -> (u32, u32) {
    let mut best = (rule.factor, rule.factor);
    let (mut low, mut high) = (1, height);
    while low <= high {
        let content = low + (high - low) / 2;
        let beside = f64::from(width) * f64::from(content) / f64::from(height);
        let candidate = (aligned(content, rule), aligned(beside.floor().max(1.0) as u32, rule));
        if pixels(candidate) <= room {
            best = candidate;
            low = content + 1;
        } else {
            high = content - 1;
        }
    }
    best
}

/// The next multiple of the factor.
fn aligned(side: u32, rule: &CanvasRule) -> u32 {
    side.div_ceil(rule.factor).saturating_mul(rule.factor)
}

fn pixels((height, width): (u32, u32)) -> f64 {
    f64::from(height) * f64::from(width)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reference's functions gave.
    #[test]
    fn canvases_are_those_of_the_reference() {
        let cases = [
            ((100, 70), (3, 6), (84, 56), (80, 56)),
            ((17, 23), (3, 6), (56, 84), (56, 75)),
            ((61, 40), (3, 6), (84, 56), (61, 40)),
            ((1, 1), (16, 8000), (112, 112), (112, 112)),
            ((28, 28), (16, 8000), (112, 112), (112, 112)),
            ((1080, 1920), (16, 8000), (1092, 1932), (1080, 1920)),
            ((10000, 50), (16, 8000), (10024, 56), (10000, 50)),
            ((3508, 2480), (16, 8000), (2968, 2100), (2968, 2098)),
            ((8000, 9000), (16, 8000), (2352, 2660), (2352, 2646)),
            ((1, 20000), (16, 100), (28, 28), (1, 28)),
            ((20000, 1), (16, 100), (2800, 28), (2800, 1)),
            ((112, 111), (16, 8000), (112, 112), (112, 111)),
            ((2093, 2938), (16, 8000), (2100, 2940), (2093, 2938)),
            ((4343, 238), (16, 300), (2072, 112), (2043, 112)),
            ((2041, 425), (16, 20), (280, 56), (268, 56)),
            ((928, 3046), (16, 300), (280, 840), (255, 840)),
            ((2020, 3120), (16, 8000), (2016, 3108), (2012, 3108)),
            ((836, 4702), (16, 20), (56, 280), (49, 280)),
            ((108, 1776), (16, 300), (112, 1792), (108, 1776)),
            ((2290, 1492), (16, 300), (588, 392), (588, 383)),
            ((1308, 590), (16, 20), (168, 84), (168, 75)),
            ((3645, 1038), (16, 20), (224, 56), (196, 56)),
            ((15, 44), (16, 20), (28, 56), (19, 56)),
            ((1766, 1359), (16, 20), (140, 112), (140, 107)),
            ((2370, 2570), (16, 20), (112, 140), (112, 121)),
            ((4418, 1678), (16, 20), (168, 84), (168, 63)),
        ];
        for ((height, width), (min_tokens, max_tokens), size, content) in cases {
            let rule = CanvasRule { factor: 28, temporal_factor: 2, min_tokens, max_tokens };
            let canvas = padded_resize(2, height, width, &rule).unwrap();
            assert_eq!(canvas, Canvas { size, content }, "{height} by {width}");
        }
    }
}

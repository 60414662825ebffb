//! Animated GIFs.

use super::unreadable;
use crate::{Image, ImageOptions, VisionError};
use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

/// What browsers show a frame for that says 0 or 10 milliseconds.
const UNSAID_DELAY: Duration = Duration::from_millis(100);
/// Pixels over all frames, in multiples of the limit for one image.
const FRAMES_OF_LIMIT: u64 = 8;

/// All frames, each as it would be seen, and the duration in seconds.
pub(super) fn read(
    path: &Path,
    name: &str,
    options: &ImageOptions,
) -> Result<(Vec<Image>, f64), VisionError> {
    let broken = |error: image::ImageError| unreadable(name, format!("a damaged GIF: {error}"));
    let file = File::open(path)
        .map_err(|source| VisionError::UnreadableImage { image: name.to_owned(), source })?;
    let decoder = GifDecoder::new(BufReader::new(file)).map_err(broken)?;
    let (mut images, mut duration, mut pixels) = (Vec::new(), Duration::ZERO, 0);
    for frame in decoder.into_frames() {
        let frame = frame.map_err(broken)?;
        let delay = Duration::from(frame.delay());
        duration += if delay <= Duration::from_millis(10) { UNSAID_DELAY } else { delay };
        let canvas = frame.into_buffer();
        let (width, height) = canvas.dimensions();
        pixels += u64::from(width) * u64::from(height);
        if pixels > options.max_pixels.saturating_mul(FRAMES_OF_LIMIT) {
            let limit = options.max_pixels;
            return Err(VisionError::TooManyPixels {
                image: name.to_owned(),
                width,
                height,
                limit,
            });
        }
        images.push(Image::from_rgba(width, height, canvas.into_raw(), options.alpha)?);
    }
    if images.is_empty() {
        return Err(unreadable(name, "a GIF without frames".to_owned()));
    }
    Ok((images, duration.as_secs_f64()))
}

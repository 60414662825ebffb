//! WebP files.

use super::ImageOptions;
use super::decode::{Decoded, check_size};
use crate::VisionError;
use image::ColorType;
use image::metadata::Orientation;
use image_webp::{DecodingError, WebPDecoder};
use std::io::{Cursor, ErrorKind};

const FORMAT: &str = "WebP";

/// Decodes a WebP, the first frame of an animation.
pub(super) fn decode(
    name: &str,
    bytes: &[u8],
    options: &ImageOptions,
) -> Result<Decoded, VisionError> {
    // The lossy decoder reads zeros behind a cut, so the length that the header states is checked.
    let stated = bytes.get(4..8).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
    if stated.is_none_or(|size| bytes.len() < size as usize + 8) {
        let image = name.to_owned();
        return Err(VisionError::TruncatedImage { image, format: FORMAT, source: None });
    }
    let broken = |error| describe(name, options, error);
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    decoder.set_memory_limit(bytes.len()); // of metadata, which is stored as it is
    let (width, height) = decoder.dimensions();
    check_size(name, FORMAT, width, height, options)?;
    let exif = decoder.exif_metadata().unwrap_or_default();
    let orientation = exif.and_then(|exif| Orientation::from_exif_chunk(&exif));
    let color = if decoder.has_alpha() { ColorType::Rgba8 } else { ColorType::Rgb8 };
    let mut samples = vec![0; decoder.output_buffer_size().unwrap_or_default()];
    decoder.read_image(&mut samples).map_err(broken)?;
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok(Decoded { width, height, samples, color, orientation })
}

fn describe(name: &str, options: &ImageOptions, error: DecodingError) -> VisionError {
    let image = name.to_owned();
    match error {
        DecodingError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => {
            VisionError::TruncatedImage { image, format: FORMAT, source: Some(io.into()) }
        }
        DecodingError::UnsupportedFeature(reason) => {
            VisionError::UnsupportedImage { image, format: FORMAT, reason }
        }
        DecodingError::MemoryLimitExceeded | DecodingError::ImageTooLarge => {
            VisionError::TooMuchMemory { image, format: FORMAT, limit: options.max_pixels }
        }
        error => VisionError::DamagedImage {
            image,
            format: FORMAT,
            reason: error.to_string(),
            source: Some(error.into()),
        },
    }
}

//! JPEG files.

use super::ImageOptions;
use super::decode::{Decoded, check_size};
use crate::VisionError;
use crate::error::Source;
use image::ColorType;
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

const FORMAT: &str = "JPEG";

/// The longest side that the format can state.
const MAX_SIDE: usize = u16::MAX as usize;

/// Decodes a JPEG strictly: a file that is cut short or whose entropy-coded data breaks off is an
/// error, where lenient decoders fill the rest with grey and say nothing.
///
/// Four-component files are taken as Adobe writes them, inverted, as Pillow takes them.
pub(super) fn decode(
    name: &str,
    bytes: &[u8],
    options: &ImageOptions,
) -> Result<Decoded, VisionError> {
    let complete = has_end_of_image(bytes);
    let broken = |error| describe(name, complete, error);
    let settings = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), settings);
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (width as u32, height as u32);
    check_size(name, FORMAT, width, height, options)?;
    if !complete {
        return Err(truncated(name, None));
    }
    let components = decoder.info().map_or(0, |info| info.components);
    if !matches!(components, 1 | 3 | 4) {
        let reason = format!("{components} colour components");
        return Err(VisionError::UnsupportedImage {
            image: name.to_owned(),
            format: FORMAT,
            reason,
        });
    }
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let samples = decoder.decode().map_err(broken)?;
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok(Decoded { width, height, samples, color: ColorType::Rgb8, orientation })
}

fn truncated(name: &str, source: Option<Source>) -> VisionError {
    VisionError::TruncatedImage { image: name.to_owned(), format: FORMAT, source }
}

fn describe(name: &str, complete: bool, error: DecodeErrors) -> VisionError {
    let image = name.to_owned();
    match error {
        DecodeErrors::Unsupported(scheme) => {
            VisionError::UnsupportedImage { image, format: FORMAT, reason: format!("{scheme:?}") }
        }
        error if !complete => truncated(name, Some(error.into())),
        error => VisionError::DamagedImage {
            image,
            format: FORMAT,
            reason: error.to_string(),
            source: Some(error.into()),
        },
    }
}

/// Whether the first image in the bytes has its end marker. Walks the marker segments, whose
/// contents (thumbnails) may hold end markers of their own. What follows the end is not looked at.
fn has_end_of_image(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut rest = bytes.get(2..).unwrap_or_default(); // behind the start marker
    loop {
        let Some((marker, behind)) = next_marker(rest) else { return false };
        if marker == END {
            return true;
        }
        let length = match behind {
            [high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        };
        rest = behind.get(length..).unwrap_or_default();
    }
}

/// The next marker and what stands behind it. Zero (a stuffed 0xff) and restart markers belong to
/// the entropy-coded data and are passed over.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let mut rest = bytes;
    loop {
        let at = rest.iter().position(|&byte| byte == 0xff)?;
        rest = &rest[at + 1..];
        match rest.first()? {
            0x00 | 0xd0..=0xd7 | 0xff => {}
            &marker => return Some((marker, &rest[1..])),
        }
    }
}

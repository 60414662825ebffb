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

/// Bytes that the decoder may look at before it needs them.
const READ_AHEAD: usize = 16;

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
    let broken = |error| describe(name, error);
    let settings = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), settings);
    decoder.decode_headers().map_err(broken)?;
    let info = decoder.info().unwrap_or_default();
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    check_size(name, FORMAT, width, height, options)?;
    let Some(end) = end_of_image(bytes) else { return Err(truncated(name, None)) };
    if !matches!(info.components, 1 | 3 | 4) {
        let reason = format!("{} colour components", info.components);
        return Err(VisionError::UnsupportedImage {
            image: name.to_owned(),
            format: FORMAT,
            reason,
        });
    }
    let orientation = info.exif_data.and_then(|exif| Orientation::from_exif_chunk(&exif));
    let samples = if info.sof.is_progressive() {
        decoder.decode().map_err(broken)?
    } else {
        // At the end marker the decoder would make up what is missing; at the end of the bytes it
        // complains. It reads ahead, hence the padding.
        let unended = [&bytes[..end], &[0; READ_AHEAD]].concat();
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(unended), settings);
        decoder.decode().map_err(broken)?
    };
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok(Decoded { width, height, samples, color: ColorType::Rgb8, orientation })
}

fn truncated(name: &str, source: Option<Source>) -> VisionError {
    VisionError::TruncatedImage { image: name.to_owned(), format: FORMAT, source }
}

fn describe(name: &str, error: DecodeErrors) -> VisionError {
    let image = name.to_owned();
    let ran_out = match &error {
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => true,
        DecodeErrors::FormatStatic(text) => text.starts_with("Premature end"),
        _ => false,
    };
    match error {
        error if ran_out => truncated(name, Some(error.into())),
        DecodeErrors::Unsupported(scheme) => {
            let reason = format!("{scheme:?}");
            VisionError::UnsupportedImage { image, format: FORMAT, reason }
        }
        error => {
            let reason = error.to_string();
            VisionError::DamagedImage { image, format: FORMAT, reason, source: Some(error.into()) }
        }
    }
}

/// Where the first image's end marker is. Walks the marker segments, whose contents (thumbnails)
/// may hold end markers of their own. What follows the end is not looked at.
fn end_of_image(bytes: &[u8]) -> Option<usize> {
    const END: u8 = 0xd9;
    let mut at = 2; // behind the start marker
    loop {
        let behind = next_marker(bytes, at)?;
        if bytes[behind - 1] == END {
            return Some(behind - 2);
        }
        let length = *bytes.get(behind..)?.first_chunk()?;
        at = behind + usize::from(u16::from_be_bytes(length));
    }
}

/// The place behind the next marker. Zero (a stuffed 0xff) and restart markers belong to the
/// entropy-coded data and are passed over.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)? + 1;
        match bytes.get(at)? {
            0x00 | 0xd0..=0xd7 | 0xff => {}
            _ => return Some(at + 1),
        }
    }
}

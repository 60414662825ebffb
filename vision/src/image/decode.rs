//! Bytes of any format to an upright image.

use super::rgb::to_rgb8;
use super::{Image, ImageOptions, jpeg, sniff, tiff, webp};
use crate::VisionError;
use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::error::Error as StdError;
use std::io::{self, Cursor};

/// The most bytes of decoded samples a pixel may take: 16-bit RGBA.
const MAX_BYTES_PER_PIXEL: u64 = 8;

/// What decoders may allocate beside the samples, in bytes.
const DECODER_OVERHEAD: u64 = 64 << 20;

/// What a format's decoder gives.
pub(super) struct Decoded {
    pub width: u32,
    pub height: u32,
    /// Native-endian samples of `color`, rows from top to bottom as stored.
    pub samples: Vec<u8>,
    pub color: ColorType,
    pub orientation: Orientation,
}

/// Decodes, turns upright and converts to RGB8. `name` is what errors call the image.
pub(super) fn decode(
    name: &str,
    bytes: &[u8],
    options: &ImageOptions,
) -> Result<Image, VisionError> {
    if bytes.len() as u64 > options.max_bytes {
        return Err(VisionError::TooManyBytes { image: name.to_owned(), limit: options.max_bytes });
    }
    let format = sniff::format(name, bytes)?;
    let format_name = sniff::format_name(format);
    let decoded = match format {
        ImageFormat::Jpeg => jpeg::decode(name, bytes, options)?,
        ImageFormat::Tiff => tiff::decode(name, bytes, options)?,
        ImageFormat::WebP => webp::decode(name, bytes, options)?,
        _ => decode_with_image_crate(name, bytes, format, options)?,
    };
    let Decoded { width, height, samples, color, orientation } = decoded;
    let rgb = to_rgb8(samples, color, options.alpha)
        .and_then(|rgb| RgbImage::from_raw(width, height, rgb))
        .ok_or_else(|| VisionError::UnsupportedImage {
            image: name.to_owned(),
            format: format_name,
            reason: format!("{color:?} samples"),
        })?;
    let mut picture = DynamicImage::ImageRgb8(rgb);
    picture.apply_orientation(orientation);
    let upright = Image::from_rgb(picture.width(), picture.height(), picture.into_bytes())?;
    Ok(Image { stored_size: (width, height), ..upright })
}

/// Refuses impossible and too large sizes before anything is allocated for pixels.
pub(super) fn check_size(
    name: &str,
    format: &'static str,
    width: u32,
    height: u32,
    options: &ImageOptions,
) -> Result<(), VisionError> {
    let image = name.to_owned();
    let (pixels, limit) = (u64::from(width) * u64::from(height), options.max_pixels);
    if pixels == 0 {
        let reason = format!("its size is {width} x {height}");
        return Err(VisionError::DamagedImage { image, format, reason, source: None });
    }
    if pixels > limit {
        return Err(VisionError::TooManyPixels { image, width, height, limit });
    }
    Ok(())
}

/// The longest side that the `image` crate's BMP decoder reads, in pixels.
const LONGEST_BMP_SIDE: u32 = 0xffff;

/// Looks at a BMP's size before its decoder does, which calls a picture with long sides damaged.
///
/// The size stands in two `i32` at byte 18, a negative height for rows from the top down (Windows
/// `BITMAPINFOHEADER`); older headers have 16 bits for each and cannot be too long.
fn check_bmp(name: &str, bytes: &[u8], options: &ImageOptions) -> Result<(), VisionError> {
    let number = |at| bytes.get(at..)?.first_chunk().map(|&four| i32::from_le_bytes(four));
    let (Some(40..), Some(width), Some(height)) = (number(14), number(18), number(22)) else {
        return Ok(()); // the decoder says what is wrong with it
    };
    let (width, height) = (width.unsigned_abs(), height.unsigned_abs());
    check_size(name, "BMP", width, height, options)?;
    if width.max(height) > LONGEST_BMP_SIDE {
        let reason = format!("{width} x {height} pixels: a side of more than {LONGEST_BMP_SIDE}");
        return Err(VisionError::UnsupportedImage {
            image: name.to_owned(),
            format: "BMP",
            reason,
        });
    }
    Ok(())
}

/// Refuses a palette that is no whole number of colours, on which the `png` crate panics.
///
/// Chunks are a length (big-endian), a name of four letters, the data and a checksum (PNG
/// specification, section 5.3); a palette stands before the first `IDAT`.
fn check_png(name: &str, bytes: &[u8]) -> Result<(), VisionError> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((&length, after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(length);
        if after.starts_with(b"IDAT") {
            break;
        }
        if after.starts_with(b"PLTE") && length % 3 != 0 {
            let reason = format!("a palette of {length} bytes, not three for each colour");
            let image = name.to_owned();
            return Err(VisionError::DamagedImage { image, format: "PNG", reason, source: None });
        }
        rest = after.get(length as usize + 8..).unwrap_or_default();
    }
    Ok(())
}

/// PNG, GIF, BMP and TIFF.
pub(super) fn decode_with_image_crate(
    name: &str,
    bytes: &[u8],
    format: ImageFormat,
    options: &ImageOptions,
) -> Result<Decoded, VisionError> {
    let format_name = sniff::format_name(format);
    let broken = |error| describe(name, format_name, options, error);
    let most = options.max_pixels.saturating_mul(MAX_BYTES_PER_PIXEL);
    match format {
        ImageFormat::Bmp => check_bmp(name, bytes, options)?,
        ImageFormat::Png => check_png(name, bytes)?,
        _ => {}
    }
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(most.saturating_add(DECODER_OVERHEAD));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_size(name, format_name, width, height, options)?;
    if decoder.total_bytes() > most {
        let (image, limit) = (name.to_owned(), options.max_pixels);
        return Err(VisionError::TooMuchMemory { image, format: format_name, limit });
    }
    let color = decoder.color_type();
    let orientation = decoder.orientation().map_err(broken)?;
    let mut samples = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut samples).map_err(broken)?;
    Ok(Decoded { width, height, samples, color, orientation })
}

/// What an error of the `image` crate means for the user.
fn describe(
    name: &str,
    format: &'static str,
    options: &ImageOptions,
    error: ImageError,
) -> VisionError {
    let image = name.to_owned();
    let early_end = match &error {
        ImageError::IoError(io) => io.kind() == io::ErrorKind::UnexpectedEof,
        error => causes(error).any(is_early_end),
    };
    if early_end {
        return VisionError::TruncatedImage { image, format, source: Some(error.into()) };
    }
    match error {
        ImageError::Limits(_) => {
            VisionError::TooMuchMemory { image, format, limit: options.max_pixels }
        }
        ImageError::Unsupported(error) => {
            VisionError::UnsupportedImage { image, format, reason: error.to_string() }
        }
        error => {
            let mut reason = causes(&error).last().map(ToString::to_string).unwrap_or_default();
            if reason.starts_with("CRC error") {
                reason = "a checksum does not match its data".to_owned(); // the rest is a debug dump
            }
            VisionError::DamagedImage { image, format, reason, source: Some(error.into()) }
        }
    }
}

/// The error, its source, the source's source…
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn is_early_end(error: &(dyn StdError + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
}

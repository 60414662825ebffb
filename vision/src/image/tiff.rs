//! TIFF files.

use super::ImageOptions;
use super::decode::{Decoded, check_size, decode_with_image_crate};
use crate::VisionError;
use image::{ColorType, ImageFormat};
use std::borrow::Cow;

const FORMAT: &str = "TIFF";

// Tags and values of the TIFF 6.0 specification.
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const PLANAR_CONFIGURATION: u16 = 284;
const COLOR_MAP: u16 = 320;
const TILE_WIDTH: u16 = 322;
const EXTRA_SAMPLES: u16 = 338;
const JPEG_COMPRESSION: u16 = 7;
const GREY: u16 = 1;
const RGB: u16 = 2;
const PALETTE: u16 = 3;
const YCBCR: u16 = 6;
const SEPARATE_PLANES: u16 = 2;
const ASSOCIATED_ALPHA: u16 = 1;

/// Decodes the first page of a TIFF.
///
/// The decoder below knows neither palettes nor YCbCr. Such files are read with their photometric
/// tag changed, as grey indices or as RGB, and coloured here.
pub(super) fn decode(
    name: &str,
    bytes: &[u8],
    options: &ImageOptions,
) -> Result<Decoded, VisionError> {
    let directory = Directory::first(bytes);
    if directory.short(COMPRESSION) == Some(JPEG_COMPRESSION) {
        check_embedded_jpegs(name, bytes, options)?;
    }
    // The decoder below panics on these.
    let separate = directory.short(PLANAR_CONFIGURATION) == Some(SEPARATE_PLANES);
    if separate && directory.entry(TILE_WIDTH).is_some() {
        let reason = "tiles of separate colour planes".to_owned();
        let image = name.to_owned();
        return Err(VisionError::UnsupportedImage { image, format: FORMAT, reason });
    }
    let read =
        |bytes: Cow<'_, [u8]>| decode_with_image_crate(name, &bytes, ImageFormat::Tiff, options);
    match directory.short(PHOTOMETRIC) {
        Some(PALETTE) => {
            look_up_colors(name, read(directory.with_photometric(GREY))?, &directory.palette())
        }
        Some(YCBCR) => Ok(ycbcr_to_rgb(read(directory.with_photometric(RGB))?)),
        Some(RGB) if directory.short(EXTRA_SAMPLES) == Some(ASSOCIATED_ALPHA) => {
            Ok(divide_by_alpha(read(Cow::Borrowed(bytes))?))
        }
        _ => read(Cow::Borrowed(bytes)),
    }
}

/// Refuses JPEG strips that state more pixels than the limit: the strips' decoder believes them,
/// whatever the size of the page.
fn check_embedded_jpegs(
    name: &str,
    bytes: &[u8],
    options: &ImageOptions,
) -> Result<(), VisionError> {
    for window in bytes.windows(9) {
        if let &[0xff, 0xc0..=0xc2, _, _, 8, h1, h0, w1, w0] = window {
            let [width, height] = [[w1, w0], [h1, h0]].map(|side| u16::from_be_bytes(side).into());
            if width > 0 && height > 0 {
                check_size(name, FORMAT, width, height, options)?;
            }
        }
    }
    Ok(())
}

/// Replaces 8-bit indices, or black and white for indices of one bit, by their colours.
fn look_up_colors(
    name: &str,
    decoded: Decoded,
    colors: &[[u8; 3]],
) -> Result<Decoded, VisionError> {
    if decoded.color != ColorType::L8 || colors.is_empty() {
        let reason = format!("a palette of {} colours", colors.len());
        let image = name.to_owned();
        return Err(VisionError::UnsupportedImage { image, format: FORMAT, reason });
    }
    let one_bit = colors.len() == 2;
    let mut samples = Vec::with_capacity(decoded.samples.len() * 3);
    for &index in &decoded.samples {
        let index = if one_bit { usize::from(index > 0) } else { usize::from(index) };
        samples.extend(colors.get(index).copied().unwrap_or_default());
    }
    Ok(Decoded { samples, color: ColorType::Rgb8, ..decoded })
}

/// Full-range YCbCr to RGB, as in JFIF.
fn ycbcr_to_rgb(mut decoded: Decoded) -> Decoded {
    if decoded.color == ColorType::Rgb8 {
        for [y, cb, cr] in decoded.samples.as_chunks_mut::<3>().0 {
            let [luma, blue, red] = [f32::from(*y), f32::from(*cb) - 128.0, f32::from(*cr) - 128.0];
            *y = (luma + 1.402 * red).round() as u8;
            *cb = (luma - 0.344_136 * blue - 0.714_136 * red).round() as u8;
            *cr = (luma + 1.772 * blue).round() as u8;
        }
    }
    decoded
}

/// Colours that were multiplied by their alpha, as they were before. Rounds down, as Pillow does.
fn divide_by_alpha(mut decoded: Decoded) -> Decoded {
    if decoded.color == ColorType::Rgba8 {
        for [red, green, blue, alpha] in decoded.samples.as_chunks_mut::<4>().0 {
            for level in [red, green, blue] {
                let whole = u16::from(*level) * 255 / u16::from(*alpha).max(1);
                *level = whole.min(255) as u8;
            }
        }
    }
    decoded
}

/// The first page's directory of a classic TIFF, read in place.
struct Directory<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Directory<'a> {
    fn first(bytes: &'a [u8]) -> Self {
        Self { bytes, big_endian: bytes.starts_with(b"MM") }
    }

    /// Where the 12 bytes of a tag's entry begin: tag, type, count, and value or its offset.
    fn entry(&self, tag: u16) -> Option<usize> {
        let start = self.u32_at(4)? as usize;
        let count = usize::from(self.u16_at(start)?);
        let mut entries = (0..count).map(|i| start + 2 + 12 * i);
        entries.find(|&at| self.u16_at(at) == Some(tag))
    }

    /// The value of a tag that holds one 16-bit number.
    fn short(&self, tag: u16) -> Option<u16> {
        self.u16_at(self.entry(tag)? + 8)
    }

    /// The file with another photometric interpretation.
    fn with_photometric(&self, value: u16) -> Cow<'a, [u8]> {
        let mut bytes = self.bytes.to_vec();
        let value = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let place = self.entry(PHOTOMETRIC).and_then(|at| bytes.get_mut(at + 8..at + 10));
        if let Some(place) = place {
            place.copy_from_slice(&value);
        }
        Cow::Owned(bytes)
    }

    /// The palette; empty where it is missing or cut short. Stored as all reds, all greens, all
    /// blues, 16 bits each, of which the high byte counts, as in Pillow.
    fn palette(&self) -> Vec<[u8; 3]> {
        let Some(at) = self.entry(COLOR_MAP) else { return Vec::new() };
        let (count, offset) = (self.u32_at(at + 4), self.u32_at(at + 8));
        let (count, offset) = (count.unwrap_or(0) as usize / 3, offset.unwrap_or(0) as usize);
        let level = |i: usize| Some((self.u16_at(offset + 2 * i)? >> 8) as u8);
        (0..count)
            .map_while(|i| Some([level(i)?, level(count + i)?, level(2 * count + i)?]))
            .collect()
    }

    fn u16_at(&self, at: usize) -> Option<u16> {
        let value = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(value) } else { u16::from_le_bytes(value) })
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let value = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(value) } else { u32::from_le_bytes(value) })
    }
}

//! Image files and bytes to upright 8-bit RGB.

mod decode;
mod jpeg;
mod rgb;
mod sniff;
mod tiff;
mod webp;

use crate::VisionError;
use ::image::ColorType;
use ndarray::{Array3, ArrayView3};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Red, green, blue.
pub(crate) const CHANNELS: usize = 3;

/// What errors call bytes that came without a file name.
const UNNAMED: &str = "image data";

/// What becomes of transparency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlphaMode {
    /// The picture is laid on white, as a page would show it.
    #[default]
    White,
    /// Alpha is thrown away and the colours under it show, as Pillow's `convert("RGB")` does.
    /// Many logos and diagrams turn black this way.
    Drop,
}

/// How images are read, and how large they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageOptions {
    /// The most pixels (width times height) that are decoded; checked against the header before
    /// anything is allocated. By default 89,478,485, where Pillow begins to suspect a bomb.
    pub max_pixels: u64,
    /// The most bytes that are read from a file. By default 256 MiB.
    pub max_bytes: u64,
    /// What becomes of transparency.
    pub alpha: AlphaMode,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self { max_pixels: 89_478_485, max_bytes: 256 << 20, alpha: AlphaMode::White }
    }
}

/// An upright 8-bit RGB image with at least one pixel.
///
/// Reads PNG, JPEG, WebP, GIF (first frame), BMP and TIFF (first page), whatever the file's name.
/// EXIF orientation is applied. 16-bit channels are scaled to 8 bits (`v * 255 / 65535`, rounded),
/// CMYK is converted as Pillow does, colour profiles are ignored as the reference ignores them.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// `(height, width, 3)`.
    pixels: Array3<u8>,
    /// Width and height as stored, before the EXIF orientation was applied.
    stored_size: (u32, u32),
}

impl Image {
    /// Reads an image file with the default [`ImageOptions`].
    ///
    /// # Errors
    /// As [`Image::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VisionError> {
        Self::open_with(path, &ImageOptions::default())
    }

    /// Reads an image file.
    ///
    /// # Errors
    /// A [`VisionError`] that names the file and says whether it cannot be read, is no image, is of
    /// an unsupported kind, is cut short or damaged, or is larger than the limits.
    pub fn open_with(path: impl AsRef<Path>, options: &ImageOptions) -> Result<Self, VisionError> {
        let path = path.as_ref();
        let image = path.display().to_string();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(options.max_bytes.saturating_add(1)).read_to_end(&mut bytes))
            .map_err(|source| VisionError::UnreadableImage { image: image.clone(), source })?;
        decode::decode(&image, &bytes, options)
    }

    /// Decodes the bytes of an image file.
    ///
    /// # Errors
    /// As [`Image::open_with`], with `image data` in place of a file name.
    pub fn from_bytes(bytes: &[u8], options: &ImageOptions) -> Result<Self, VisionError> {
        decode::decode(UNNAMED, bytes, options)
    }

    /// Takes pixels as they are: rows from top to bottom, 3 bytes (red, green, blue) a pixel.
    ///
    /// # Errors
    /// [`VisionError::WrongPixelCount`] when `rgb` is not `3 * width * height` bytes long, or empty.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, VisionError> {
        let (expected, found) = (u64::from(width) * u64::from(height) * 3, rgb.len() as u64);
        let shape = (height as usize, width as usize, CHANNELS);
        match Array3::from_shape_vec(shape, rgb) {
            Ok(pixels) if found > 0 => Ok(Self { pixels, stored_size: (width, height) }),
            _ => Err(VisionError::WrongPixelCount { width, height, expected, found }),
        }
    }

    /// Takes 4 bytes (red, green, blue, opacity) a pixel.
    pub(crate) fn from_rgba(
        width: u32,
        height: u32,
        rgba: Vec<u8>,
        alpha: AlphaMode,
    ) -> Result<Self, VisionError> {
        let rgb = rgb::to_rgb8(rgba, ColorType::Rgba8, alpha).unwrap_or_default();
        Self::from_rgb(width, height, rgb)
    }

    /// The pixels, `(height, width, 3)`.
    pub fn pixels(&self) -> ArrayView3<'_, u8> {
        self.pixels.view()
    }

    /// Width in pixels, upright.
    pub fn width(&self) -> u32 {
        self.pixels.dim().1 as u32
    }

    /// Height in pixels, upright.
    pub fn height(&self) -> u32 {
        self.pixels.dim().0 as u32
    }

    /// Width and height in pixels, upright: what boxes and other coordinates refer to.
    pub fn size(&self) -> (u32, u32) {
        (self.width(), self.height())
    }

    /// Width and height as the file stores them. They are swapped against [`Image::size`] where the
    /// EXIF orientation turns the picture by a quarter.
    pub fn original_size(&self) -> (u32, u32) {
        self.stored_size
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("size", &self.size()).finish_non_exhaustive()
    }
}

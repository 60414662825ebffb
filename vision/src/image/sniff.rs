//! What bytes are, told from the bytes themselves.

use crate::VisionError;
use image::ImageFormat;

/// How much of a file is looked at to tell text from binary data.
const LOOK: usize = 4096;

/// Files that people mistake for images, by how they begin (from an offset), and what to do.
const KNOWN: &[(usize, &[u8], &str, &str)] = &[
    (0, b"%PDF", "a PDF document", "convert its pages to PNG first"),
    (0, b"<svg", "an SVG drawing", "render it to PNG first"),
    (4, b"ftypheic", "an HEIC photo", "convert it to JPEG first"),
    (4, b"ftypheix", "an HEIC photo", "convert it to JPEG first"),
    (4, b"ftypmif1", "an HEIF photo", "convert it to JPEG first"),
    (4, b"ftypavif", "an AVIF image", "convert it to PNG first"),
    (4, b"ftyp", "a video", "take frames from it first"),
    (4, b"JXL ", "a JPEG XL image", "convert it to PNG first"),
    (4, b"jP  ", "a JPEG 2000 image", "convert it to PNG first"),
    (0, b"II\x2b\0", "a BigTIFF", "save it as an ordinary TIFF or PNG"),
    (0, b"MM\0\x2b", "a BigTIFF", "save it as an ordinary TIFF or PNG"),
    (0, b"8BPS", "a Photoshop document", "export it as PNG first"),
    (0, b"PK\x03\x04", "a ZIP archive or office document", "unpack it or export its pages as PNG"),
];

/// The format of an image file, or what the bytes are instead.
pub(super) fn format(name: &str, bytes: &[u8]) -> Result<ImageFormat, VisionError> {
    const READ_HERE: [ImageFormat; 6] = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
    ];
    match image::guess_format(bytes) {
        Ok(format) if READ_HERE.contains(&format) => Ok(format),
        _ => Err(not_an_image(name, bytes)),
    }
}

/// The usual name of a format.
pub(super) fn format_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        _ => "image",
    }
}

fn not_an_image(name: &str, bytes: &[u8]) -> VisionError {
    let begins = |&&(at, magic, ..): &&(usize, &[u8], &str, &str)| {
        bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
    };
    let (found, remedy) = if bytes.is_empty() {
        ("the file is empty", "copy or download it again")
    } else if let Some(&(_, _, found, remedy)) = KNOWN.iter().find(begins) {
        (found, remedy)
    } else if is_text(bytes) {
        ("the file holds text", "give a PNG, JPEG, WebP, GIF, BMP or TIFF file")
    } else {
        ("the bytes are of no known image format", "give a PNG, JPEG, WebP, GIF, BMP or TIFF file")
    };
    VisionError::NotAnImage { image: name.to_owned(), found: found.to_owned(), remedy }
}

/// Whether the beginning is UTF-8 without control characters other than white space.
fn is_text(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(LOOK)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character cut in two by the look's own end is no sign of binary data.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace())
}

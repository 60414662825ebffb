//! Small pictures for the page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ImageReader;
use image::codecs::jpeg::JpegEncoder;
use std::io::Cursor;

/// The longer side in pixels for so many samples, so that the page stays one that browsers open.
pub(super) fn side(samples: usize) -> u32 {
    match samples {
        0..=500 => 480,
        501..=2000 => 320,
        _ => 200,
    }
}

const QUALITY: u8 = 70;

/// A small JPEG as a data URL; `None` for an image that the decoder does not take.
pub(super) fn data_url(bytes: &[u8], side: u32) -> Option<String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let image = reader.decode().ok()?;
    let small = match image.width().max(image.height()) > side {
        true => image.thumbnail(side, side),
        false => image,
    };
    let mut rgb = image::RgbImage::from_pixel(small.width(), small.height(), image::Rgb([255; 3]));
    for (under, over) in rgb.pixels_mut().zip(small.to_rgba8().pixels()) {
        let [r, g, b, alpha] = over.0;
        let on_white = |c: u8| {
            let (c, alpha) = (u32::from(c), u32::from(alpha));
            ((c * alpha + 255 * (255 - alpha)) / 255) as u8
        };
        under.0 = [r, g, b].map(on_white);
    }
    let mut jpeg = Vec::new();
    rgb.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY)).ok()?;
    Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

//! Boxes that a model drew round things, in pixels, and pictures of them.

use super::UsageError;
use anyhow::Context;
use font8x8::{BASIC_FONTS, UnicodeFonts};
use glm4v::{Grounding, Image};
use image::{Rgb, RgbImage};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A box in pixels of the upright image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PixelBox {
    /// What the model called the thing.
    pub(crate) label: Option<String>,
    /// Left, top, right, bottom.
    #[serde(rename = "box")]
    pub(crate) corners: [u32; 4],
}

impl PixelBox {
    pub(crate) fn of(grounding: &Grounding, width: u32, height: u32) -> Self {
        Self { label: grounding.label.clone(), corners: grounding.pixels(width, height) }
    }
}

/// Colours that stand out from most pictures, taken in turn.
const COLOURS: [Rgb<u8>; 6] = [
    Rgb([230, 25, 75]),
    Rgb([0, 130, 200]),
    Rgb([60, 180, 75]),
    Rgb([245, 130, 48]),
    Rgb([145, 30, 180]),
    Rgb([0, 128, 128]),
];
const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
/// Side of a letter of the font, in its own dots.
const LETTER: u32 = 8;

/// Where the picture of an input's boxes goes: `target` itself, or, when that is a folder, a PNG
/// file in it named after the input.
///
/// # Errors
/// When `target` is one file and there are several inputs.
pub(crate) fn drawing_path(target: &Path, name: &str, inputs: usize) -> anyhow::Result<PathBuf> {
    if target.is_dir() {
        let stem = Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        return Ok(target.join(stem.unwrap_or_else(|| "image".to_owned())).with_extension("png"));
    }
    if inputs > 1 {
        let message = "--draw-boxes: several images need a folder that exists, not one file";
        return Err(UsageError(message.to_owned()).into());
    }
    Ok(target.to_owned())
}

/// Writes the image with its boxes and their labels as a PNG file.
pub(crate) fn draw_boxes(image: &Image, boxes: &[PixelBox], path: &Path) -> anyhow::Result<()> {
    let (width, height) = image.size();
    let pixels = image.pixels().iter().copied().collect();
    let mut canvas = RgbImage::from_raw(width, height, pixels).unwrap_or_default();
    let line = (width.max(height) / 300).clamp(1, 8);
    for (found, &colour) in boxes.iter().zip(COLOURS.iter().cycle()) {
        draw_frame(&mut canvas, found.corners, line, colour);
        if let Some(label) = &found.label {
            draw_label(&mut canvas, label, found.corners, line, colour);
        }
    }
    let written = canvas.save_with_format(path, image::ImageFormat::Png);
    written.with_context(|| format!("{}: cannot be written", path.display()))
}

/// A frame whose outer edge is the box.
fn draw_frame(canvas: &mut RgbImage, corners: [u32; 4], line: u32, colour: Rgb<u8>) {
    let [left, top, right, bottom] = corners;
    let (inner_right, inner_bottom) = (right.saturating_sub(line), bottom.saturating_sub(line));
    fill(canvas, [left, top, right, (top + line).min(bottom)], colour);
    fill(canvas, [left, inner_bottom.max(top), right, bottom], colour);
    fill(canvas, [left, top, (left + line).min(right), bottom], colour);
    fill(canvas, [inner_right.max(left), top, right, bottom], colour);
}

/// The label on a ground of the frame's colour, above the box where there is room, else within.
fn draw_label(
    canvas: &mut RgbImage,
    label: &str,
    [left, top, ..]: [u32; 4],
    line: u32,
    colour: Rgb<u8>,
) {
    let dot = line.div_ceil(2);
    let side = LETTER * dot;
    let row = if top >= side + 2 * dot { top - side - 2 * dot } else { top };
    let width = label.chars().count() as u32 * side;
    fill(canvas, [left, row, left + width + 2 * dot, row + side + 2 * dot], colour);
    for (place, letter) in (0..).zip(label.chars()) {
        // The font has Latin letters only; others show as a box.
        let glyph =
            BASIC_FONTS.get(letter).unwrap_or([0xff, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0xff]);
        let x = left + dot + place * side;
        for (y, bits) in (0..).zip(glyph) {
            for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                let (x, y) = (x + column * dot, row + dot + y * dot);
                fill(canvas, [x, y, x + dot, y + dot], WHITE);
            }
        }
    }
}

/// Paints what of a rectangle lies on the canvas.
fn fill(canvas: &mut RgbImage, [left, top, right, bottom]: [u32; 4], colour: Rgb<u8>) {
    for y in top..bottom.min(canvas.height()) {
        for x in left..right.min(canvas.width()) {
            canvas.put_pixel(x, y, colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stand_on_the_boxes_and_leave_the_rest() {
        let image = Image::from_rgb(40, 30, vec![7; 40 * 30 * 3]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.png");
        let found = PixelBox { label: None, corners: [10, 5, 20, 15] };
        draw_boxes(&image, &[found], &path).unwrap();
        let drawn = image::open(&path).unwrap().into_rgb8();
        for (x, y, pixel) in drawn.enumerate_pixels() {
            let inside = (10..20).contains(&x) && (5..15).contains(&y);
            let edge = x == 10 || x == 19 || y == 5 || y == 14;
            let expected = if inside && edge { COLOURS[0] } else { Rgb([7; 3]) };
            assert_eq!(*pixel, expected, "at {x}, {y}");
        }
    }

    #[test]
    fn labels_and_boxes_at_the_edge_are_cut_off() {
        let image = Image::from_rgb(40, 30, vec![7; 40 * 30 * 3]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("boxes.png");
        let found = PixelBox { label: Some("a long label 猫".into()), corners: [30, 0, 40, 30] };
        draw_boxes(&image, &[found], &path).unwrap();
        let drawn = image::open(&path).unwrap().into_rgb8();
        assert!(drawn.pixels().any(|pixel| *pixel == WHITE));
        assert_eq!(drawn.get_pixel(29, 15), &Rgb([7; 3]));
    }

    #[test]
    fn several_images_need_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.png");
        assert_eq!(drawing_path(&file, "a.jpg", 1).unwrap(), file);
        assert!(drawing_path(&file, "a.jpg", 2).unwrap_err().is::<UsageError>());
        let in_folder = drawing_path(folder.path(), "pages/a.jpg", 2).unwrap();
        assert_eq!(in_folder, folder.path().join("a.png"));
    }
}

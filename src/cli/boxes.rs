//! Boxes that a model drew round things, in pixels, and pictures of them.

use super::{Picture, UsageError};
use anyhow::Context;
use font8x8::{BASIC_FONTS, UnicodeFonts};
use glm4v::{Grounding, Image};
use image::{Rgb, RgbImage};
use serde::Serialize;
use std::collections::HashSet;
use std::ffi::OsStr;
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

/// Where the pictures of the inputs' boxes go, one an input: `target` itself, or, when that is a
/// folder, PNG files in it named after the inputs. Names that come again get a number.
///
/// # Errors
/// When `target` is one file and there are several inputs, and when an input would be overwritten.
pub(crate) fn drawing_paths(target: &Path, inputs: &[Picture]) -> anyhow::Result<Vec<PathBuf>> {
    let paths = if target.is_dir() {
        let mut taken = HashSet::new();
        inputs.iter().map(|input| target.join(new_name(&input.name, &mut taken))).collect()
    } else if inputs.len() > 1 {
        let message = "--draw-boxes: several images need a folder that exists, not one file";
        return Err(UsageError(message.to_owned()).into());
    } else {
        vec![target.to_owned()]
    };
    let files: HashSet<PathBuf> =
        inputs.iter().filter_map(|input| input.path()?.canonicalize().ok()).collect();
    let overwritten = |path: &&PathBuf| path.canonicalize().is_ok_and(|path| files.contains(&path));
    if let Some(path) = paths.iter().find(overwritten) {
        let path = path.display();
        let message = format!("--draw-boxes: {path} is one of the images; choose another place");
        return Err(UsageError(message).into());
    }
    Ok(paths)
}

/// A file name for an input's picture that is not `taken` yet.
fn new_name(input: &str, taken: &mut HashSet<String>) -> String {
    let stem = Path::new(input).file_stem().unwrap_or(OsStr::new("image")).to_string_lossy();
    let numbered = (2u64..).map(|number| format!("{stem}-{number}.png"));
    let mut names = std::iter::once(format!("{stem}.png")).chain(numbered);
    // Names are compared without case, for there are file systems that do so.
    names.find(|name| taken.insert(name.to_lowercase())).unwrap_or_default()
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
    // Written aside, so that whatever ends the program leaves no half of a picture.
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    let written = canvas.save_with_format(&partial, image::ImageFormat::Png);
    let written = written.map_err(anyhow::Error::from);
    let named = written.and_then(|()| Ok(std::fs::rename(&partial, path)?));
    if named.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    named.with_context(|| format!("{}: cannot be written", path.display()))
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
    let most = (canvas.width() / side) as usize + 1; // more would not be seen
    let width = label.chars().take(most).count() as u32 * side;
    fill(canvas, [left, row, left + width + 2 * dot, row + side + 2 * dot], colour);
    for (place, letter) in (0..).zip(label.chars().take(most)) {
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

    fn pictures(paths: &[PathBuf]) -> Vec<Picture> {
        paths.iter().cloned().map(Picture::file).collect()
    }

    #[test]
    fn several_images_need_a_folder_and_each_gets_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.png");
        let one = pictures(&["a.jpg".into()]);
        assert_eq!(drawing_paths(&file, &one).unwrap(), std::slice::from_ref(&file));
        let names = ["p/a.v1.jpg", "p/a.v2.jpg", "q/a.v1.png", "q/A.V1.png"];
        let many = pictures(&names.map(PathBuf::from));
        assert!(drawing_paths(&file, &many).unwrap_err().is::<UsageError>());
        let expected = ["a.v1.png", "a.v2.png", "a.v1-2.png", "A.V1-3.png"];
        let expected = expected.map(|name| folder.path().join(name));
        assert_eq!(drawing_paths(folder.path(), &many).unwrap(), expected);
    }

    #[test]
    fn no_image_is_drawn_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, "").unwrap();
        let inputs = pictures(&["other/b.png".into(), path.clone()]);
        assert!(drawing_paths(folder.path(), &inputs).unwrap_err().is::<UsageError>());
        assert!(drawing_paths(&path, &inputs[1..]).unwrap_err().is::<UsageError>());
        let other = drawing_paths(&folder.path().join("b.png"), &inputs[1..]).unwrap();
        assert_eq!(other, [folder.path().join("b.png")]);
    }
}

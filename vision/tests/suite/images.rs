//! Files of every format and fault, against what Pillow reads from them.
//!
//! The files and Pillow's readings are made by `tests/fixtures/images/make_images.py`.

use crate::common::{fixture, read};
use glm4v_vision::{AlphaMode, Image, ImageOptions, VisionError};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn files_with(extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(fixture("images"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "bomb"))
        .collect();
    files.sort();
    files
}

/// What Pillow read from `file`, kept in `folder` beside it.
fn reading(folder: &str, file: &Path) -> Option<Image> {
    let name = format!("{}.png", file.file_name().unwrap().to_str().unwrap());
    let path = file.with_file_name(folder).join(name);
    path.exists().then(|| Image::open(path).unwrap())
}

/// The largest difference in grey levels.
fn largest_difference(a: &Image, b: &Image) -> u8 {
    assert_eq!(a.size(), b.size());
    a.pixels().iter().zip(b.pixels()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn files_show_what_pillow_shows() {
    let mut compared = 0;
    for (extension, bound) in
        [("png", 0), ("gif", 0), ("bmp", 0), ("webp", 0), ("tif", 0), ("jpg", 4)]
    {
        for file in files_with(extension) {
            // Decoders of lossy data may round otherwise than libjpeg.
            let bound = if file.ends_with("ycbcr_jpeg.tif") { 4 } else { bound };
            let expected = reading("expected", &file).unwrap();
            let found = Image::open(&file).unwrap();
            let difference = largest_difference(&found, &expected);
            assert!(difference <= bound, "{}: {difference} levels", file.display());
            compared += 1;
        }
    }
    assert!(compared >= 41, "{compared}");
}

#[test]
fn dropped_alpha_shows_the_colours_under_it() {
    let options = ImageOptions { alpha: AlphaMode::Drop, ..Default::default() };
    let mut compared = 0;
    for file in ["png", "webp", "gif", "tif"].into_iter().flat_map(files_with) {
        let Some(expected) = reading("dropped", &file) else { continue };
        let found = Image::open_with(&file, &options).unwrap();
        assert_eq!(largest_difference(&found, &expected), 0, "{}", file.display());
        assert_ne!(found, Image::open(&file).unwrap(), "{}: nothing was dropped", file.display());
        compared += 1;
    }
    assert!(compared >= 8, "{compared}");
}

#[test]
fn every_orientation_comes_out_upright() {
    let stored = Image::open(fixture("images/orientation_1.jpg")).unwrap();
    let (width, height) = stored.size();
    for orientation in 1..=8 {
        let turned =
            Image::open(fixture(&format!("images/orientation_{orientation}.jpg"))).unwrap();
        assert_eq!(turned.original_size(), (width, height));
        let size = if orientation < 5 { (width, height) } else { (height, width) };
        assert_eq!(turned.size(), size, "{orientation}");
        // EXIF 2.32, tag 0x0112: which corner of the scene the first row and column show.
        for ((y, x, channel), &level) in stored.pixels().indexed_iter() {
            let (right, bottom) = (width as usize - 1 - x, height as usize - 1 - y);
            let place = match orientation {
                1 => (y, x),
                2 => (y, right),
                3 => (bottom, right),
                4 => (bottom, x),
                5 => (x, y),
                6 => (x, bottom),
                7 => (right, bottom),
                _ => (right, y),
            };
            assert_eq!(turned.pixels()[(place.0, place.1, channel)], level, "{orientation}");
        }
    }
}

#[test]
fn content_decides_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let misnamed = folder.path().join("photo.png");
    fs::copy(fixture("images/baseline.jpg"), &misnamed).unwrap();
    let original = Image::open(fixture("images/baseline.jpg")).unwrap();
    assert_eq!(Image::open(misnamed).unwrap(), original);
}

#[test]
fn cut_files_are_never_a_silent_success() {
    let options = ImageOptions::default();
    for name in [
        "rgba16.png",
        "baseline.jpg",
        "progressive.jpg",
        "restarts.jpg",
        "alpha.webp",
        "lossy.webp",
        "rgb.bmp",
        "lzw.tif",
    ] {
        let whole = read(&format!("images/{name}"));
        for kept in [whole.len() / 2, whole.len() * 9 / 10] {
            let error = Image::from_bytes(&whole[..kept], &options).unwrap_err();
            assert!(matches!(error, VisionError::TruncatedImage { .. }), "{name} {kept}: {error}");
        }
    }
}

#[test]
fn a_cut_jpeg_with_an_end_marker_is_still_cut() {
    let whole = read("images/baseline.jpg");
    let mut cut = whole[..whole.len() - 150].to_vec();
    cut.extend([0xff, 0xd9]);
    let error = Image::from_bytes(&cut, &ImageOptions::default()).unwrap_err();
    assert!(matches!(error, VisionError::TruncatedImage { format: "JPEG", .. }), "{error}");
}

#[test]
fn bytes_behind_a_jpeg_do_no_harm() {
    let mut bytes = read("images/baseline.jpg");
    let clean = Image::from_bytes(&bytes, &ImageOptions::default()).unwrap();
    bytes.extend(b"another picture of a multi-picture file");
    assert_eq!(Image::from_bytes(&bytes, &ImageOptions::default()).unwrap(), clean);
}

#[test]
fn a_flipped_byte_in_a_png_is_damage() {
    let mut bytes = read("images/rgba16.png");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let error = Image::from_bytes(&bytes, &ImageOptions::default()).unwrap_err();
    assert!(matches!(error, VisionError::DamagedImage { format: "PNG", .. }), "{error}");
    assert!(error.source().is_some());
}

#[test]
fn what_is_no_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, told) in [
        ("empty.png", &b""[..], "the file is empty"),
        ("text.png", "Grüße, this is text.\n".as_bytes(), "text"),
        ("page.pdf", b"%PDF-1.7\n\xe2\xe3", "PDF"),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        ("scan.tif", b"II\x2b\0\x08\0\0\0", "BigTIFF"),
        ("noise.bin", b"\x01\x02\x03\x04\xff\xfe", "no known image format"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = Image::open(&path).unwrap_err();
        assert!(matches!(error, VisionError::NotAnImage { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(name) && message.contains(told), "{message}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Image::open("no/such/photo.png").unwrap_err();
    assert!(matches!(error, VisionError::UnreadableImage { .. }), "{error}");
    assert!(error.to_string().contains("no/such/photo.png"));
}

#[test]
fn a_kind_of_tiff_that_cannot_be_read_is_told() {
    let error = Image::open(fixture("images/tiled_planes.unsupported")).unwrap_err();
    assert!(matches!(error, VisionError::UnsupportedImage { format: "TIFF", .. }), "{error}");
    assert!(error.to_string().contains("separate colour planes"), "{error}");
}

#[test]
fn limits_are_checked_before_decoding() {
    let path = fixture("images/rgba.png");
    let pixels = ImageOptions { max_pixels: 24 * 16 - 1, ..Default::default() };
    let error = Image::open_with(&path, &pixels).unwrap_err();
    assert!(
        matches!(error, VisionError::TooManyPixels { width: 24, height: 16, limit: 383, .. }),
        "{error}"
    );
    assert!(Image::open_with(&path, &ImageOptions { max_pixels: 24 * 16, ..pixels }).is_ok());
    let size = fs::metadata(&path).unwrap().len();
    let bytes = ImageOptions { max_bytes: size - 1, ..Default::default() };
    let error = Image::open_with(&path, &bytes).unwrap_err();
    assert!(matches!(error, VisionError::TooManyBytes { .. }), "{error}");
    assert!(Image::open_with(&path, &ImageOptions { max_bytes: size, ..bytes }).is_ok());
}

/// The file and information headers of a BMP with 24 bits a pixel.
fn bmp_header(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for field in [154, 0, 54, 40, width, height] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.resize(154, 0);
    bytes
}

#[test]
fn a_bmp_with_long_sides_is_told_by_its_size() {
    let options = ImageOptions::default();
    let error = Image::from_bytes(&bmp_header(70_000, -70_000), &options).unwrap_err();
    assert!(
        matches!(error, VisionError::TooManyPixels { width: 70_000, height: 70_000, .. }),
        "{error}"
    );
    let error = Image::from_bytes(&bmp_header(70_000, 10), &options).unwrap_err();
    assert!(matches!(error, VisionError::UnsupportedImage { format: "BMP", .. }), "{error}");
    assert!(error.to_string().contains("70000 x 10"), "{error}");
}

#[test]
fn a_png_whose_palette_is_no_whole_number_of_colours_is_damaged() {
    // Found by fuzzing: the decoder of the `png` crate panics on it.
    let bytes = fs::read(fixture("images/odd_palette.damaged")).unwrap();
    let error = Image::from_bytes(&bytes, &ImageOptions::default()).unwrap_err();
    assert!(matches!(error, VisionError::DamagedImage { format: "PNG", .. }), "{error}");
    assert!(error.to_string().contains("a palette of 49 bytes"), "{error}");
}

#[test]
fn raw_pixels_must_fit_their_size() {
    assert_eq!(Image::from_rgb(2, 1, vec![0; 6]).unwrap().size(), (2, 1));
    for (width, height, bytes) in [(2, 1, 5), (0, 0, 0), (0, 3, 0), (u32::MAX, u32::MAX, 3)] {
        let error = Image::from_rgb(width, height, vec![0; bytes]).unwrap_err();
        assert!(matches!(error, VisionError::WrongPixelCount { .. }), "{error}");
    }
}

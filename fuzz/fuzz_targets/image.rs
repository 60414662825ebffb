//! Bytes as an image file: pixels or an error, never more pixels than the limit.

#![no_main]

use glm4v_vision::{AlphaMode, Image, ImageOptions};
use libfuzzer_sys::fuzz_target;

const MAX_PIXELS: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    for alpha in [AlphaMode::White, AlphaMode::Drop] {
        let options = ImageOptions { max_pixels: MAX_PIXELS, alpha, ..ImageOptions::default() };
        match Image::from_bytes(bytes, &options) {
            Ok(image) => {
                assert!(u64::from(image.width()) * u64::from(image.height()) <= MAX_PIXELS);
                assert!(image.width() > 0 && image.height() > 0);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});

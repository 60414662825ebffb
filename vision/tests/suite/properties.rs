//! What holds for all sizes, pixels and bytes.

use crate::common::read;
use glm4v_vision::{
    FrameSampler, Image, ImageOptions, PreprocessorConfig, Resampler, SizeRule,
    SmartResizePreprocessor, VideoMetadata, resize, smart_resize, timestamps,
};
use ndarray::Array3;
use proptest::prelude::*;

fn resampler() -> impl Strategy<Value = Resampler> {
    prop_oneof![Just(Resampler::Torchvision), Just(Resampler::Pillow)]
}

fn image(width: u32, height: u32) -> impl Strategy<Value = Image> {
    let bytes = (width * height * 3) as usize;
    proptest::collection::vec(any::<u8>(), bytes)
        .prop_map(move |rgb| Image::from_rgb(width, height, rgb).unwrap())
}

/// Small sizes of all shapes, with an image of that size.
fn any_image() -> impl Strategy<Value = Image> {
    (1u32..40, 1u32..40).prop_flat_map(|(width, height)| image(width, height))
}

/// A preprocessor that neither resizes nor normalises, so that patches hold grey levels.
fn cutter(patch_size: u32, merge_size: u32, temporal_patch_size: u32) -> SmartResizePreprocessor {
    let config = PreprocessorConfig {
        do_resize: false,
        do_rescale: false,
        do_normalize: false,
        patch_size,
        merge_size,
        temporal_patch_size,
        ..Default::default()
    };
    SmartResizePreprocessor::for_images(&config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_plain_image_stays_plain(
        level in any::<[u8; 3]>(), from in (1usize..90, 1usize..90), to in (1usize..90, 1usize..90),
        resampler in resampler(),
    ) {
        let plain = Array3::from_shape_fn((from.0, from.1, 3), |(_, _, channel)| level[channel]);
        let resized = resize(plain.view(), to.0, to.1, resampler);
        prop_assert_eq!(resized.dim(), (to.0, to.1, 3));
        prop_assert!(resized.indexed_iter().all(|((_, _, channel), &v)| v == level[channel]));
    }

    #[test]
    fn the_same_size_changes_nothing(image in any_image(), resampler in resampler()) {
        let (height, width, _) = image.pixels().dim();
        let resized = resize(image.pixels(), height, width, resampler);
        prop_assert_eq!(resized.view(), image.pixels());
    }

    #[test]
    fn the_two_resamplers_are_within_two_levels(
        image in any_image(), to in (1usize..60, 1usize..60),
    ) {
        let a = resize(image.pixels(), to.0, to.1, Resampler::Torchvision);
        let b = resize(image.pixels(), to.0, to.1, Resampler::Pillow);
        prop_assert!(a.iter().zip(&b).all(|(a, b)| a.abs_diff(*b) <= 2));
    }

    #[test]
    fn a_mirrored_image_resizes_to_the_mirrored_result(
        image in any_image(), to in (1usize..60, 1usize..60), resampler in resampler(),
    ) {
        let mirrored = image.pixels().slice_move(ndarray::s![.., ..;-1, ..]);
        let found = resize(mirrored, to.0, to.1, resampler);
        let expected = resize(image.pixels(), to.0, to.1, resampler);
        let expected = expected.slice(ndarray::s![.., ..;-1, ..]);
        // Weights of a tie may round to either side.
        prop_assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn resized_sizes_are_whole_blocks_within_the_limits(
        height in 1u32..6000, width in 1u32..6000, frames in 2usize..40,
        block in prop_oneof![Just(14u32), Just(28), Just(32)],
    ) {
        let (min_pixels, max_pixels) = (112 * 112, 28 * 28 * 15_000);
        let rule = SizeRule { factor: block, temporal_factor: 2, min_pixels, max_pixels };
        let Ok((h, w)) = smart_resize(frames, height, width, &rule) else {
            prop_assert!(height.max(width) > 100 * height.min(width).min(block));
            return Ok(());
        };
        prop_assert!(h > 0 && w > 0 && h % block == 0 && w % block == 0);
        let pixels = frames as u64 * u64::from(h) * u64::from(w);
        // Rounding the number of frames, and a side at its least, may lead a little over.
        let slack = if frames % 2 == 0 { 1.0 } else { 1.5 };
        prop_assert!(h == block || w == block || pixels as f64 <= slack * max_pixels as f64);
        prop_assert!(pixels as f64 * slack >= min_pixels as f64);
    }

    #[test]
    fn patches_hold_every_pixel_in_the_reference_order(
        image in (1u32..4, 1u32..4).prop_flat_map(|(w, h)| image(w * 6, h * 6)),
    ) {
        let (patch, merge, frames) = (3, 2, 2);
        let made = cutter(3, 2, 2).image(&image).unwrap();
        let (height, width, _) = image.pixels().dim();
        prop_assert_eq!((made.grid.t, made.grid.h, made.grid.w), (1, height / patch, width / patch));
        let mut rebuilt = Array3::<u8>::zeros((height, width, 3));
        for (index, flat) in made.pixels.rows().into_iter().enumerate() {
            let (block, inside) = (index / (merge * merge), index % (merge * merge));
            let blocks = made.grid.w / merge;
            let top = (block / blocks * merge + inside / merge) * patch;
            let left = (block % blocks * merge + inside % merge) * patch;
            for (i, &value) in flat.iter().enumerate() {
                let (channel, frame) = (i / (frames * patch * patch), i / (patch * patch) % frames);
                let (y, x) = (top + i / patch % patch, left + i % patch);
                prop_assert_eq!(value, f32::from(image.pixels()[(y, x, channel)]), "frame {}", frame);
                rebuilt[(y, x, channel)] = value as u8;
            }
        }
        prop_assert_eq!(rebuilt.view(), image.pixels());
    }

    #[test]
    fn an_odd_frame_is_repeated(
        frames in (1usize..4).prop_flat_map(|n| proptest::collection::vec(image(6, 6), 2 * n + 1)),
    ) {
        let cutter = cutter(3, 2, 2);
        let mut even = frames.clone();
        even.extend(frames.last().cloned());
        let made = cutter.frames(&frames).unwrap();
        prop_assert_eq!(made.grid.t, frames.len().div_ceil(2));
        prop_assert_eq!(made, cutter.frames(&even).unwrap());
    }

    #[test]
    fn chosen_frames_exist_rise_and_pair_up(
        fps in 0.5f64..120.0, total_frames in 1usize..5000, glm46v in any::<bool>(),
    ) {
        let sampler = if glm46v {
            FrameSampler::Glm46v { temporal_patch_size: 2 }
        } else {
            FrameSampler::Glm4v { fps: 2.0, max_duration: 300.0 }
        };
        let video = VideoMetadata { fps, total_frames, duration: None };
        let chosen = sampler.choose(&video).unwrap();
        prop_assert_eq!(chosen.len() % 2, 0);
        prop_assert!(chosen.iter().all(|&frame| frame < total_frames));
        prop_assert!(chosen.is_sorted());
        prop_assert_eq!(timestamps(&chosen, fps, 2).len(), chosen.len() / 2);
    }

    #[test]
    fn any_configuration_is_taken_or_refused(
        size in any::<[u64; 2]>(), patch in any::<[u32; 3]>(), do_resize in any::<bool>(),
    ) {
        let config = serde_json::json!({
            "size": {"shortest_edge": size[0], "longest_edge": size[1]}, "do_resize": do_resize,
            "patch_size": patch[0], "merge_size": patch[1], "temporal_patch_size": patch[2],
        });
        let config: PreprocessorConfig = serde_json::from_value(config).unwrap();
        if let Err(error) = SmartResizePreprocessor::for_images(&config) {
            prop_assert!(error.to_string().contains("preprocessor_config.json"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_panic(
        magic in prop_oneof![
            Just(&b"\x89PNG\r\n\x1a\n"[..]), Just(&b"\xff\xd8\xff"[..]), Just(&b"GIF89a"[..]),
            Just(&b"BM"[..]), Just(&b"II*\0"[..]), Just(&b"MM\0*"[..]), Just(&b"RIFF\x40\0\0\0WEBP"[..]),
            Just(&b""[..]),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [magic, &rest].concat();
        let options = ImageOptions { max_pixels: 1 << 16, ..Default::default() };
        let _ = Image::from_bytes(&bytes, &options);
    }

    #[test]
    fn no_damaged_file_panics(
        name in prop_oneof![
            Just("rgba16.png"), Just("palette_transparent.png"), Just("baseline.jpg"),
            Just("progressive.jpg"), Just("restarts.jpg"), Just("cmyk.jpg"), Just("lossy.webp"),
            Just("alpha.webp"), Just("animated.webp"), Just("animated.gif"), Just("palette.bmp"),
            Just("lzw.tif"), Just("palette.tif"), Just("group4.tif"), Just("ycbcr_jpeg.tif"),
            Just("orientation_6.jpg"), Just("orientation_6.png"), Just("orientation_6.webp"),
        ],
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = read(&format!("images/{name}"));
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let options = ImageOptions { max_pixels: 1 << 20, ..Default::default() };
        if let Ok(image) = Image::from_bytes(&bytes, &options) {
            prop_assert!(u64::from(image.width()) * u64::from(image.height()) <= 1 << 20);
        }
    }
}

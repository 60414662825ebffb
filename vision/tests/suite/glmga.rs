//! What `glmga` does differently, against transformers' own functions.

use crate::common::{rows, video_and_indices};
use glm4v_vision::{FrameSampler, Image, PixelLimits, PreprocessorConfig, SmartResizePreprocessor};

const TABLES: &str = "glmga/reference.json";

#[test]
fn frames_are_chosen_as_the_reference_chooses_them() {
    for row in rows(TABLES, "frames") {
        let sampler = FrameSampler::Glmga {
            fps: row["target_fps"].as_f64().unwrap(),
            max_frames: row["max_frames"].as_u64().unwrap() as usize,
        };
        let (video, expected) = video_and_indices(&row);
        assert_eq!(sampler.choose(&video).unwrap(), expected, "{video:?}");
    }
}

#[test]
fn sides_are_multiples_of_the_expanded_block() {
    for row in rows(TABLES, "sizes") {
        let number = |key: &str| row[key].as_u64().unwrap();
        let config = PreprocessorConfig {
            patch_expand_factor: number("patch_expand_factor") as u32,
            size: Some(PixelLimits { shortest_edge: 12_544, longest_edge: 1_000_000 }),
            ..PreprocessorConfig::default()
        };
        let (width, height) = (number("width") as u32, number("height") as u32);
        let image = Image::from_rgb(width, height, vec![9; (width * height * 3) as usize]).unwrap();
        let patches = SmartResizePreprocessor::for_images(&config).unwrap().image(&image).unwrap();
        let expected = (number("grid_h") as usize, number("grid_w") as usize);
        assert_eq!((patches.grid.h, patches.grid.w), expected, "{width} x {height}");
    }
}

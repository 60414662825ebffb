//! What `glmga` does differently, against transformers' own functions.

use glm4v_vision::{FrameSampler, PixelLimits, PreprocessorConfig, SmartResizePreprocessor};
use glm4v_vision::{Image, VideoMetadata};
use serde_json::Value;

fn rows(kind: &str) -> Vec<Value> {
    let text = include_str!("../../../tests/fixtures/glmga/reference.json");
    let all: Value = serde_json::from_str(text).unwrap();
    all[kind].as_array().unwrap().clone()
}

#[test]
fn frames_are_chosen_as_the_reference_chooses_them() {
    for row in rows("frames") {
        let sampler = FrameSampler::Glmga {
            fps: row["target_fps"].as_f64().unwrap(),
            max_frames: row["max_frames"].as_u64().unwrap() as usize,
        };
        let video = VideoMetadata {
            fps: row["fps"].as_f64().unwrap(),
            total_frames: row["total_frames"].as_u64().unwrap() as usize,
            duration: row["duration"].as_f64(),
        };
        let expected: Vec<usize> = serde_json::from_value(row["indices"].clone()).unwrap();
        assert_eq!(sampler.choose(&video).unwrap(), expected, "{video:?}");
    }
}

#[test]
fn sides_are_multiples_of_the_expanded_block() {
    for row in rows("sizes") {
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

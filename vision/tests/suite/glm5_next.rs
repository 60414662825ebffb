//! What `glm5_next` does with videos, against transformers' own functions.

use crate::common::{rows, video_and_indices};
use glm4v_vision::VisionError;
use glm4v_vision::{FrameSampler, Image, PreprocessorConfig, SmartResizePreprocessor};

const TABLES: &str = "glm5_next/reference.json";

#[test]
fn frames_are_chosen_as_the_reference_chooses_them() {
    for row in rows(TABLES, "frames") {
        let sampler = FrameSampler::Glm5Next {
            fps: row["target_fps"].as_f64().unwrap(),
            max_duration: row["max_duration"].as_f64().unwrap(),
            max_frames: row["max_frames"].as_u64().unwrap() as usize,
        };
        let (video, expected) = video_and_indices(&row);
        assert_eq!(sampler.choose(&video).unwrap(), expected, "{video:?} {sampler:?}");
    }
}

#[test]
fn frames_are_laid_on_the_references_canvas() {
    let mut refused = 0;
    for row in rows(TABLES, "sizes") {
        let number = |key: &str| row[key].as_u64().unwrap();
        let config = PreprocessorConfig {
            do_normalize: false,
            min_image_tokens: number("min_image_tokens"),
            max_image_tokens: Some(number("max_image_tokens")),
            ..PreprocessorConfig::default()
        };
        let (width, height) = (number("width") as u32, number("height") as u32);
        let white = vec![255; (width * height * 3) as usize];
        let frame = Image::from_rgb(width, height, white).unwrap();
        let frames = vec![frame; number("frames") as usize];
        let found = SmartResizePreprocessor::for_padded_videos(&config).unwrap().frames(&frames);
        let Some(grid) = row["grid"].as_array() else {
            assert!(matches!(found, Err(VisionError::TooManyFrames { .. })), "{row}");
            refused += 1;
            continue;
        };
        let found = found.unwrap();
        let sides = [found.grid.t, found.grid.h, found.grid.w];
        assert_eq!(
            sides.map(|side| side as u64),
            [0, 1, 2].map(|i| grid[i].as_u64().unwrap()),
            "{row}"
        );
        // How much of the canvas the frames cover.
        let mean =
            found.pixels.iter().map(|&x| f64::from(x)).sum::<f64>() / found.pixels.len() as f64;
        assert!((mean - row["white"].as_f64().unwrap()).abs() < 2e-6, "{row}: {mean}");
    }
    assert!(refused > 0);
}

//! The pure functions of preprocessing against what the reference computed.

use crate::common::{fixture, json, read};
use glm4v_vision::{
    FrameSampler, Image, Resampler, SizeRule, VideoMetadata, VisionError, resize, smart_resize,
};
use safetensors::SafeTensors;

#[test]
fn smart_resize_gives_the_reference_sizes() {
    let table = json("goldens/tables/smart_resize.json");
    let rows = table.as_array().unwrap();
    assert_eq!(rows.len(), 390);
    for row in rows {
        let number = |key: &str| row[key].as_u64().unwrap();
        let rule = SizeRule {
            factor: 28,
            temporal_factor: 2,
            min_pixels: number("min_pixels"),
            max_pixels: number("max_pixels"),
        };
        let (height, width) = (number("height") as u32, number("width") as u32);
        let found = smart_resize(number("num_frames") as usize, height, width, &rule);
        match row.get("resized") {
            Some(sides) => {
                let sides: (u32, u32) = serde_json::from_value(sides.clone()).unwrap();
                assert_eq!(found.unwrap(), sides, "{row}");
            }
            None => assert!(matches!(found, Err(VisionError::TooElongated { .. })), "{row}"),
        }
    }
}

#[test]
fn resize_equals_both_references() {
    let bytes = read("goldens/tables/resize.safetensors");
    let goldens = SafeTensors::deserialize(&bytes).unwrap();
    let table = json("goldens/tables/resize.json");
    for (i, row) in table.as_array().unwrap().iter().enumerate() {
        let picture =
            Image::open(fixture("goldens/tables").join(row["file"].as_str().unwrap())).unwrap();
        let side = |key: &str| row[key].as_u64().unwrap() as usize;
        let (height, width) = (side("target_height"), side("target_width"));
        for (resampler, name) in
            [(Resampler::Pillow, "pil"), (Resampler::Torchvision, "torchvision")]
        {
            let golden = goldens.tensor(&format!("{name}_{i}")).unwrap();
            assert_eq!(golden.shape(), [height, width, 3]);
            let found = resize(picture.pixels(), height, width, resampler);
            let unequal = found.iter().zip(golden.data()).filter(|(a, b)| a != b).count();
            assert_eq!(unequal, 0, "{name} {i}: values that differ");
        }
    }
}

#[test]
fn frames_are_chosen_as_the_reference_does() {
    let table = json("goldens/tables/video_sampling.json");
    for row in table.as_array().unwrap() {
        let sampler = match row["processor"].as_str().unwrap() {
            "Glm4v" => FrameSampler::Glm4v { fps: 2.0, max_duration: 300.0 },
            "Glm46V" => FrameSampler::Glm46v { temporal_patch_size: 2 },
            other => panic!("unknown processor {other}"),
        };
        let video = VideoMetadata {
            fps: row["fps"].as_f64().unwrap(),
            total_frames: row["total_frames"].as_u64().unwrap() as usize,
            duration: row["duration"].as_f64(),
        };
        let indices: Vec<usize> = serde_json::from_value(row["indices"].clone()).unwrap();
        assert_eq!(sampler.choose(&video).unwrap(), indices, "{sampler:?} {video:?}");
    }
}

//! Whole preprocessing against the tensors that the reference models were fed.

use crate::common::{f32_tensor, fixture, json, read};
use glm4v_vision::{
    FixedSquarePreprocessor, Image, Patches, PreprocessorConfig, Resampler, SmartResizePreprocessor,
};
use safetensors::SafeTensors;

/// Standard deviations of the channels: a grey level is 1/255 of it in normalised values.
const STD: [f32; 3] = [0.26862954, 0.2613026, 0.2757771];

/// Every case of the families that resize near the original size, and whether it is a video.
const PATCH_CASES: &[(&str, &str, bool)] = &[
    ("glm4v", "one_image", false),
    ("glm4v", "two_images", false),
    ("glm4v", "video", true),
    ("glm46v", "one_image", false),
    ("glm46v", "two_images", false),
    ("glm46v", "video", true),
    ("glm4v_moe", "one_image", false),
    ("glm4v_moe", "two_images", false),
    ("glm4v_moe", "video", true),
    ("glm_ocr", "text_recognition", false),
    ("glm_ocr", "table_recognition", false),
    ("glm_ocr", "two_images", false),
];

fn pictures(model: &str, case: &str) -> Vec<Image> {
    let info = json(&format!("goldens/{model}/{case}.json"));
    let files: Vec<String> = serde_json::from_value(info["files"].clone()).unwrap();
    let folder = fixture("goldens").join(model);
    files.iter().map(|file| Image::open(folder.join(file)).unwrap()).collect()
}

fn preprocessor(model: &str, video: bool) -> SmartResizePreprocessor {
    let file = if video { "video_preprocessor_config.json" } else { "preprocessor_config.json" };
    let config = serde_json::from_value(json(&format!("goldens/{model}/{file}"))).unwrap();
    if video {
        SmartResizePreprocessor::for_videos(&config).unwrap()
    } else {
        SmartResizePreprocessor::for_images(&config).unwrap()
    }
}

fn prepare(preprocessor: &SmartResizePreprocessor, frames: &[Image], video: bool) -> Vec<Patches> {
    if video {
        return vec![preprocessor.frames(frames).unwrap()];
    }
    frames.iter().map(|image| preprocessor.image(image).unwrap()).collect()
}

/// The largest difference in grey levels: in a flat patch, a third of the values is a channel's.
fn largest_difference(prepared: &[Patches], reference: &[f32]) -> f32 {
    let width = prepared[0].pixels.dim().1;
    let values: Vec<f32> = prepared.iter().flat_map(|p| p.pixels.iter().copied()).collect();
    assert_eq!(values.len(), reference.len());
    let levels = values.iter().zip(reference).enumerate().map(|(i, (found, wanted))| {
        let channel = i % width / (width / 3);
        (found - wanted).abs() * 255.0 * STD[channel]
    });
    levels.fold(0.0, f32::max)
}

#[test]
fn patches_equal_the_torchvision_backend() {
    for &(model, case, video) in PATCH_CASES {
        let prepared = prepare(&preprocessor(model, video), &pictures(model, case), video);
        let bytes = read(&format!("goldens/{model}/{case}.safetensors"));
        let goldens = SafeTensors::deserialize(&bytes).unwrap();
        let suffix = if video { "_videos" } else { "" };
        let reference = f32_tensor(&goldens, &format!("pixel_values{suffix}"));
        let levels = largest_difference(&prepared, reference.as_slice().unwrap());
        assert_eq!(levels, 0.0, "{model}/{case}");
        let grid = goldens.tensor(if video { "video_grid_thw" } else { "image_grid_thw" }).unwrap();
        let grid: Vec<i64> = grid
            .data()
            .chunks_exact(8)
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let made: Vec<i64> = prepared
            .iter()
            .flat_map(|p| [p.grid.t, p.grid.h, p.grid.w].map(|n| n as i64))
            .collect();
        assert_eq!(made, grid, "{model}/{case}");
    }
}

#[test]
fn patches_are_near_the_pillow_backend() {
    let mut compared = 0;
    for &(model, case, video) in PATCH_CASES {
        let bytes = read(&format!("goldens/{model}/{case}.safetensors"));
        let goldens = SafeTensors::deserialize(&bytes).unwrap();
        if goldens.tensor("pixel_values_pil").is_err() {
            continue; // the reference recorded it for single stills alone
        }
        let reference = f32_tensor(&goldens, "pixel_values_pil");
        let reference = reference.as_slice().unwrap();
        let default = preprocessor(model, video);
        let near = largest_difference(&prepare(&default, &pictures(model, case), video), reference);
        assert!(near < 2.01, "{model}/{case}: {near}");
        let pillow = default.with_resampler(Resampler::Pillow);
        let equal = largest_difference(&prepare(&pillow, &pictures(model, case), video), reference);
        assert!(equal < 0.01, "{model}/{case}: {equal}");
        compared += 1;
    }
    assert_eq!(compared, 5);
}

#[test]
fn squares_equal_those_of_glm_4v_9b() {
    let config = json("goldens/glm4v_9b/config.json");
    let side = config["vision_config"]["image_size"].as_u64().unwrap() as usize;
    let preprocessor = FixedSquarePreprocessor::new(side).unwrap();
    for case in ["one_image", "system", "two_turns"] {
        let bytes = read(&format!("goldens/glm4v_9b/{case}.safetensors"));
        let goldens = SafeTensors::deserialize(&bytes).unwrap();
        let reference = f32_tensor(&goldens, "pixel_values");
        let square = preprocessor.image(&pictures("glm4v_9b", case)[0]);
        assert_eq!(reference.shape(), [1, 3, side, side]);
        assert_eq!(square.as_slice().unwrap(), reference.as_slice().unwrap(), "{case}");
    }
}

#[test]
fn published_defaults_fill_an_empty_config() {
    let empty: PreprocessorConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(empty, PreprocessorConfig::default());
    let written = preprocessor("glm4v", false);
    let defaults = SmartResizePreprocessor::for_images(&empty).unwrap();
    let picture = &pictures("glm4v", "one_image")[0];
    assert_eq!(written.image(picture).unwrap(), defaults.image(picture).unwrap());
}

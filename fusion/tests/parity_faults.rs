//! A check that cannot fail is none: copies of the reference outputs with one thing changed must
//! fail, at that thing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use candle_core::{DType, Device, Tensor};
use glm4v_fusion::parity::{CaseReport, StageReport, run};
use glm4v_fusion::{FusionError, LoadOptions};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn goldens(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens").join(name)
}

/// A copy of a golden folder, without the cases (or tables) that `skip` names.
fn copy(name: &str, skip: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for entry in std::fs::read_dir(goldens(name)).unwrap() {
        let from = entry.unwrap().path();
        let stem = from.file_stem().unwrap().to_str().unwrap();
        if !skip.contains(&stem) {
            std::fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
        }
    }
    folder
}

fn edit_json(file: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    edit(&mut value);
    std::fs::write(file, value.to_string()).unwrap();
}

fn edit_tensors(file: &Path, edit: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let mut tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    edit(&mut tensors);
    candle_core::safetensors::save(&tensors, file).unwrap();
}

/// The tensor with `by` added to the value `from_end` places before its end.
fn nudged(tensor: &Tensor, from_end: usize, by: f64) -> Tensor {
    let mut values: Vec<f64> =
        tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let at = values.len() - 1 - from_end;
    values[at] += by;
    let changed = Tensor::from_vec(values, tensor.dims(), &Device::Cpu).unwrap();
    changed.to_dtype(tensor.dtype()).unwrap()
}

fn nudge(file: &Path, name: &str, from_end: usize, by: f64) {
    edit_tensors(file, |tensors| {
        let changed = nudged(&tensors[name], from_end, by);
        tensors.insert(name.to_owned(), changed);
    });
}

fn reports(folder: &Path) -> Vec<CaseReport> {
    let mut cases = Vec::new();
    run(folder, &LoadOptions::default(), &mut |case| cases.push(case)).unwrap();
    cases
}

/// The first stage that failed, of the only case that may.
fn first_failure(folder: &Path) -> StageReport {
    let reports = reports(folder);
    let mut failed = reports.iter().filter(|case| !case.passed());
    let case = failed.next().expect("a case that fails");
    assert!(failed.next().is_none(), "only one case was changed");
    case.stages.iter().find(|stage| !stage.passed).unwrap().clone()
}

fn difference(stage: &StageReport) -> &str {
    stage.first_difference.as_deref().unwrap()
}

#[test]
fn a_change_in_any_reference_tensor_fails_that_stage_first() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("glm", "batch_padded", &["chat", "chinese"]),
        ("glm4v", "one_image", &["text", "two_images", "video"]),
        ("glm46v", "video", &["text", "two_images", "one_image"]),
        ("glm4v_moe", "two_images", &["text", "video", "one_image"]),
        ("glm_ocr", "text_recognition", &["text", "two_images", "table_recognition"]),
        ("glm4v_9b", "system", &["text", "one_image", "two_turns"]),
    ];
    for (name, case, others) in cases {
        let folder = copy(name, others);
        let file = folder.path().join(case).with_extension("safetensors");
        let original = std::fs::read(&file).unwrap();
        let tensors = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
        for tensor in tensors.keys() {
            if ["attention_mask", "mm_token_type_ids"].contains(&tensor.as_str()) {
                continue;
            }
            nudge(&file, tensor, 0, 1.0);
            let failed = first_failure(folder.path());
            // In a batch, the last value is of the last sequence.
            let stage = failed.stage.trim_end_matches(", sequence 1");
            assert_eq!(stage, tensor, "{name}/{case}");
            let place = failed.values - 1;
            let told = difference(&failed).starts_with(&format!("at {place}: "));
            assert!(told, "{name}/{case} {tensor}: {failed:?}");
            std::fs::write(&file, &original).unwrap();
        }
        assert!(reports(folder.path()).iter().all(CaseReport::passed), "undone");
    }
}

#[test]
fn a_change_in_a_weight_fails_the_stage_that_uses_it_first() {
    let weights = [
        ("glm4v", "model.visual.patch_embed.proj.bias", "vision_patch_embed"),
        ("glm4v", "model.visual.embeddings.position_embedding.weight", "vision_with_positions"),
        ("glm4v", "model.visual.blocks.1.mlp.down_proj.weight", "vision_block_1"),
        ("glm4v", "model.visual.merger.down_proj.weight", "vision_embeddings"),
        ("glm4v", "model.language_model.layers.1.self_attn.q_proj.bias", "lm_layer_1"),
        ("glm4v", "lm_head.weight", "logits"),
        (
            "glm4v_moe",
            "model.language_model.layers.1.mlp.shared_experts.up_proj.weight",
            "lm_layer_1",
        ),
        (
            "glm4v_moe",
            "model.language_model.layers.2.mlp.gate.e_score_correction_bias",
            "lm_layer_2",
        ),
        ("glm_ocr", "model.visual.blocks.0.attn.q_norm.weight", "vision_block_0"),
        ("glm4v_9b", "transformer.vision.boi", "vision_embeddings"),
        ("glm4v_9b", "transformer.vision.conv.weight", "vision_conv"),
        ("glm", "model.layers.2.mlp.down_proj.weight", "layer_2"),
    ];
    for (name, weight, stage) in weights {
        let folder = copy(name, &[]);
        nudge(&folder.path().join("model.safetensors"), weight, 0, 2.0);
        let reports = reports(folder.path());
        // Some weights act in some cases only: the tower's where there are images.
        let failed = reports.iter().find(|case| !case.passed()).expect(weight);
        let failed = failed.stages.iter().find(|stage| !stage.passed).unwrap();
        assert_eq!(failed.stage.split(',').next(), Some(stage), "{name} {weight}");
    }
    // The layer for predicting further tokens is known, and has no part in this.
    let folder = copy("glm_ocr", &[]);
    let unused = "model.language_model.layers.2.mlp.down_proj.weight";
    nudge(&folder.path().join("model.safetensors"), unused, 0, 2.0);
    assert!(reports(folder.path()).iter().all(CaseReport::passed));
}

#[test]
fn a_changed_token_fails() {
    let fields: [(&str, &str, &str, &[&str]); 4] = [
        ("glm4v", "greedy_tokens", "greedy_tokens", &["text", "two_images", "video"]),
        ("glm4v", "input_ids", "prompt_ids", &["text", "two_images", "video"]),
        ("glm4v_9b", "greedy_tokens", "greedy_tokens", &["text", "two_turns", "system"]),
        ("glm4v_9b", "input_ids", "prompt_ids", &["text", "two_turns", "system"]),
    ];
    for (name, field, stage, others) in fields {
        let folder = copy(name, others);
        edit_json(&folder.path().join("one_image.json"), |case| case[field][3] = json!(1));
        let failed = first_failure(folder.path());
        assert_eq!(failed.stage, stage);
        assert!(difference(&failed).starts_with("at 3: "), "{failed:?}");
        assert!(difference(&failed).ends_with("the reference has Some(1)"), "{failed:?}");
    }
}

#[test]
fn pixels_may_differ_by_a_level_in_few_places() {
    let folder = copy("glm4v", &["text", "two_images", "video"]);
    let file = folder.path().join("one_image.safetensors");
    let level = 1.0 / 255.0 / 0.27577711; // of the blue channel, which is last in a patch
    let original = std::fs::read(&file).unwrap();
    nudge(&file, "pixel_values_pil", 5, 0.9 * level);
    assert!(reports(folder.path()).iter().all(CaseReport::passed), "within a level");
    nudge(&file, "pixel_values_pil", 5, 3.0 * level);
    assert_eq!(first_failure(folder.path()).stage, "pixel_values_pil");
    std::fs::write(&file, original).unwrap();
    edit_tensors(&file, |tensors| {
        let mut pixels = tensors["pixel_values"].clone();
        for place in 0..pixels.elem_count() / 500 {
            pixels = nudged(&pixels, place % 392, 0.9 * level);
        }
        tensors.insert("pixel_values".into(), pixels);
    });
    let failed = first_failure(folder.path());
    assert_eq!(failed.stage, "pixel_values");
    assert!(difference(&failed).contains("values are equal"), "{failed:?}");
}

#[test]
fn what_cannot_be_compared_fails_and_says_why() {
    let others = ["text", "two_images", "video"];
    let with = |edit: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let folder = copy("glm4v", &others);
        edit_tensors(&folder.path().join("one_image.safetensors"), edit);
        first_failure(folder.path())
    };
    let unknown = with(&|tensors| {
        let logits = tensors["logits"].clone();
        tensors.insert("lm_layer_7".into(), logits);
    });
    assert_eq!(unknown.stage, "lm_layer_7");
    assert!(difference(&unknown).contains("no stage"), "{unknown:?}");
    let missing = with(&|tensors| drop(tensors.remove("pixel_values")));
    assert!(difference(&missing).contains("no tensor `pixel_values`"), "{missing:?}");
    let misshapen = with(&|tensors| {
        let short = tensors["lm_layer_1"].narrow(2, 0, 5).unwrap().contiguous().unwrap();
        tensors.insert("lm_layer_1".into(), short);
    });
    assert_eq!(misshapen.stage, "lm_layer_1");
    assert!(difference(&misshapen).contains("shape"), "{misshapen:?}");
    let infinite = with(&|tensors| {
        let changed = nudged(&tensors["lm_layer_1"], 0, f64::INFINITY);
        tensors.insert("lm_layer_1".into(), changed);
    });
    assert!(difference(&infinite).contains("not finite"), "{infinite:?}");
}

#[test]
fn damaged_cases_fail_and_the_others_run() {
    let folder = copy("glm4v", &["video"]);
    std::fs::write(folder.path().join("one_image_0.png"), "no picture").unwrap();
    std::fs::write(folder.path().join("text.json"), "{").unwrap();
    let reports = reports(folder.path());
    let failed: Vec<_> = reports.iter().map(|case| case.passed()).collect();
    assert_eq!(failed, [false, false, true]);
    let first = |case: &CaseReport| case.stages.iter().find(|s| !s.passed).unwrap().clone();
    let (image, text) = (first(&reports[0]), first(&reports[1]));
    assert!(difference(&image).contains("one_image_0.png: not an image"), "{image:?}");
    assert!(difference(&text).contains("text.json"), "{text:?}");
    // Nothing of the case is passed over in silence.
    assert!(reports[0].stages.iter().any(|stage| stage.stage == "logits" && !stage.passed));
}

#[test]
fn changed_tables_fail_and_name_the_row() {
    type Change = (&'static str, &'static str, fn(&mut Value), &'static str);
    let changes: [Change; 3] = [
        ("smart_resize", "smart_resize.json", |t| t[7]["resized"][1] = json!(29), "2 frames of"),
        (
            "video_sampling Glm46V",
            "video_sampling.json",
            |t| t[45]["indices"][3] = json!(1),
            "at 3",
        ),
        ("resize", "resize.json", |t| drop(t.as_array_mut().unwrap().pop()), "held against"),
    ];
    for (stage, file, change, told) in changes {
        let folder = copy("tables", &[]);
        edit_json(&folder.path().join(file), change);
        let failed = first_failure(folder.path());
        assert_eq!(failed.stage, stage);
        assert!(difference(&failed).contains(told), "{failed:?}");
    }
    for (file, tensor, by) in [
        ("position_grid.safetensors", "sampled_4x6", 0.01),
        ("resize.safetensors", "pil_2", 100.0),
        ("resize.safetensors", "torchvision_0", -100.0),
    ] {
        let folder = copy("tables", &[]);
        nudge(&folder.path().join(file), tensor, 4, by);
        let failed = first_failure(folder.path());
        let (kind, index) = tensor.split_once('_').unwrap();
        assert!(failed.stage.contains(kind) && failed.stage.contains(index), "{failed:?}");
    }
}

#[test]
fn a_changed_character_of_a_template_fails() {
    let folder = copy("templates", &[]);
    let file = folder.path().join("glm-4.1v.json");
    edit_json(&file, |cases| {
        let text = cases[1]["text"].as_str().unwrap().replace("please", "pleased");
        cases[1]["text"] = json!(text);
    });
    let failed = first_failure(folder.path());
    assert_eq!(failed.stage, "system_two_images");
    assert!(difference(&failed).contains("please.<"), "{failed:?}");
    // A template that comes with the rendering is used in place of the built-in one.
    edit_json(&file, |cases| {
        let own = json!({"chat_template": "{{ messages[0].content }}!", "text": "Hi!"});
        for (field, value) in own.as_object().unwrap() {
            cases[4][field] = value.clone();
        }
    });
    assert_eq!(first_failure(folder.path()).stage, "system_two_images");
}

#[test]
fn folders_of_folders_run_and_what_cannot_load_is_told() {
    let all = TempDir::new().unwrap();
    let add = |name: &str, as_name: &str| {
        std::fs::rename(copy(name, &[]).keep(), all.path().join(as_name)).unwrap();
    };
    add("glm", "a_text_model");
    add("tables", "b_tables");
    add("glm4", "c_broken");
    std::fs::create_dir(all.path().join("d_other")).unwrap();
    edit_json(&all.path().join("c_broken/config.json"), |config| {
        config["model_type"] = json!("llama");
    });
    let reports = reports(all.path());
    let names: Vec<_> = reports.iter().map(|case| case.case.as_str()).collect();
    assert_eq!(names.len(), 3 + 4 + 1);
    assert_eq!((names[0], names[3]), ("a_text_model/batch_padded", "b_tables/smart_resize"));
    let broken = reports.last().unwrap();
    assert_eq!(broken.case, "c_broken");
    assert!(difference(&broken.stages[0]).contains("\"llama\" is not supported"));
    assert_eq!(reports.iter().filter(|case| !case.passed()).count(), 1);
}

#[test]
fn a_folder_without_references_is_an_error() {
    let none = TempDir::new().unwrap();
    let no_cases = copy("glm", &["batch_padded", "chat", "chinese"]);
    for folder in [none.path(), no_cases.path(), &none.path().join("missing")] {
        let result = run(folder, &LoadOptions::default(), &mut |_| ());
        assert!(matches!(result, Err(FusionError::Reference { .. })), "{result:?}");
    }
}

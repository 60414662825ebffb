//! llama.cpp's files of a small random GLM-5.3-Flash (`tests/fixtures/gguf`), against the checkpoint
//! that they were converted from and against what llama.cpp computes with them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "common/files.rs"]
mod files;

use candle_core::{DType, Device, Tensor};
use files::{fixture, load, near, refusal, stages};
use glm4v_fusion::{LoadOptions, Model, export, open_checkpoint};
use glm4v_weights::{BlockType, Checkpoint, StoredDtype, StoredType};

fn with_eyes() -> LoadOptions {
    LoadOptions { mmproj: Some(fixture("mmproj-glm5_next.gguf")), ..LoadOptions::default() }
}

/// All tensors by name, in f32.
fn tensors(checkpoint: &Checkpoint) -> Vec<(String, Tensor)> {
    let weights = checkpoint.weights(DType::F32, &Device::Cpu);
    let tensor = |name: &str, shape: &[usize]| weights.tensor(name, shape).unwrap();
    checkpoint.tensors().map(|info| (info.name.clone(), tensor(&info.name, &info.shape))).collect()
}

#[test]
fn every_tensor_is_the_checkpoints() {
    let written = tensors(&Checkpoint::open(fixture("glm5_next")).unwrap());
    let read = tensors(&open_checkpoint(&fixture("glm5_next.gguf"), &with_eyes()).unwrap());
    same(&read, &written);
}

fn same(read: &[(String, Tensor)], written: &[(String, Tensor)]) {
    assert_eq!(read.len(), written.len());
    for ((name, read), (expected, written)) in read.iter().zip(written) {
        assert_eq!((name, read.dims()), (expected, written.dims()));
        let distance = (read - written).unwrap().abs().unwrap().flatten_all().unwrap();
        let distance = distance.max(0).unwrap().to_scalar::<f32>().unwrap();
        // The file has `−e^A`, rounded.
        let bound = if name.ends_with("A_log") { 1e-6 } else { 0.0 };
        assert!(distance <= bound, "{name}: {distance}");
    }
}

#[test]
fn text_and_pictures_are_llama_cpps() {
    // Recorded with files in f32, where llama.cpp rounds no rows; the numbers are the same. It
    // rounds patches to f16 all the same: visual tokens move by 1.5e-3 of their size, and what
    // follows them by 7e-3.
    let (model, folder) = (load("glm5_next"), fixture("glm5_next"));
    near(&folder, &model, 1e-2);
    let text = stages(&folder, &model).into_iter().filter(|(case, _)| case.ends_with("/llama_cpp"));
    let errors: Vec<f64> = text.map(|(_, stage)| stage.max_relative_error).collect();
    assert!(errors.len() >= 4 && errors.iter().all(|error| *error < 1e-4), "{errors:?}");
}

#[test]
fn logits_in_blocks_are_near_llama_cpps() {
    let stages = stages(&fixture("glm5_next_q8_0"), &load("glm5_next_q8_0"));
    let ids = stages.iter().find(|(_, stage)| stage.stage == "prompt_ids").unwrap();
    assert!(ids.1.passed, "{ids:?}");
    let divergence = stages.iter().find_map(|(_, stage)| stage.divergence).unwrap();
    // Both round rows to 8 bits. That alone takes llama.cpp 8.8e-2 away from the file's numbers, as
    // a rounded row has the router choose another expert now and then; we are 5.8e-3 from it.
    assert!(divergence.kl < 2e-2 && divergence.top1 > 0.7, "{divergence:?}");
}

#[test]
fn the_only_projector_beside_the_file_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let projector = folder.path().join("mmproj.gguf");
    std::fs::copy(fixture("glm5_next.gguf"), &path).unwrap();
    let sees = || {
        let model = Model::load(path.to_str().unwrap(), &LoadOptions::default()).unwrap();
        model.info().vision
    };
    assert!(!sees());
    std::fs::copy(fixture("mmproj-glm_ocr.gguf"), &projector).unwrap();
    assert!(!sees());
    std::fs::copy(fixture("mmproj-glm5_next.gguf"), &projector).unwrap();
    assert!(sees());
    // Given by name, another family's projector is refused.
    let mmproj = Some(fixture("mmproj-glm_ocr.gguf"));
    let options = LoadOptions { mmproj, ..LoadOptions::default() };
    let error = open_checkpoint(&path, &options).unwrap_err().to_string();
    assert!(error.contains("mmproj-glm_ocr.gguf") && error.contains("\"glm5v\""), "{error}");
}

#[test]
fn what_is_written_is_what_is_read() {
    let checkpoint = Checkpoint::open(fixture("glm5_next")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    export(&checkpoint, &path("plain.gguf"), StoredType::Plain(StoredDtype::F32), &mut |_, _| ())
        .unwrap();
    let beside = LoadOptions { mmproj: Some(path("mmproj-plain.gguf")), ..LoadOptions::default() };
    let read = tensors(&open_checkpoint(&path("plain.gguf"), &beside).unwrap());
    // The layer that predicts further tokens is left out.
    let written = tensors(&checkpoint).into_iter();
    same(&read, &written.filter(|(name, _)| !name.contains("layers.4.")).collect::<Vec<_>>());
    let model = Model::load(path("plain.gguf").to_str().unwrap(), &beside).unwrap();
    near(&fixture("glm5_next"), &model, 1e-2);

    // In blocks it is what quantising while loading gives, but for the rounding of `−e^A`.
    let (blocks, quant) = (path("q8_0.gguf"), BlockType::Q8_0);
    export(&checkpoint, &blocks, quant, &mut |_, _| ()).unwrap();
    let options = LoadOptions { quant: Some(quant.into()), ..LoadOptions::default() };
    let loaded = Model::from_checkpoint(&checkpoint, "glm5_next", &options).unwrap();
    let exported = Model::load(blocks.to_str().unwrap(), &LoadOptions::default()).unwrap();
    assert!(exported.info().vision);
    let divergences = |model: &Model| -> Vec<f64> {
        let stages = stages(&fixture("glm5_next"), model).into_iter();
        stages.filter_map(|(_, stage)| Some(stage.divergence?.kl)).collect()
    };
    for (loaded, exported) in divergences(&loaded).into_iter().zip(divergences(&exported)) {
        assert!((loaded - exported).abs() < 0.05 * loaded + 1e-6, "{loaded} {exported}");
    }
}

#[test]
fn a_videos_limits_are_not_a_pictures() {
    let checkpoint = open_checkpoint(&fixture("glm5_next.gguf"), &with_eyes()).unwrap();
    let tokens = |file: &str| {
        let config: serde_json::Value = checkpoint.files().read_json(file).unwrap().unwrap();
        config.get("max_image_tokens").and_then(serde_json::Value::as_u64)
    };
    assert_eq!(tokens("preprocessor_config.json"), Some(6));
    assert_eq!(tokens("video_preprocessor_config.json"), None);
}

/// Where the value of a key is, behind its type.
fn value_of(file: &[u8], key: &str) -> usize {
    let length = (key.len() as u64).to_le_bytes();
    let key = [&length[..], key.as_bytes()].concat();
    file.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 4
}

/// The file without `key`: it has another one in its place.
fn without(file: &[u8], key: &str) -> Vec<u8> {
    let mut bytes = file.to_vec();
    bytes[value_of(file, key) - 5] = b'X';
    bytes
}

/// The file with other bytes, `skip` bytes into a key's value.
fn changed(file: &[u8], key: &str, skip: usize, value: [u8; 4]) -> Vec<u8> {
    let at = value_of(file, key) + skip;
    let mut bytes = file.to_vec();
    bytes[at..at + 4].copy_from_slice(&value);
    bytes
}

#[test]
fn missing_keys_are_named() {
    let good = std::fs::read(fixture("glm5_next.gguf")).unwrap();
    for key in [
        "block_count",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length_mla",
        "attention.value_length_mla",
        "attention.q_lora_rank",
        "attention.kv_lora_rank",
        "attention.indexer.head_count",
        "attention.indexer.key_length",
        "attention.indexer.top_k",
        "attention.indexer.kpool",
        "attention.layer_norm_rms_epsilon",
        "rope.dimension_count",
        "expert_count",
        "expert_feed_forward_length",
        "hyper_connection.count",
        "hyper_connection.sinkhorn_iterations",
        "hyper_connection.epsilon",
        "kda.head_dim",
        "ssm.conv_kernel",
        "swiglu_clamp_exp",
    ] {
        let key = format!("glm5-next.{key}");
        let error = refusal(&without(&good, &key));
        let told = format!("key `{key}` is missing");
        assert!(error.contains("damaged.gguf") && error.contains(&told), "{error}");
    }
}

#[test]
fn ill_values_are_named() {
    let good = std::fs::read(fixture("glm5_next.gguf")).unwrap();
    let (ten, eighth) = (10u32.to_le_bytes(), 0.125f32.to_le_bytes());
    // An array's values stand behind the type of its values and their number.
    let array = 12;
    for (key, skip, value, told) in [
        ("rope.dimension_count", 0, ten, "`glm5-next.rope.dimension_count` is 10, not 0"),
        ("block_count", 0, ten, "`glm5-next.attention.head_count_kv` is no list for 9 layers"),
        ("attention.layer_norm_epsilon", 0, eighth, "layer_norm_epsilon` is 0.125, not 0.000001"),
        ("expert_gating_func", 0, ten, "`glm5-next.expert_gating_func` is not 2"),
        ("swiglu_clamp_exp", array + 4, eighth, "swiglu_clamp_exp` is not the same everywhere"),
        ("swiglu_clamp_shexp", array, eighth, "swiglu_clamp_exp` is not the same everywhere"),
        ("attention.head_count_kv", array, ten, "layers.0.self_attn"),
        ("attention.indexer.top_k", 0, ten, "index_topk"),
        ("hyper_connection.count", 0, ten, "layers.0.hc_attn_fn"),
        ("kda.gate_lower_bound", 0, eighth, "linear_lower_bound"),
    ] {
        let error = refusal(&changed(&good, &format!("glm5-next.{key}"), skip, value));
        assert!(error.contains("damaged.gguf") && error.contains(told), "{key}: {error}");
    }
}

#[test]
fn what_a_projector_lacks_is_named() {
    let good = std::fs::read(fixture("mmproj-glm5_next.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mmproj = folder.path().join("damaged.gguf");
    for key in ["swiglu_clamp", "image_min_pixels", "image_max_pixels"] {
        let key = format!("clip.vision.{key}");
        std::fs::write(&mmproj, without(&good, &key)).unwrap();
        let options = LoadOptions { mmproj: Some(mmproj.clone()), ..LoadOptions::default() };
        let error = open_checkpoint(&fixture("glm5_next.gguf"), &options).unwrap_err().to_string();
        let told = format!("key `{key}` is missing");
        assert!(error.contains("damaged.gguf") && error.contains(&told), "{error}");
    }
}

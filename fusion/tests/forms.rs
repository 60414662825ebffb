//! Checkpoints in other forms than the goldens', made from the goldens' weights: the original
//! ChatGLM names for a text model, YaRN, and bf16.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use candle_core::{Device, Tensor};
use glm4v_fusion::parity::{CaseReport, run};
use glm4v_fusion::{
    CacheType, FloatType, GenerateOptions, LoadOptions, Model, Quantisation, export,
};
use glm4v_weights::{BlockType, Checkpoint};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

fn reports(folder: &Path, options: &LoadOptions) -> Vec<CaseReport> {
    let mut cases = Vec::new();
    run(folder, options, &mut |case| cases.push(case)).unwrap();
    cases
}

/// A folder with copies of all files of `from` but those named.
fn copy_of(from: &Path, without: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !without.contains(&name) {
            fs::copy(&path, folder.path().join(name)).unwrap();
        }
    }
    folder
}

/// The name in the original ChatGLM checkpoints; `None` for what they store with others.
fn chat_glm_name(name: &str) -> Option<String> {
    let layer = |rest: &str| {
        let (number, part) = rest.split_once('.')?;
        let part = match part {
            "self_attn.o_proj.weight" => "self_attention.dense.weight",
            "mlp.gate_up_proj.weight" => "mlp.dense_h_to_4h.weight",
            "mlp.down_proj.weight" => "mlp.dense_4h_to_h.weight",
            norm if norm.ends_with("layernorm.weight") => norm,
            _ => return None,
        };
        Some(format!("transformer.encoder.layers.{number}.{part}"))
    };
    match name {
        "model.embed_tokens.weight" => {
            Some("transformer.embedding.word_embeddings.weight".to_owned())
        }
        "model.norm.weight" => Some("transformer.encoder.final_layernorm.weight".to_owned()),
        "lm_head.weight" => Some("transformer.output_layer.weight".to_owned()),
        _ => layer(name.strip_prefix("model.layers.")?),
    }
}

#[test]
fn a_text_model_under_the_original_names_is_the_same_model() {
    for name in ["glm", "glm_1m"] {
        let from = fixtures("goldens").join(name);
        let folder = copy_of(&from, &["config.json", "model.safetensors"]);
        let text = fs::read_to_string(from.join("config.json")).unwrap();
        let old: Value = serde_json::from_str(&text).unwrap();
        let config = json!({
            "model_type": "chatglm", "hidden_size": old["hidden_size"],
            "num_layers": old["num_hidden_layers"],
            "num_attention_heads": old["num_attention_heads"], "multi_query_attention": true,
            "multi_query_group_num": old["num_key_value_heads"], "kv_channels": old["head_dim"],
            "ffn_hidden_size": old["intermediate_size"], "padded_vocab_size": old["vocab_size"],
            "seq_length": old["max_position_embeddings"],
            "layernorm_epsilon": old["rms_norm_eps"], "add_qkv_bias": true,
            "rope_ratio": old["rope_theta"].as_f64().unwrap() / 10000.0,
            "eos_token_id": old["eos_token_id"], "pad_token_id": old["pad_token_id"],
        });
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let tensors =
            candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
        let mut renamed: HashMap<String, Tensor> = HashMap::new();
        for (old_name, tensor) in &tensors {
            if let Some(new_name) = chat_glm_name(old_name) {
                renamed.insert(new_name, tensor.clone());
            }
        }
        for layer in 0..old["num_hidden_layers"].as_u64().unwrap() {
            for kind in ["weight", "bias"] {
                let part = |which: &str| {
                    tensors[&format!("model.layers.{layer}.self_attn.{which}_proj.{kind}")].clone()
                };
                let fused = Tensor::cat(&[part("q"), part("k"), part("v")], 0).unwrap();
                let prefix = format!("transformer.encoder.layers.{layer}.self_attention");
                renamed.insert(format!("{prefix}.query_key_value.{kind}"), fused);
            }
        }
        candle_core::safetensors::save(&renamed, folder.path().join("model.safetensors")).unwrap();
        let reports = reports(folder.path(), &LoadOptions::default());
        assert_eq!(reports.len(), 3, "{name}");
        for report in &reports {
            let failed: Vec<_> = report.stages.iter().filter(|stage| !stage.passed).collect();
            assert!(failed.is_empty(), "{name}: {failed:#?}");
        }
    }
}

#[test]
fn yarn_gives_the_references_logits_beyond_the_trained_length() {
    let folder = copy_of(&fixtures("yarn"), &["frequencies.json"]);
    for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(fixtures("goldens/glm4").join(file), folder.path().join(file)).unwrap();
    }
    let reports = reports(folder.path(), &LoadOptions::default());
    let [report] = reports.as_slice() else { panic!("{reports:#?}") };
    assert!(report.passed(), "{report:#?}");
    assert!(report.stages.iter().any(|stage| stage.stage.starts_with("logits")));
}

/// In bf16 the logits of a family are as near to those of f32 as the reference's are in bf16, within
/// a factor of two over its cases, at worst and on the whole: both round the same numbers, in another
/// order.
#[test]
fn bf16_is_as_near_as_the_reference_in_bf16() {
    let text = fs::read_to_string(fixtures("bf16/reference_error.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let options = LoadOptions { dtype: Some(FloatType::Bf16), ..LoadOptions::default() };
    for (name, cases) in reference.as_object().unwrap() {
        let bound = |error: &str| {
            let of_cases = cases.as_object().unwrap().values();
            2.0 * of_cases.map(|case| case[error].as_f64().unwrap()).fold(0.0, f64::max)
        };
        for report in reports(&fixtures("goldens").join(name), &options) {
            let case = report.case.rsplit('/').next().unwrap();
            assert!(cases.get(case).is_some(), "{name}/{case}");
            let stages = report.stages.iter().filter(|stage| stage.stage.starts_with("logits"));
            let stages: Vec<_> = stages.collect();
            assert!(!stages.is_empty(), "{name}/{case}");
            for stage in stages {
                let errors = [(stage.max_error, bound("max")), (stage.rms_error, bound("rms"))];
                for (error, bound) in errors {
                    assert!(error > 0.0 && error <= bound, "{name}/{case}: {error} of {bound}");
                }
            }
        }
    }
}

/// The root mean square of the reference's errors in bf16, on average over a model's cases.
fn bf16_rms(name: &str) -> f64 {
    let text = fs::read_to_string(fixtures("bf16/reference_error.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let cases = reference[name].as_object().unwrap();
    cases.values().map(|case| case["rms"].as_f64().unwrap()).sum::<f64>() / cases.len() as f64
}

/// An 8-bit cache moves log-probabilities by little, on every golden text model.
#[test]
fn an_eight_bit_cache_is_near_the_exact_one() {
    for name in ["glm", "glm_1m", "glm4", "glm4v", "glm4v_moe", "glm5_next"] {
        let folder = fixtures("goldens").join(name);
        let scores = |cache_type| {
            let options = LoadOptions { cache_type, ..LoadOptions::default() };
            let model = Model::load(folder.to_str().unwrap(), &options).unwrap();
            let options = GenerateOptions {
                temperature: Some(0.0),
                max_tokens: Some(1),
                ..GenerateOptions::default()
            };
            let answer = model.ask(&[], "What is in table 7 on page 12?", &options).unwrap();
            (answer.tokens.clone(), answer.usage.prompt)
        };
        let (exact, rounded) = (scores(CacheType::Float), scores(CacheType::Int8));
        assert_eq!(exact.1, rounded.1);
        for (exact, rounded) in exact.0.iter().zip(&rounded.0) {
            assert_eq!(exact.id, rounded.id, "{name}");
            let difference = (exact.log_probability - rounded.log_probability).abs();
            assert!(difference > 0.0 && difference < 0.1, "{name}: {difference}");
        }
    }
}

/// A GGUF file that asks for a scaling of positions which we don't compute is refused by the key,
/// where llama.cpp would compute other logits than we did.
#[test]
fn scalings_of_positions_that_gguf_asks_for_are_followed_or_refused() {
    let folder = copy_of(&fixtures("yarn"), &["frequencies.json"]);
    for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(fixtures("goldens/glm4").join(file), folder.path().join(file)).unwrap();
    }
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let path = folder.path().join("scaled.gguf");
    export(&checkpoint, &path, BlockType::Q8_0, &mut |_, _| ()).unwrap();
    let good = fs::read(&path).unwrap();
    let load = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Model::load(path.to_str().unwrap(), &LoadOptions::default())
            .map(|model| model.info().context_length)
            .map_err(|error| error.to_string())
    };
    let replaced = |from: &str, to: &str| {
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|found| found == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let (yarn, none) = ("\x04\0\0\0\0\0\0\0yarn", "\x04\0\0\0\0\0\0\0none");
    assert_eq!(load(&good).unwrap(), 128);
    assert!(load(&replaced(yarn, none)).is_ok());
    assert!(load(&with_number(&good, "glm4.rope.scaling.attn_factor", 1.0)).is_ok());
    for (bytes, told) in [
        (replaced(yarn, "\x04\0\0\0\0\0\0\0ntkx"), "rope.scaling.type"),
        // Without a type the factor divides positions.
        (replaced("scaling.type", "scaling.kind"), "rope.scaling.factor"),
        (with_number(&good, "glm4.rope.scaling.attn_factor", 1.5), "attn_factor"),
        (with_number(&good, "glm4.rope.scaling.yarn_ext_factor", 0.0), "yarn_ext_factor"),
        (with_number(&good, "glm4.rope.scaling.yarn_log_multiplier", 0.1), "yarn_log_multiplier"),
    ] {
        let error = load(&bytes).unwrap_err();
        assert!(error.contains("scaled.gguf") && error.contains(told), "{error}");
    }
}

/// A GGUF file with one number more in its metadata, and a pair that fills up to 32 bytes, in which
/// tensors are aligned.
fn with_number(file: &[u8], key: &str, value: f32) -> Vec<u8> {
    const F32: u32 = 6;
    const U8: u32 = 0;
    let pair = |key: &str, kind: u32, value: &[u8]| {
        [&(key.len() as u64).to_le_bytes()[..], key.as_bytes(), &kind.to_le_bytes(), value].concat()
    };
    let mut pairs = pair(key, F32, &value.to_le_bytes());
    let fill = (pairs.len() + 13 + 1).next_multiple_of(32) - pairs.len() - 13;
    pairs.extend(pair(&"x".repeat(fill), U8, &[0]));
    let count = u64::from_le_bytes(file[16..24].try_into().unwrap()) + 2;
    [&file[..16], &count.to_le_bytes(), &pairs, &file[24..]].concat()
}

/// What rounding to a type may cost, from the type's own step.
///
/// The largest of 32 random numbers is 2.4 times their deviation, of 256 3.0 times, and 32 span 4.1
/// times. So the step is `2.4 / 2^(bits-1)`, or `4.1 / (2^bits - 1)` where a block has a least value
/// too, and `step^2 / 12` the mean square of a uniform error; what is multiplied is rounded to 8
/// bits as well. Each of 40 matrices in a row adds that share of the numbers' square, so logits of
/// deviation 2 move by `160 error` in square, and half of that is the divergence. The bound is four
/// times as much, for norms amplify, and twelve times with experts, of which a rounded number may
/// choose another; and at most 1, a quarter of what parts two unrelated distributions like these.
/// GLM-5.3-Flash chooses keys besides: there the bound is as many times larger than without choices as
/// the reference's mean square error in bf16 is, and at most 2.
#[test]
fn quantised_models_stay_within_the_bounds_of_their_types() {
    let step = |width: f64, levels: f64| (width / levels).powi(2) / 12.0;
    let bytes = step(2.4, 127.0);
    for (quant, error) in [
        (Quantisation::Int8, 2.0 * step(3.0, 127.0) - bytes),
        (BlockType::Q8_0.into(), bytes),
        (BlockType::Q5_1.into(), step(4.1, 31.0)),
        (BlockType::Q5_0.into(), step(2.4, 16.0)),
        (BlockType::Q4_1.into(), step(4.1, 15.0)),
        (BlockType::Q4_0.into(), step(2.4, 8.0)),
    ] {
        let options = LoadOptions { quant: Some(quant), ..LoadOptions::default() };
        let names = ["glm", "glm_1m", "glm4", "glm4v", "glm46v", "glm4v_9b", "glm_ocr"];
        for name in names.into_iter().chain(["glm4v_moe", "glm46v_moe", "glm5_next"]) {
            let (times, most) = match name {
                "glm5_next" => (4.0 * (bf16_rms("glm5_next") / bf16_rms("glm4v")).powi(2), 2.0),
                name if name.ends_with("_moe") => (12.0, 1.0),
                _ => (4.0, 1.0),
            };
            let bound = f64::min(times * 80.0 * (error + bytes), most);
            let (mut rows, mut sum) = (0, 0.0);
            for report in reports(&fixtures("goldens").join(name), &options) {
                let stages = report.stages.iter().filter(|stage| stage.stage == "logits");
                for found in stages.filter_map(|stage| stage.divergence) {
                    rows += found.rows;
                    sum += found.kl * found.rows as f64;
                }
            }
            let mean = sum / rows as f64;
            assert!(
                rows > 10 && mean > 0.0 && mean <= bound,
                "{name} {quant:?}: {mean} of {bound}"
            );
        }
    }
}

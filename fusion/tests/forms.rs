//! Checkpoints in other forms than the goldens', made from the goldens' weights: the original
//! ChatGLM names for a text model, YaRN, and bf16.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use candle_core::{Device, Tensor};
use glm4v_fusion::parity::{CaseReport, run};
use glm4v_fusion::{CacheType, FloatType, GenerateOptions, LoadOptions, Model};
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
/// a factor of two over its cases: both round the same numbers, in another order.
#[test]
fn bf16_is_as_near_as_the_reference_in_bf16() {
    let text = fs::read_to_string(fixtures("bf16/reference_error.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let options = LoadOptions { dtype: Some(FloatType::Bf16), ..LoadOptions::default() };
    for (name, cases) in reference.as_object().unwrap() {
        let largest = cases.as_object().unwrap().values().map(|case| case["max"].as_f64().unwrap());
        let bound = 2.0 * largest.fold(0.0, f64::max);
        for report in reports(&fixtures("goldens").join(name), &options) {
            let case = report.case.rsplit('/').next().unwrap();
            let stages = report.stages.iter().filter(|stage| stage.stage.starts_with("logits"));
            let errors: Vec<f64> = stages.map(|stage| stage.max_error).collect();
            assert!(!errors.is_empty(), "{name}/{case}");
            for error in errors {
                assert!(error > 0.0 && error <= bound, "{name}/{case}: {error} of {bound}");
            }
        }
    }
}

/// An 8-bit cache moves log-probabilities by little, on every golden text model.
#[test]
fn an_eight_bit_cache_is_near_the_exact_one() {
    for name in ["glm", "glm_1m", "glm4", "glm4v", "glm4v_moe"] {
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

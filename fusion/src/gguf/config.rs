//! The small files of a Hugging Face folder, made from a GGUF file's metadata.

use super::vocabulary::Vocabulary;
use super::{Architecture, Text, bad, glm5_next, json_number, number, shortest};
use crate::FusionError;
use glm4v_weights::{Gguf, GgufValue};
use serde_json::{Value, json};

/// The published limits on an image's pixels, which GGUF has no place for: GLM-4.1V's and
/// GLM-OCR's `preprocessor_config.json`.
const PIXEL_LIMITS: (u64, u64) = (12_544, 9_633_792);

/// `config.json`.
pub(super) fn config(
    text: &Text<'_>,
    projector: Option<&Gguf>,
    vocabulary: &Vocabulary<'_>,
) -> Result<Value, FusionError> {
    let mut config = match text.model_type {
        "chatglm" => chat_glm(text)?,
        "glm5_next" => glm5_next::text_config(text)?,
        _ => text_config(text)?,
    };
    let sees = matches!(text.architecture, Architecture::Glm4Moe | Architecture::Glm5Next);
    if text.sections.is_some() || sees {
        config = json!({
            "image_token_id": vocabulary.id("<|image|>"),
            "video_token_id": vocabulary.id("<|video|>"),
            "image_start_token_id": vocabulary.id("<|begin_of_image|>"),
            "image_end_token_id": vocabulary.id("<|end_of_image|>"),
            "tie_word_embeddings": config["tie_word_embeddings"],
            "text_config": config,
        });
    }
    config["model_type"] = text.model_type.into();
    config["eos_token_id"] = vocabulary.end_ids(text.gguf).into();
    if let Some(projector) = projector {
        config["vision_config"] = vision_config(projector)?;
        if text.architecture == Architecture::Glm5Next {
            glm5_next::tower(projector, &mut config["vision_config"])?;
        }
    }
    Ok(config)
}

fn text_config(text: &Text<'_>) -> Result<Value, FusionError> {
    // Half a channel more, so that the product with the head's width is not rounded down.
    let share = (text.rotated as f64 + 0.5) / text.head_dim as f64;
    let mut config = json!({
        "hidden_size": text.number("embedding_length")?,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.number("attention.head_count")?,
        "num_key_value_heads": text.number("attention.head_count_kv")?,
        "head_dim": text.head_dim,
        "intermediate_size": text.number("feed_forward_length")?,
        "vocab_size": vocab_size(text.gguf)?,
        "max_position_embeddings": text.number("context_length")?,
        "rms_norm_eps": epsilon(text)?,
        "attention_bias": text.gguf.tensor("blk.0.attn_q.bias").is_some(),
        "tie_word_embeddings": text.gguf.tensor("output.weight").is_none(),
        "rope_parameters": {
            "rope_type": rope_type(text)?,
            "rope_theta": rope_base(text),
            "partial_rotary_factor": share,
            "mrope_section": text.sections,
            "factor": json_number(text.gguf, &text.key("rope.scaling.factor")),
            "original_max_position_embeddings":
                json_number(text.gguf, &text.key("rope.scaling.original_context_length")),
            "beta_fast": json_number(text.gguf, &text.key("rope.scaling.yarn_beta_fast")),
            "beta_slow": json_number(text.gguf, &text.key("rope.scaling.yarn_beta_slow")),
        },
    });
    if text.architecture == Architecture::Glm4Moe {
        experts(text, &mut config)?;
    }
    Ok(config)
}

/// What experts there are, for a decoder that has some.
pub(super) fn experts(text: &Text<'_>, config: &mut Value) -> Result<(), FusionError> {
    let optional = |key: &str, otherwise: usize| match text.get(key) {
        Some(_) => text.number(key),
        None => Ok(otherwise),
    };
    // 2 is sigmoid, which all models of the family have.
    if optional("expert_gating_func", 2)? != 2 {
        let key = text.key("expert_gating_func");
        return Err(bad(text.gguf, format!("key `{key}` is not 2, sigmoid")));
    }
    config["first_k_dense_replace"] = optional("leading_dense_block_count", 0)?.into();
    config["moe_intermediate_size"] = text.number("expert_feed_forward_length")?.into();
    config["n_routed_experts"] = text.number("expert_count")?.into();
    config["n_shared_experts"] = optional("expert_shared_count", 1)?.into();
    config["num_experts_per_tok"] = text.number("expert_used_count")?.into();
    config["n_group"] = optional("expert_group_count", 1)?.into();
    config["topk_group"] = optional("expert_group_used_count", 1)?.into();
    let normed = text.get("expert_weights_norm").and_then(GgufValue::as_bool);
    config["norm_topk_prob"] = normed.unwrap_or(false).into();
    let scale = text.get("expert_weights_scale").and_then(GgufValue::as_f64);
    config["routed_scaling_factor"] = scale.unwrap_or(1.0).into();
    Ok(())
}

/// `config.json` of the original ChatGLM checkpoints, whose queries, keys and values are fused.
fn chat_glm(text: &Text<'_>) -> Result<Value, FusionError> {
    if 2 * text.rotated != text.head_dim {
        let reason =
            format!("{} of a head's {} channels turn, not half", text.rotated, text.head_dim);
        return Err(bad(text.gguf, reason));
    }
    if rope_type(text)? != "default" {
        let reason = "scales positions, which GLM-4's original checkpoints do not";
        return Err(bad(text.gguf, reason.to_owned()));
    }
    Ok(json!({
        "hidden_size": text.number("embedding_length")?,
        "num_layers": text.layers,
        "num_attention_heads": text.number("attention.head_count")?,
        "multi_query_attention": true,
        "multi_query_group_num": text.number("attention.head_count_kv")?,
        "kv_channels": text.head_dim,
        "ffn_hidden_size": text.number("feed_forward_length")?,
        "padded_vocab_size": vocab_size(text.gguf)?,
        "seq_length": text.number("context_length")?,
        "layernorm_epsilon": epsilon(text)?,
        "add_qkv_bias": text.gguf.tensor("blk.0.attn_qkv.bias").is_some(),
        "rope_ratio": rope_base(text) / 10000.0,
        "tie_word_embeddings": text.gguf.tensor("output.weight").is_none(),
    }))
}

/// `vision_config` of `config.json`.
fn vision_config(projector: &Gguf) -> Result<Value, FusionError> {
    let number = |key: &str| number(projector, &format!("clip.vision.{key}"));
    let merge = match projector.get("clip.vision.spatial_merge_size") {
        Some(_) => number("spatial_merge_size")?,
        None => 2,
    };
    let epsilon = projector
        .require("clip.vision.attention.layer_norm_epsilon", GgufValue::as_f64)
        .map(|epsilon| shortest(epsilon as f32))?;
    Ok(json!({
        "depth": number("block_count")?,
        "hidden_size": number("embedding_length")?,
        "num_heads": number("attention.head_count")?,
        "out_hidden_size": number("projection_dim")?,
        "intermediate_size": number("feed_forward_length")?,
        "image_size": number("image_size")?,
        "patch_size": number("patch_size")?,
        "spatial_merge_size": merge,
        "rms_norm_eps": epsilon,
        "attention_bias": projector.tensor("v.blk.0.attn_qkv.bias").is_some(),
    }))
}

/// `preprocessor_config.json`.
pub(super) fn preprocessor(
    text: &Text<'_>,
    projector: &Gguf,
    vocabulary: &Vocabulary<'_>,
) -> Result<Value, FusionError> {
    let numbers = |key: &str| -> Result<Vec<f64>, FusionError> {
        let values = projector.require(key, GgufValue::as_array)?;
        Ok(values
            .iter()
            .filter_map(GgufValue::as_f64)
            .map(|value| shortest(value as f32))
            .collect())
    };
    // The generation that can switch thinking off tells times in another way.
    let processor = match vocabulary.id("/nothink") {
        Some(_) => "Glm46VProcessor",
        None => "Glm4vProcessor",
    };
    let mut config = json!({
        "processor_class": processor,
        "size": { "shortest_edge": PIXEL_LIMITS.0, "longest_edge": PIXEL_LIMITS.1 },
        "image_mean": numbers("clip.vision.image_mean")?,
        "image_std": numbers("clip.vision.image_std")?,
        "patch_size": number(projector, "clip.vision.patch_size")?,
    });
    if text.architecture == Architecture::Glm5Next {
        let (least, most) = glm5_next::image_tokens(projector)?;
        config["processor_class"] = "Glm5NextProcessor".into();
        config["merge_size"] = number(projector, "clip.vision.spatial_merge_size")?.into();
        config["min_image_tokens"] = least.into();
        config["max_image_tokens"] = most.into();
    }
    Ok(config)
}

/// `generation_config.json`: the converter writes what the checkpoint's makers recommend.
pub(super) fn generation(gguf: &Gguf) -> Value {
    let sampling = |name: &str| json_number(gguf, &format!("general.sampling.{name}"));
    let drawn = gguf.metadata().any(|(key, _)| key.starts_with("general.sampling."));
    json!({
        "do_sample": drawn,
        "temperature": sampling("temp"),
        "top_k": sampling("top_k"),
        "top_p": sampling("top_p"),
        "min_p": sampling("min_p"),
        "repetition_penalty": sampling("penalty_repeat"),
    })
}

pub(super) fn epsilon(text: &Text<'_>) -> Result<f64, FusionError> {
    let key = text.key("attention.layer_norm_rms_epsilon");
    Ok(shortest(text.gguf.require(&key, GgufValue::as_f64)? as f32))
}

fn rope_base(text: &Text<'_>) -> f64 {
    text.get("rope.freq_base").and_then(GgufValue::as_f64).unwrap_or(10000.0)
}

/// `default` where the file asks for no scaling of positions, or `yarn`.
///
/// What llama.cpp makes of the keys (`llama-model.cpp` and `llama-context.cpp`): without a type
/// positions are divided by the factor, where there is one other than 0 and 1; with `yarn` the
/// length before scaling is the context's where it is not said, and attention is scaled by the
/// factor alone unless `attn_factor`, `yarn_ext_factor` or `yarn_log_multiplier` ask for more.
fn rope_type(text: &Text<'_>) -> Result<&'static str, FusionError> {
    let scaling = |key: &str| text.get(&format!("rope.scaling.{key}"));
    let asks = |key: &str, nothing: &[f64]| {
        let value = scaling(key).and_then(GgufValue::as_f64);
        value.is_some_and(|value| !nothing.contains(&value))
    };
    let refuse = |key: &str| {
        let key = text.key(&format!("rope.scaling.{key}"));
        let reason = "asks for a scaling of positions that is not supported, only YaRN as \
                      transformers has it";
        Err(bad(text.gguf, format!("key `{key}` {reason}")))
    };
    match scaling("type").and_then(GgufValue::as_text) {
        Some("none") => Ok("default"),
        None | Some("linear") if asks("factor", &[0.0, 1.0]) => refuse("factor"),
        None | Some("linear") => Ok("default"),
        Some("yarn") => {
            let more =
                [("attn_factor", 1.0), ("yarn_ext_factor", 1.0), ("yarn_log_multiplier", 0.0)];
            match more.into_iter().find(|&(key, nothing)| asks(key, &[nothing])) {
                Some((key, _)) => refuse(key),
                None => Ok("yarn"),
            }
        }
        Some(_) => refuse("type"),
    }
}

/// Rows of the embedding table.
pub(super) fn vocab_size(gguf: &Gguf) -> Result<usize, FusionError> {
    let table = gguf.tensor("token_embd.weight").and_then(|entry| entry.shape.first());
    table.copied().ok_or_else(|| bad(gguf, "tensor `token_embd.weight` is missing".to_owned()))
}

//! What is other in llama.cpp's files of GLM-5.3-Flash, architecture `glm5-next` with projectors of
//! type `glm5v`.
//!
//! Source of keys and tensors: `conversion/glm.py` and `conversion/qwen3vl.py`, which write them, and
//! `src/models/glm5-next.cpp` and `tools/mtmd/clip.cpp`, which read them.

use super::config::{epsilon, experts, vocab_size};
use super::tensors::look_up;
use super::{Text, bad, json_number, number, shortest};
use crate::FusionError;
use glm4v_language::Glm5NextTextConfig;
use glm4v_weights::{Gguf, GgufValue, Take};
use serde::Deserialize;
use serde_json::{Value, json};

/// The epsilon of the norm of the indexer's keys. The model's own configuration has none.
pub(super) const KEY_NORM_EPSILON: f64 = 1e-6;

/// Modules below `blk.N.` and what they are below `layers.N.`, beside those of all architectures.
pub(super) const LAYER: &[(&str, &str)] = &[
    ("ssm_f_a", "self_attn.f_a_proj"),
    ("ssm_f_b", "self_attn.f_b_proj"),
    ("ssm_g_a", "self_attn.g_a_proj"),
    ("ssm_g_b", "self_attn.g_b_proj"),
    ("ssm_beta", "self_attn.b_proj"),
    ("ssm_norm", "self_attn.o_norm"),
    ("attn_q_a", "self_attn.q_a_proj"),
    ("attn_q_a_norm", "self_attn.q_a_layernorm"),
    ("attn_q_b", "self_attn.q_b_proj"),
    ("attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"),
    ("attn_kv_a_norm", "self_attn.kv_a_layernorm"),
    ("indexer.k_norm", "self_attn.indexer.k_norm"),
    ("indexer.attn_k", "self_attn.indexer.wk"),
    ("indexer.attn_q_b", "self_attn.indexer.wq_b"),
    ("indexer.proj", "self_attn.indexer.weights_proj"),
];

/// Tensors below `blk.N.` that are no module's weight in the checkpoint.
pub(super) const PARAMETERS: &[(&str, &str)] = &[
    ("hc_attn_fn.weight", "hc_attn_fn"),
    ("hc_attn_base.weight", "hc_attn_base"),
    ("hc_attn_scale.weight", "hc_attn_scale"),
    ("hc_ffn_fn.weight", "hc_ffn_fn"),
    ("hc_ffn_base.weight", "hc_ffn_base"),
    ("hc_ffn_scale.weight", "hc_ffn_scale"),
    ("ssm_dt.bias", "self_attn.dt_bias"),
    ("indexer_compressor_gate.weight", "self_attn.indexer.index_kpool_compress_gate"),
    ("indexer_compressor_ape.weight", "self_attn.indexer.index_kpool_compress_ape"),
];

/// `text_config`.
pub(super) fn text_config(text: &Text<'_>) -> Result<Value, FusionError> {
    let rotated = text.number("rope.dimension_count")?;
    if rotated != 0 {
        return Err(wrong(text, "rope.dimension_count", format!("{rotated}, not 0")));
    }
    if let Some(found) = text.get("attention.layer_norm_epsilon").and_then(GgufValue::as_f64)
        && shortest(found as f32) != KEY_NORM_EPSILON
    {
        let reason = format!("{found}, not {KEY_NORM_EPSILON}");
        return Err(wrong(text, "attention.layer_norm_epsilon", reason));
    }
    let linear = per_layer(text, "attention.head_count_kv", GgufValue::as_usize)?;
    let linear = linear.into_iter().map(|heads| heads == 0);
    let layer_types = linear.map(|is| if is { "linear_attention" } else { "indexed_attention" });
    let mut config = json!({
        "hidden_size": text.number("embedding_length")?,
        "intermediate_size": text.number("feed_forward_length")?,
        "num_hidden_layers": text.layers,
        "num_attention_heads": text.number("attention.head_count")?,
        "vocab_size": vocab_size(text.gguf)?,
        "max_position_embeddings": text.number("context_length")?,
        "rms_norm_eps": epsilon(text)?,
        "tie_word_embeddings": text.gguf.tensor("output.weight").is_none(),
        "layer_types": layer_types.collect::<Vec<_>>(),
        "swiglu_limit": swiglu_limit(text)?,
        "linear_num_heads": text.number("attention.head_count")?,
        "linear_head_dim": text.number("kda.head_dim")?,
        "linear_conv_kernel_dim": text.number("ssm.conv_kernel")?,
        // Without the key there is no bound, as llama.cpp reads it.
        "linear_lower_bound": json_number(text.gguf, &text.key("kda.gate_lower_bound")),
        "q_lora_rank": text.number("attention.q_lora_rank")?,
        "kv_lora_rank": text.number("attention.kv_lora_rank")?,
        "qk_rope_head_dim": 0,
        "qk_nope_head_dim": text.number("attention.key_length_mla")?,
        "v_head_dim": text.number("attention.value_length_mla")?,
        "hc_mult": text.number("hyper_connection.count")?,
        "hc_sinkhorn_iters": text.number("hyper_connection.sinkhorn_iterations")?,
        "hc_eps": float(text, "hyper_connection.epsilon")?,
    });
    indexer(text, &mut config)?;
    experts(text, &mut config)?;
    let dense = config["first_k_dense_replace"].as_u64().unwrap_or(0);
    let layers = 0..text.layers as u64;
    config["mlp_layer_types"] =
        layers.map(|layer| if layer < dense { "dense" } else { "sparse" }).collect();
    check(text, &config)?;
    Ok(config)
}

/// Checks that the numbers fit one another, here, where the file is known that has them.
fn check(text: &Text<'_>, config: &Value) -> Result<(), FusionError> {
    let read = Glm5NextTextConfig::deserialize(config).map_err(|error| error.to_string());
    let decoder = read.and_then(|read| read.decoder(None).map_err(|error| error.to_string()));
    let wrong =
        |reason| bad(text.gguf, format!("as the configuration that its keys make: {reason}"));
    decoder.map(|_| ()).map_err(wrong)
}

/// What chooses the keys of latent attention.
fn indexer(text: &Text<'_>, config: &mut Value) -> Result<(), FusionError> {
    const TYPES: &str = "attention.indexer.types";
    const TAIL: &str = "attention.indexer.kpool_select_tail";
    config["index_n_heads"] = text.number("attention.indexer.head_count")?.into();
    config["index_head_dim"] = text.number("attention.indexer.key_length")?.into();
    config["index_topk"] = text.number("attention.indexer.top_k")?.into();
    config["index_kpool"] = text.number("attention.indexer.kpool")?.into();
    config["index_kpool_always_select_tail"] = match text.get(TAIL) {
        Some(_) => text.gguf.require(&text.key(TAIL), GgufValue::as_bool)?.into(),
        None => true.into(),
    };
    let full = match text.get(TYPES) {
        Some(_) => per_layer(text, TYPES, GgufValue::as_bool)?,
        None => vec![true; text.layers],
    };
    config["indexer_types"] =
        full.into_iter().map(|full| if full { "full" } else { "shared" }).collect();
    Ok(())
}

/// The one limit of all MLPs. The file has one for each layer's experts, and one for its shared
/// expert or its dense MLP.
fn swiglu_limit(text: &Text<'_>) -> Result<f64, FusionError> {
    const EXPERTS: &str = "swiglu_clamp_exp";
    const OTHERS: &str = "swiglu_clamp_shexp";
    let mut limits = per_layer(text, EXPERTS, GgufValue::as_f64)?;
    if text.get(OTHERS).is_some() {
        limits.extend(per_layer(text, OTHERS, GgufValue::as_f64)?);
    }
    let first = limits.first().copied().unwrap_or_default();
    if limits.iter().any(|&limit| limit != first) {
        return Err(wrong(text, EXPERTS, format!("not the same everywhere: {limits:?}")));
    }
    Ok(shortest(first as f32))
}

/// The values of a key that has a list with one for each layer, and maybe for those that predict
/// further tokens.
fn per_layer<T>(
    text: &Text<'_>,
    key: &str,
    read: impl Fn(&GgufValue) -> Option<T>,
) -> Result<Vec<T>, FusionError> {
    let values = text.gguf.require(&text.key(key), GgufValue::as_array)?;
    let values: Option<Vec<T>> =
        values.get(..text.layers).and_then(|values| values.iter().map(read).collect());
    values.ok_or_else(|| wrong(text, key, format!("no list for {} layers", text.layers)))
}

fn float(text: &Text<'_>, key: &str) -> Result<f64, FusionError> {
    Ok(shortest(text.gguf.require(&text.key(key), GgufValue::as_f64)? as f32))
}

fn wrong(text: &Text<'_>, key: &str, reason: String) -> FusionError {
    bad(text.gguf, format!("key `{}` is {reason}", text.key(key)))
}

/// What the tower's configuration has beside that of other towers.
pub(super) fn tower(projector: &Gguf, config: &mut Value) -> Result<(), FusionError> {
    let limit = projector.require("clip.vision.swiglu_clamp", GgufValue::as_f64)?;
    let up = projector.tensor("mm.up.weight").and_then(|entry| entry.shape.first());
    let width = up.ok_or_else(|| bad(projector, "tensor `mm.up.weight` is missing".to_owned()))?;
    config["swiglu_limit"] = shortest(limit as f32).into();
    config["projection_intermediate_size"] = (*width).into();
    Ok(())
}

/// The least and the most visual tokens of a picture, which the file tells in pixels.
pub(super) fn image_tokens(projector: &Gguf) -> Result<(usize, usize), FusionError> {
    let number = |key: &str| number(projector, &format!("clip.vision.{key}"));
    let side = number("patch_size")?.saturating_mul(number("spatial_merge_size")?);
    let pixels = side.saturating_mul(side).max(1);
    Ok((number("image_min_pixels")?.div_ceil(pixels), number("image_max_pixels")? / pixels))
}

/// `video_preprocessor_config.json`, from that for pictures: a video's limits are others, and are
/// not in the file.
pub(super) fn video_preprocessor(mut pictures: Value) -> Value {
    if let Some(fields) = pictures.as_object_mut() {
        fields.remove("min_image_tokens");
        fields.remove("max_image_tokens");
    }
    pictures
}

/// Which of the checkpoint's tensors, below `layers.N.`, come from the tensor `blk.N.rest` of
/// `shape`, and in which form. `None` for those that other architectures have too.
pub(super) fn layer_tensors(
    layer: usize,
    rest: &str,
    shape: &[usize],
) -> Option<Vec<(String, Take)>> {
    let one = |name: &str, take: Take| Some(vec![(name.to_owned(), take)]);
    match rest {
        "ssm_a" => return one("self_attn.A_log", Take::LogOfNegative),
        "attn_k_b.weight" => {
            let values = format!("blk.{layer}.attn_v_b.weight");
            return one("self_attn.kv_b_proj.weight", Take::KeysAndValues(values));
        }
        // Taken with the keys.
        "attn_v_b.weight" => return Some(Vec::new()),
        _ => {}
    }
    if let Some(name) = look_up(PARAMETERS, rest) {
        return one(name, Take::Whole);
    }
    let (module, end) = rest.rsplit_once('.')?;
    if let Some(which) = module.strip_prefix("ssm_conv1d_") {
        let kernel = *shape.last()?;
        let channels = shape.iter().product::<usize>().checked_div(kernel)?;
        let name = format!("self_attn.{which}_conv1d.{end}");
        return one(&name, Take::Shaped(vec![channels, 1, kernel]));
    }
    one(&format!("{}.{end}", look_up(LAYER, module)?), Take::Whole)
}

//! What is other where GLM-5.3-Flash is written: tensors in another form, and keys of its own.

use super::metadata::Pairs;
use super::plan::{Order, Planned, reversed};
use crate::gguf::glm5_next::{KEY_NORM_EPSILON, LAYER, PARAMETERS};
use glm4v_language::{DecoderConfig, HybridConfig, Mixing};
use glm4v_vision::{Glm4vVisionConfig, PreprocessorConfig, SmartResizePreprocessor};
use glm4v_weights::{GgufValue, TensorInfo};

/// Streams that llama.cpp mixes, and no other number.
const STREAMS: usize = 4;

/// What of a decoder llama.cpp has no form for.
pub(super) fn has_no_form(decoder: &DecoderConfig, hybrid: &HybridConfig) -> Option<String> {
    let (linear, latent) = (&hybrid.linear, &hybrid.latent);
    let dense = hybrid.layers.iter().map(|layer| !layer.experts);
    if hybrid.streams.count != STREAMS {
        return Some(format!("glm5_next with hc_mult {}, not {STREAMS}", hybrid.streams.count));
    }
    if linear.heads != latent.heads {
        let (linear, heads) = (linear.heads, latent.heads);
        return Some(format!("glm5_next with {linear} heads in linear attention, not {heads}"));
    }
    if hybrid.indexer.pool < 2 {
        return Some("glm5_next with index_kpool 1".to_owned());
    }
    if !dense.is_sorted_by(|below, above| below >= above) {
        return Some("glm5_next with a dense layer above one with experts".to_owned());
    }
    let tied = decoder.tied_embeddings.then(|| "glm5_next with a tied head".to_owned());
    tied.or_else(|| latent.bias.then(|| "glm5_next with attention_bias".to_owned()))
}

/// The tensors that a layer's tensor becomes; `None` for one that is as in other architectures.
pub(super) fn planned(
    decoder: &DecoderConfig,
    hybrid: &HybridConfig,
    tensor: &TensorInfo,
) -> Option<Vec<Planned>> {
    let rest = tensor.name.strip_prefix("model.language_model.layers.")?;
    let (layer, rest) = rest.split_once('.')?;
    let layer: usize = layer.parse().ok().filter(|layer| *layer < decoder.layers)?;
    let one = |name: &str, shape: &[usize], order: Order| Planned {
        name: format!("blk.{layer}.{name}"),
        shape: shape.to_vec(),
        sources: vec![tensor.clone()],
        order,
    };
    if rest == "self_attn.A_log" {
        return Some(vec![one("ssm_a", &tensor.shape, Order::NegativeExp)]);
    }
    if rest == "self_attn.kv_b_proj.weight" {
        let latent = &hybrid.latent;
        let (heads, rank, keys, values) =
            (latent.heads, latent.kv_rank, latent.qk_dim, latent.v_dim);
        if tensor.shape != [heads * (keys + values), rank] {
            return None;
        }
        return Some(vec![
            one("attn_k_b.weight", &[heads, rank, keys], Order::Keys { keys, values }),
            one("attn_v_b.weight", &[heads, values, rank], Order::Values { keys, values }),
        ]);
    }
    if let Some(name) = reversed(PARAMETERS, rest) {
        return Some(vec![one(name, &tensor.shape, Order::AsStored)]);
    }
    let (module, end) = rest.rsplit_once('.')?;
    let convolution = module.strip_prefix("self_attn.").and_then(|m| m.strip_suffix("_conv1d"));
    if let (Some(which), [channels, 1, kernel]) = (convolution, tensor.shape.as_slice()) {
        let name = format!("ssm_conv1d_{which}.{end}");
        return Some(vec![one(&name, &[1, *channels, 1, *kernel], Order::AsStored)]);
    }
    let name = format!("{}.{end}", reversed(LAYER, module)?);
    Some(vec![one(&name, &tensor.shape, Order::AsStored)])
}

/// The keys of the decoder that other architectures have not, or have with other values.
pub(super) fn text(pairs: &mut Pairs, decoder: &DecoderConfig, hybrid: &HybridConfig) {
    let key = |key: &str| format!("glm5-next.{key}");
    let each = |value: &dyn Fn(Mixing) -> GgufValue| {
        GgufValue::Array(hybrid.layers.iter().map(|layer| value(layer.mixing)).collect())
    };
    let (linear, latent, indexer) = (&hybrid.linear, &hybrid.latent, &hybrid.indexer);
    let heads = |mixing| GgufValue::I32((mixing != Mixing::Linear).into());
    pairs.put(key("attention.head_count_kv"), each(&heads));
    pairs.size(key("vocab_size"), decoder.vocab_size);
    pairs.put(key("attention.layer_norm_epsilon"), KEY_NORM_EPSILON as f32);
    pairs.size(key("ssm.conv_kernel"), linear.kernel);
    pairs.size(key("kda.head_dim"), linear.head_dim);
    if let Some(bound) = linear.lower_bound {
        pairs.put(key("kda.gate_lower_bound"), bound as f32);
    }
    pairs.size(key("attention.q_lora_rank"), latent.q_rank);
    pairs.size(key("attention.kv_lora_rank"), latent.kv_rank);
    pairs.size(key("rope.dimension_count"), 0);
    pairs.size(key("attention.key_length"), latent.kv_rank);
    pairs.size(key("attention.value_length"), latent.kv_rank);
    pairs.size(key("attention.key_length_mla"), latent.qk_dim);
    pairs.size(key("attention.value_length_mla"), latent.v_dim);
    pairs.size(key("attention.indexer.head_count"), indexer.heads);
    pairs.size(key("attention.indexer.key_length"), indexer.head_dim);
    pairs.size(key("attention.indexer.top_k"), indexer.top_k);
    pairs.size(key("attention.indexer.kpool"), indexer.pool);
    pairs.put(key("attention.indexer.kpool_select_tail"), true);
    let full = |mixing| (mixing != Mixing::Shared).into();
    pairs.put(key("attention.indexer.types"), each(&full));
    pairs.size(key("hyper_connection.count"), hybrid.streams.count);
    pairs.size(key("hyper_connection.sinkhorn_iterations"), hybrid.streams.iterations);
    pairs.put(key("hyper_connection.epsilon"), hybrid.streams.eps as f32);
    if let Some(limit) = decoder.swiglu_limit {
        for name in ["swiglu_clamp_exp", "swiglu_clamp_shexp"] {
            pairs.put(key(name), each(&|_| (limit as f32).into()));
        }
    }
}

/// The keys of the projector that other towers have not. `limit` is that of SwiGLU.
pub(super) fn tower(
    pairs: &mut Pairs,
    config: &Glm4vVisionConfig,
    preprocessor: &PreprocessorConfig,
    limit: f64,
) {
    let side = config.patch_size.saturating_mul(config.spatial_merge_size);
    let pixels = |tokens: u64| {
        let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
        tokens.saturating_mul(side).saturating_mul(side)
    };
    let most = preprocessor.max_image_tokens.unwrap_or(SmartResizePreprocessor::CANVAS_TOKENS);
    pairs.put("clip.vision.swiglu_clamp", limit as f32);
    pairs.size("clip.vision.image_min_pixels", pixels(preprocessor.min_image_tokens));
    pairs.size("clip.vision.image_max_pixels", pixels(most));
}

//! `text_config` of GLM-5.3-Flash, as in `config.json`.

use super::config::{
    HybridConfig, HybridLayerConfig, IndexerConfig, LatentAttentionConfig, LinearAttentionConfig,
    Mixing, StreamsConfig,
};
use crate::LanguageError;
use crate::decoder::config::check_sizes;
use crate::decoder::{DecoderConfig, MoeConfig, RotaryConfig};
use glm4v_kernels::RotaryLayout;
use serde::Deserialize;

/// The fields of transformers' `Glm5NextTextConfig`, with its defaults; what they mean is told by
/// [`DecoderConfig`] and [`HybridConfig`].
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are those of the file, and explained where they go")]
pub struct Glm5NextTextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub moe_intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: Option<usize>,
    pub n_shared_experts: usize,
    pub n_routed_experts: usize,
    pub routed_scaling_factor: f32,
    pub kv_lora_rank: usize,
    pub q_lora_rank: usize,
    pub qk_rope_head_dim: usize,
    pub v_head_dim: usize,
    pub qk_nope_head_dim: usize,
    pub n_group: usize,
    pub topk_group: usize,
    pub num_experts_per_tok: usize,
    pub norm_topk_prob: bool,
    pub hidden_act: String,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub tie_word_embeddings: bool,
    pub attention_bias: bool,
    pub mlp_layer_types: Option<Vec<String>>,
    pub layer_types: Option<Vec<String>>,
    pub indexer_types: Option<Vec<String>>,
    pub index_topk: usize,
    pub index_head_dim: usize,
    pub index_n_heads: usize,
    pub index_kpool: usize,
    pub index_kpool_always_select_tail: bool,
    pub index_topk_freq: usize,
    pub index_skip_topk_offset: usize,
    pub index_topk_pattern: Option<String>,
    pub swiglu_limit: f64,
    pub linear_head_dim: usize,
    pub linear_num_heads: usize,
    pub linear_conv_kernel_dim: usize,
    pub linear_lower_bound: Option<f64>,
    pub linear_attn_config: Option<LinearAttnConfig>,
    pub hc_mult: usize,
    pub hc_eps: f64,
    pub hc_sinkhorn_iters: usize,
}

/// Linear attention in one map, which counts before the fields outside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "as above")]
pub struct LinearAttnConfig {
    pub head_dim: Option<usize>,
    pub num_heads: Option<usize>,
    pub short_conv_kernel_size: Option<usize>,
    pub gate_lower_bound: Option<f64>,
    pub safe_gate: Option<bool>,
}

impl Default for Glm5NextTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 154_880,
            hidden_size: 4096,
            intermediate_size: 12_288,
            moe_intermediate_size: 2048,
            num_hidden_layers: 45,
            num_attention_heads: 64,
            num_key_value_heads: None,
            n_shared_experts: 1,
            n_routed_experts: 288,
            routed_scaling_factor: 2.5,
            kv_lora_rank: 512,
            q_lora_rank: 1536,
            qk_rope_head_dim: 0,
            v_head_dim: 256,
            qk_nope_head_dim: 256,
            n_group: 1,
            topk_group: 1,
            num_experts_per_tok: 8,
            norm_topk_prob: true,
            hidden_act: "silu".into(),
            max_position_embeddings: 1_048_576,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: false,
            attention_bias: false,
            mlp_layer_types: None,
            layer_types: None,
            indexer_types: None,
            index_topk: 2048,
            index_head_dim: 128,
            index_n_heads: 32,
            index_kpool: 16,
            index_kpool_always_select_tail: true,
            index_topk_freq: 1,
            index_skip_topk_offset: 2,
            index_topk_pattern: None,
            swiglu_limit: 10.0,
            linear_head_dim: 128,
            linear_num_heads: 64,
            linear_conv_kernel_dim: 4,
            linear_lower_bound: SAFE_LOWER_BOUND,
            linear_attn_config: None,
            hc_mult: 4,
            hc_eps: 1e-6,
            hc_sinkhorn_iters: 20,
        }
    }
}

/// The bound on the decay where the file says none.
const SAFE_LOWER_BOUND: Option<f64> = Some(-5.0);
/// Layers at the bottom without experts, where the file says nothing.
const DENSE_LAYERS: usize = 3;
/// More layers than any model has: a file that tells of more is not believed.
const MOST_LAYERS: usize = 1 << 16;

impl Glm5NextTextConfig {
    /// The decoder that this config describes. `tied` is the top level's `tie_word_embeddings`.
    ///
    /// # Errors
    /// [`LanguageError::Config`], naming the field, when a variant is not known or numbers don't
    /// fit one another.
    pub fn decoder(&self, tied: Option<bool>) -> Result<DecoderConfig, LanguageError> {
        self.check_variants()?;
        let layers = self.layers()?;
        let dense = layers.iter().filter(|layer| !layer.experts).count();
        let config = DecoderConfig {
            hidden_size: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_attention_heads,
            head_dim: self.qk_nope_head_dim,
            intermediate_size: self.intermediate_size,
            vocab_size: self.vocab_size,
            context_length: self.max_position_embeddings,
            norm_eps: self.rms_norm_eps,
            qkv_bias: self.attention_bias,
            output_norms: false,
            tied_embeddings: tied.unwrap_or(self.tie_word_embeddings),
            rotary: NO_ROTARY,
            moe: Some(self.moe(dense)),
            swiglu_limit: Some(self.swiglu_limit),
            hybrid: Some(self.hybrid(layers)),
        };
        config.validate()?;
        Ok(config)
    }

    /// Refuses what the reference refuses, and what it does not say what to do with.
    fn check_variants(&self) -> Result<(), LanguageError> {
        let wrong = |field: &str, reason: String| Err(LanguageError::config(field, reason));
        let heads = self.num_attention_heads;
        if self.num_key_value_heads.is_some_and(|kv_heads| kv_heads != heads) {
            return wrong("num_key_value_heads", format!("it is not num_attention_heads, {heads}"));
        }
        if self.qk_rope_head_dim != 0 {
            let reason = format!("{}; only 0 is supported, no rotary part", self.qk_rope_head_dim);
            return wrong("qk_rope_head_dim", reason);
        }
        if self.hidden_act != "silu" {
            let reason = format!("{:?} is not supported, only \"silu\"", self.hidden_act);
            return wrong("hidden_act", reason);
        }
        if !self.index_kpool_always_select_tail {
            let reason = "false is not supported: a row before the first whole pool sees no key";
            return wrong("index_kpool_always_select_tail", reason.into());
        }
        if !(self.swiglu_limit > 0.0 && self.swiglu_limit.is_finite()) {
            return wrong("swiglu_limit", "it must be above 0".into());
        }
        check_sizes(&[("num_hidden_layers", self.num_hidden_layers)], MOST_LAYERS)
    }

    /// What each layer is made of.
    fn layers(&self) -> Result<Vec<HybridLayerConfig>, LanguageError> {
        let count = self.num_hidden_layers;
        let kind = |field: &str, kinds: &Option<Vec<String>>, layer: usize| match kinds {
            None => Ok(None),
            Some(kinds) if kinds.len() >= count => Ok(kinds.get(layer).cloned()),
            Some(kinds) => {
                let reason = format!("{} entries for {count} layers", kinds.len());
                Err(LanguageError::config(field, reason))
            }
        };
        let unknown = |field: &str, kind: &str| {
            Err(LanguageError::config(field, format!("{kind:?} is not known")))
        };
        let layer = |layer: usize| {
            let shares = match kind("indexer_types", &self.indexer_types, layer)?.as_deref() {
                None => self.shares(layer)?,
                Some("full") => false,
                Some("shared") => true,
                Some(other) => return unknown("indexer_types", other),
            };
            let indexed = if shares { Mixing::Shared } else { Mixing::Indexed };
            let mixing = match kind("layer_types", &self.layer_types, layer)?.as_deref() {
                None if layer % 4 == 3 => indexed,
                None | Some("linear_attention") => Mixing::Linear,
                Some("indexed_attention" | "full_attention") => indexed,
                Some(other) => return unknown("layer_types", other),
            };
            let experts = match kind("mlp_layer_types", &self.mlp_layer_types, layer)?.as_deref() {
                None => layer >= DENSE_LAYERS,
                Some("dense") => false,
                Some("sparse") => true,
                Some(other) => return unknown("mlp_layer_types", other),
            };
            Ok(HybridLayerConfig { mixing, experts })
        };
        (0..count).map(layer).collect()
    }

    /// Whether a layer takes the keys that the one before chose, by the pattern or the rhythm that
    /// stand in the place of `indexer_types`.
    fn shares(&self, layer: usize) -> Result<bool, LanguageError> {
        let Some(pattern) = &self.index_topk_pattern else {
            let since = (layer + 1).saturating_sub(self.index_skip_topk_offset);
            return Ok(!since.is_multiple_of(self.index_topk_freq.max(1)));
        };
        match pattern.as_bytes().get(layer) {
            Some(b'F') => Ok(false),
            Some(b'S') => Ok(true),
            _ => {
                let reason = format!("layer {layer} has neither F nor S");
                Err(LanguageError::config("index_topk_pattern", reason))
            }
        }
    }

    fn moe(&self, dense: usize) -> MoeConfig {
        MoeConfig {
            first_k_dense_replace: dense,
            moe_intermediate_size: self.moe_intermediate_size,
            n_routed_experts: self.n_routed_experts,
            n_shared_experts: self.n_shared_experts,
            num_experts_per_tok: self.num_experts_per_tok,
            n_group: self.n_group,
            topk_group: self.topk_group,
            norm_topk_prob: self.norm_topk_prob,
            routed_scaling_factor: self.routed_scaling_factor,
        }
    }

    fn hybrid(&self, layers: Vec<HybridLayerConfig>) -> HybridConfig {
        let map = self.linear_attn_config.clone().unwrap_or_default();
        let bound = map.gate_lower_bound.or(self.linear_lower_bound);
        let safe = self.linear_attn_config.is_some() && map.safe_gate.unwrap_or(true);
        HybridConfig {
            layers,
            linear: LinearAttentionConfig {
                heads: map.num_heads.unwrap_or(self.linear_num_heads),
                head_dim: map.head_dim.unwrap_or(self.linear_head_dim),
                kernel: map.short_conv_kernel_size.unwrap_or(self.linear_conv_kernel_dim),
                lower_bound: if safe { bound.or(SAFE_LOWER_BOUND) } else { bound },
            },
            latent: LatentAttentionConfig {
                heads: self.num_attention_heads,
                q_rank: self.q_lora_rank,
                kv_rank: self.kv_lora_rank,
                qk_dim: self.qk_nope_head_dim,
                v_dim: self.v_head_dim,
                bias: self.attention_bias,
            },
            indexer: IndexerConfig {
                heads: self.index_n_heads,
                head_dim: self.index_head_dim,
                top_k: self.index_topk,
                pool: self.index_kpool,
            },
            streams: StreamsConfig {
                count: self.hc_mult,
                eps: self.hc_eps,
                iterations: self.hc_sinkhorn_iters,
            },
        }
    }
}

/// Rows have no positions but by their order.
const NO_ROTARY: RotaryConfig = RotaryConfig {
    base: 10000.0,
    rotated: 0,
    layout: RotaryLayout::Interleaved,
    sections: None,
    yarn: None,
};

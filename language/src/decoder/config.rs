//! The numbers of a decoder, whichever file style they came from.

use super::hybrid::HybridConfig;
use super::rotary::RotaryConfig;
use crate::LanguageError;
use glm4v_kernels::RotaryLayout;
use serde::Deserialize;

/// What the decoder graph needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Width of a row.
    pub hidden_size: usize,
    /// Number of layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Inner width of the MLP.
    pub intermediate_size: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// The longest sequence that the model was made for, in tokens.
    pub context_length: usize,
    /// Epsilon of the RMS norms.
    pub norm_eps: f64,
    /// Whether the query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether attention and MLP have a norm after them too (four norms a layer, not two).
    pub output_norms: bool,
    /// Whether the head is the embedding table.
    pub tied_embeddings: bool,
    /// Rotary positions.
    pub rotary: RotaryConfig,
    /// Experts in the MLP's place, in models that have them.
    pub moe: Option<MoeConfig>,
    /// Where gate and up of the MLPs are cut, in models that do so.
    pub swiglu_limit: Option<f64>,
    /// Layers of the other graph, that of GLM-5.3-Flash.
    pub hybrid: Option<HybridConfig>,
}

/// A mixture of experts, under the names of `config.json`. Defaults are those of transformers'
/// `Glm4vMoeTextConfig`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct MoeConfig {
    /// Layers at the bottom that have an ordinary MLP.
    pub first_k_dense_replace: usize,
    /// Inner width of an expert.
    pub moe_intermediate_size: usize,
    /// Experts that a router chooses among.
    pub n_routed_experts: usize,
    /// Experts that every row goes through, kept as one that is as wide as all of them.
    pub n_shared_experts: usize,
    /// Experts chosen for a row.
    pub num_experts_per_tok: usize,
    /// Groups that the experts are in, equally many in each.
    pub n_group: usize,
    /// Groups whose experts are open to the choice.
    pub topk_group: usize,
    /// Whether the weights of the chosen experts are made to sum to 1.
    pub norm_topk_prob: bool,
    /// What the weights are multiplied by after that.
    pub routed_scaling_factor: f32,
}

impl Default for MoeConfig {
    fn default() -> Self {
        Self {
            first_k_dense_replace: 1,
            moe_intermediate_size: 1408,
            n_routed_experts: 128,
            n_shared_experts: 1,
            num_experts_per_tok: 8,
            n_group: 1,
            topk_group: 1,
            norm_topk_prob: true,
            routed_scaling_factor: 1.0,
        }
    }
}

impl MoeConfig {
    fn validate(&self) -> Result<(), LanguageError> {
        let wrong = |field: &str, reason: String| Err(LanguageError::config(field, reason));
        let sizes = [
            ("moe_intermediate_size", self.moe_intermediate_size),
            ("n_routed_experts", self.n_routed_experts),
            ("n_shared_experts", self.n_shared_experts),
            ("num_experts_per_tok", self.num_experts_per_tok),
            ("n_group", self.n_group),
            ("topk_group", self.topk_group),
        ];
        check_sizes(&sizes, LARGEST_MOE_SIZE)?;
        if !self.n_routed_experts.is_multiple_of(self.n_group) {
            let experts = self.n_routed_experts;
            return wrong("n_group", format!("{} does not divide {experts} experts", self.n_group));
        }
        let open = self.topk_group * (self.n_routed_experts / self.n_group);
        if self.topk_group > self.n_group || self.num_experts_per_tok > open {
            let reason = format!(
                "{} experts cannot be chosen from {} of {} groups, which hold {open}",
                self.num_experts_per_tok, self.topk_group, self.n_group
            );
            return wrong("num_experts_per_tok", reason);
        }
        Ok(())
    }
}

/// Sizes above this are taken for a damaged file, before anything is computed with them.
const LARGEST_SIZE: usize = 1 << 28;
/// The same for sizes of experts, whose products are taken.
const LARGEST_MOE_SIZE: usize = 1 << 20;

/// Checks that sizes, each with the name of its field, are from 1 to `largest`.
///
/// # Errors
/// [`LanguageError::Config`], naming the first field that is not.
pub(super) fn check_sizes(sizes: &[(&str, usize)], largest: usize) -> Result<(), LanguageError> {
    match sizes.iter().find(|(_, value)| !(1..=largest).contains(value)) {
        None => Ok(()),
        Some((field, value)) => {
            Err(LanguageError::config(field, format!("{value} is outside 1 to {largest}")))
        }
    }
}

impl DecoderConfig {
    /// Checks that the numbers fit one another.
    ///
    /// # Errors
    /// [`LanguageError::Config`], naming the field, when one doesn't.
    pub fn validate(&self) -> Result<(), LanguageError> {
        let wrong = |field: &str, reason: String| Err(LanguageError::config(field, reason));
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.context_length),
        ];
        check_sizes(&sizes, LARGEST_SIZE)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            return wrong(
                "num_key_value_heads",
                format!("{} does not divide {} heads", self.kv_heads, self.heads),
            );
        }
        if let Some(hybrid) = &self.hybrid {
            hybrid.validate(self.layers)?;
        }
        let rotated = self.rotary.rotated;
        let turns = self.hybrid.is_none(); // the other graph has no rotary positions
        if turns && (rotated == 0 || !rotated.is_multiple_of(2) || rotated > self.head_dim) {
            return wrong(
                "partial_rotary_factor",
                format!("{rotated} of {} channels cannot turn in pairs", self.head_dim),
            );
        }
        if let Some(sections) = &self.rotary.sections {
            let sum: usize = sections.iter().fold(0, |sum, &n| sum.saturating_add(n));
            if sum != rotated / 2 {
                return wrong(
                    "mrope_section",
                    format!("{sections:?} sums to {sum}, not to the {} frequencies", rotated / 2),
                );
            }
        }
        if let Some(yarn) = &self.rotary.yarn {
            yarn.validate()?;
        }
        self.moe.as_ref().map_or(Ok(()), MoeConfig::validate)
    }

    /// Numbers that a row of a sequence adds to its cache, in all layers.
    pub fn cached_numbers(&self) -> u64 {
        match &self.hybrid {
            Some(hybrid) => hybrid.cached_numbers(),
            None => [2, self.layers, self.kv_heads, self.head_dim]
                .into_iter()
                .fold(1, |product: u64, size| product.saturating_mul(size as u64)),
        }
    }
}

/// `config.json` of the original ChatGLM checkpoints (GLM-4-9B, GLM-4V-9B), the decoder's part.
#[derive(Clone, Debug, Deserialize)]
pub struct ChatGlmConfig {
    /// Width of a row.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads, when `multi_query_attention` is on.
    pub multi_query_group_num: usize,
    /// Whether keys and values have fewer heads than queries.
    pub multi_query_attention: bool,
    /// Width of a head.
    pub kv_channels: usize,
    /// Inner width of the MLP, and of a vision model's projector.
    pub ffn_hidden_size: usize,
    /// Rows of the embedding table.
    pub padded_vocab_size: usize,
    /// The longest sequence, in tokens.
    pub seq_length: usize,
    /// Epsilon of the RMS norms.
    pub layernorm_epsilon: f64,
    /// Whether the fused query, key and value projection has a bias.
    pub add_qkv_bias: bool,
    /// What the rotary base of 10000 is multiplied by.
    #[serde(default = "one")]
    pub rope_ratio: f64,
    /// Whether the head is the embedding table.
    #[serde(default)]
    pub tie_word_embeddings: bool,
}

fn one() -> f64 {
    1.0
}

impl From<&ChatGlmConfig> for DecoderConfig {
    /// Source: `modeling_chatglm.py`; half of each head turns, interleaved.
    fn from(config: &ChatGlmConfig) -> Self {
        let kv_heads = match config.multi_query_attention {
            true => config.multi_query_group_num,
            false => config.num_attention_heads,
        };
        Self {
            hidden_size: config.hidden_size,
            layers: config.num_layers,
            heads: config.num_attention_heads,
            kv_heads,
            head_dim: config.kv_channels,
            intermediate_size: config.ffn_hidden_size,
            vocab_size: config.padded_vocab_size,
            context_length: config.seq_length,
            norm_eps: config.layernorm_epsilon,
            qkv_bias: config.add_qkv_bias,
            output_norms: false,
            tied_embeddings: config.tie_word_embeddings,
            rotary: RotaryConfig {
                base: 10000.0 * config.rope_ratio,
                rotated: config.kv_channels / 2,
                layout: RotaryLayout::Interleaved,
                sections: None,
                yarn: None,
            },
            moe: None,
            swiglu_limit: None,
            hybrid: None,
        }
    }
}

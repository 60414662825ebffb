//! One decoder layer.

use super::attention::Attention;
use super::cache::LayerCache;
use super::mlp::Mlp;
use super::moe::Moe;
use super::{DecoderConfig, TensorNames, rms_norm};
use crate::LanguageError;
use candle_core::{Result, Tensor};
use glm4v_kernels::{RmsNorm, RotaryTable, Trace, add};
use glm4v_weights::Weights;

/// Attention and MLP, each with a norm before it and, in `glm4` and its relatives, one after it:
/// `x += post(attn(input(x))); x += post_mlp(mlp(post_attention(x)))`.
///
/// `post_attention_layernorm` is the norm *before* the MLP in every GLM model.
#[derive(Debug)]
pub(super) struct Layer {
    input_norm: RmsNorm,
    attention: Attention,
    attention_output_norm: Option<RmsNorm>,
    mlp_input_norm: RmsNorm,
    mlp: FeedForward,
    mlp_output_norm: Option<RmsNorm>,
}

/// What stands in the MLP's place.
#[derive(Debug)]
enum FeedForward {
    Dense(Mlp),
    Experts(Moe),
}

impl Layer {
    /// Reads layer `index`, whose tensors are right below `weights`.
    pub(super) fn load(
        config: &DecoderConfig,
        names: &TensorNames,
        index: usize,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let norm = |name: &str| rms_norm(config, &weights.pp(name));
        let output_norm = |name: &str| config.output_norms.then(|| norm(name)).transpose();
        let experts = config.moe.as_ref().filter(|moe| index >= moe.first_k_dense_replace);
        let mlp = match experts {
            Some(moe) => FeedForward::Experts(Moe::load(config, moe, &weights.pp("mlp"))?),
            None => {
                let (hidden, inner) = (config.hidden_size, config.intermediate_size);
                FeedForward::Dense(Mlp::load(hidden, inner, names.mlp, weights)?)
            }
        };
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            attention: Attention::load(config, names, weights)?,
            attention_output_norm: output_norm("post_self_attn_layernorm")?,
            mlp_input_norm: norm("post_attention_layernorm")?,
            mlp,
            mlp_output_norm: output_norm("post_mlp_layernorm")?,
        })
    }

    /// `x` `(length, hidden)` to the same shape; its rows belong to `sequences`, so many to each.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        rotary: &RotaryTable,
        sequences: &mut [(usize, &mut LayerCache)],
        index: usize,
        trace: &mut Trace,
    ) -> Result<Tensor> {
        let attended = self.attention.forward(&self.input_norm.forward(x)?, rotary, sequences)?;
        trace.record(format_args!("layer_{index}_attention"), &attended);
        let x = add(x, &normed(&self.attention_output_norm, attended)?)?; // (length, hidden)
        let normed_x = self.mlp_input_norm.forward(&x)?;
        let y = match &self.mlp {
            FeedForward::Dense(mlp) => mlp.forward(&normed_x)?,
            FeedForward::Experts(moe) => moe.forward(&normed_x)?,
        };
        add(&x, &normed(&self.mlp_output_norm, y)?)
    }
}

fn normed(norm: &Option<RmsNorm>, x: Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}

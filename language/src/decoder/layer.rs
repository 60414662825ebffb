//! One decoder layer.

use super::attention::Attention;
use super::cache::LayerCache;
use super::mlp::Mlp;
use super::moe::Moe;
use super::{DecoderConfig, TensorNames, rms_norm};
use crate::LanguageError;
use candle_core::{Result, Tensor};
use glm4v_kernels::{Precision, RmsNorm, RotaryTable, Trace, add};
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
pub(super) enum FeedForward {
    Dense(Mlp),
    Experts(Moe),
}

impl FeedForward {
    /// Reads the layer's experts, or its MLP, whose tensors are below the layer's `weights`.
    pub(super) fn load(
        config: &DecoderConfig,
        names: &TensorNames,
        experts: bool,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        Ok(match config.moe.as_ref().filter(|_| experts) {
            Some(moe) => Self::Experts(Moe::load(config, moe, &weights.pp("mlp"))?),
            None => {
                let widths = (config.hidden_size, config.intermediate_size);
                Self::Dense(Mlp::load(widths, config.swiglu_limit, names.mlp, weights)?)
            }
        })
    }

    /// `x` `(length, hidden)` to the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(mlp) => mlp.forward(x),
            Self::Experts(moe) => moe.forward(x),
        }
    }

    /// [`Self::forward`] on top of `residual`, which has the shape of `x`.
    fn forward_onto(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(mlp) => mlp.forward_onto(residual, x),
            Self::Experts(moe) => add(residual, &moe.forward(x)?),
        }
    }
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
        let experts = config.moe.as_ref().is_some_and(|moe| index >= moe.first_k_dense_replace);
        Ok(Self {
            input_norm: norm("input_layernorm")?,
            attention: Attention::load(config, names, weights)?,
            attention_output_norm: output_norm("post_self_attn_layernorm")?,
            mlp_input_norm: norm("post_attention_layernorm")?,
            mlp: FeedForward::load(config, names, experts, weights)?,
            mlp_output_norm: output_norm("post_mlp_layernorm")?,
        })
    }

    /// What attention's operands are rounded to.
    pub(super) fn precision(&self) -> Precision {
        self.attention.precision()
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
        let x = match &self.attention_output_norm {
            Some(norm) => norm.forward_onto(x, &attended)?,
            None => add(x, &attended)?,
        }; // (length, hidden)
        let y = self.mlp_input_norm.forward(&x)?;
        match &self.mlp_output_norm {
            Some(norm) => norm.forward_onto(&x, &self.mlp.forward(&y)?),
            None => self.mlp.forward_onto(&x, &y),
        }
    }
}

//! One transformer block of the `glm4v` tower.

use super::{Glm4vVisionConfig, TowerFlavour, in_chunks, linear, split_heads};
use crate::VisionError;
use candle_core::{Result, Tensor};
use glm4v_kernels::{GatedLinear, Linear, Mask, RmsNorm, RotaryTable, attention_in};
use glm4v_weights::{Weights, WeightsError};

/// `x += attn(norm1(x)); x += mlp(norm2(x))`.
#[derive(Debug)]
pub(super) struct Block {
    norm1: RmsNorm,
    norm2: RmsNorm,
    attention: Attention,
    mlp: Mlp,
}

impl Block {
    pub(super) fn load(
        config: &Glm4vVisionConfig,
        flavour: TowerFlavour,
        weights: &Weights,
    ) -> std::result::Result<Self, VisionError> {
        let norm = |name: &str| -> std::result::Result<_, WeightsError> {
            let weight = weights.pp(name).tensor("weight", config.hidden_size)?;
            Ok(RmsNorm::new(weight, config.rms_norm_eps))
        };
        Ok(Self {
            norm1: norm("norm1")?,
            norm2: norm("norm2")?,
            attention: Attention::load(config, flavour, &weights.pp("attn"))?,
            mlp: Mlp::load(config, flavour, &weights.pp("mlp"))?,
        })
    }

    /// `x` `(patches, hidden)`; each of `segments`, a number of patches, attends to itself alone.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        rotary: &RotaryTable,
        segments: &[usize],
    ) -> Result<Tensor> {
        let attended = self.attention.forward(&self.norm1.forward(x)?, rotary, segments)?;
        let x = self.attention.proj.forward_onto(x, &attended)?; // (patches, hidden)
        drop(attended);
        in_chunks(&x, |x| self.mlp.forward_onto(x, &self.norm2.forward(x)?))
    }
}

#[derive(Debug)]
struct Attention {
    qkv: Linear,
    proj: Linear,
    head_norms: Option<(RmsNorm, RmsNorm)>,
    heads: usize,
}

impl Attention {
    fn load(
        config: &Glm4vVisionConfig,
        flavour: TowerFlavour,
        weights: &Weights,
    ) -> std::result::Result<Self, WeightsError> {
        let hidden = config.hidden_size;
        let head_norm = |name: &str| -> std::result::Result<_, WeightsError> {
            let weight = weights.pp(name).tensor("weight", config.head_dim())?;
            Ok(RmsNorm::new(weight, config.rms_norm_eps))
        };
        let ocr = flavour == TowerFlavour::GlmOcr;
        Ok(Self {
            qkv: linear(&weights.pp("qkv"), hidden, 3 * hidden, config.attention_bias)?,
            proj: linear(&weights.pp("proj"), hidden, hidden, ocr && config.attention_bias)?,
            head_norms: if ocr { Some((head_norm("q_norm")?, head_norm("k_norm")?)) } else { None },
            heads: config.num_heads,
        })
    }

    /// What `proj` is to be applied to.
    fn forward(&self, x: &Tensor, rotary: &RotaryTable, segments: &[usize]) -> Result<Tensor> {
        let [q, k, v] = split_heads(&self.qkv.forward(x)?, self.heads)?; // (heads, patches, d)
        let (q, k) = match &self.head_norms {
            Some((q_norm, k_norm)) => {
                (rotary.apply_to_normed(q_norm, &q)?, rotary.apply_to_normed(k_norm, &k)?)
            }
            None => (rotary.apply(&q)?, rotary.apply(&k)?),
        };
        let mut outputs = Vec::with_capacity(segments.len());
        let mut start = 0;
        for &length in segments {
            let part = |x: &Tensor| x.narrow(1, start, length);
            let (q, k, v) = (part(&q)?, part(&k)?, part(&v)?);
            outputs.push(attention_in(self.qkv.precision(), &q, &k, &v, Mask::Full)?); // (length, hidden)
            start += length;
        }
        match outputs.as_slice() {
            [one] => Ok(one.clone()),
            _ => Tensor::cat(&outputs, 0), // (patches, hidden)
        }
    }
}

/// `down(SiLU(gate(x)) · up(x))`, gate and up cut at a limit where the model has one.
#[derive(Debug)]
struct Mlp {
    inner: GatedLinear,
    down: Linear,
}

impl Mlp {
    fn load(
        config: &Glm4vVisionConfig,
        flavour: TowerFlavour,
        weights: &Weights,
    ) -> std::result::Result<Self, VisionError> {
        let (hidden, inner) = (config.hidden_size, config.block_width(flavour));
        let bias = flavour == TowerFlavour::GlmOcr && config.attention_bias;
        let gate = linear(&weights.pp("gate_proj"), hidden, inner, bias)?;
        let up = linear(&weights.pp("up_proj"), hidden, inner, bias)?;
        Ok(Self {
            inner: GatedLinear::of_two(gate, up, config.swiglu_limit)?,
            down: linear(&weights.pp("down_proj"), inner, hidden, bias)?,
        })
    }

    /// `residual` `(rows, hidden)`, and on it the MLP of `x` of the same shape.
    fn forward_onto(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.down.forward_onto(residual, &self.inner.forward(x)?)
    }
}

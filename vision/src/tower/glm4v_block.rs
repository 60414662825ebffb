//! One transformer block of the `glm4v` tower.

use super::{Glm4vVisionConfig, TowerFlavour, in_chunks, linear, split_heads};
use candle_core::{Result, Tensor};
use glm4v_kernels::{Linear, Mask, RmsNorm, RotaryTable, add, attention_in, clamped_silu_times};
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
    ) -> std::result::Result<Self, WeightsError> {
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
        let x = add(x, &self.attention.forward(&self.norm1.forward(x)?, rotary, segments)?)?;
        add(&x, &self.mlp.forward(&self.norm2.forward(&x)?)?)
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

    fn forward(&self, x: &Tensor, rotary: &RotaryTable, segments: &[usize]) -> Result<Tensor> {
        let [mut q, mut k, v] = split_heads(&self.qkv.forward(x)?, self.heads)?; // (heads, patches, d)
        if let Some((q_norm, k_norm)) = &self.head_norms {
            (q, k) = (q_norm.forward(&q)?, k_norm.forward(&k)?);
        }
        let (q, k) = (rotary.apply(&q)?, rotary.apply(&k)?);
        let mut outputs = Vec::with_capacity(segments.len());
        let mut start = 0;
        for &length in segments {
            let part = |x: &Tensor| x.narrow(1, start, length);
            let (q, k, v) = (part(&q)?, part(&k)?, part(&v)?);
            outputs.push(attention_in(self.qkv.precision(), &q, &k, &v, Mask::Full)?); // (length, hidden)
            start += length;
        }
        let attended = match outputs.as_slice() {
            [one] => one.clone(),
            _ => Tensor::cat(&outputs, 0)?,
        };
        self.proj.forward(&attended) // (patches, hidden)
    }
}

/// `down(SiLU(gate(x)) · up(x))`, gate and up cut at a limit where the model has one.
#[derive(Debug)]
struct Mlp {
    gate: Linear,
    up: Linear,
    down: Linear,
    limit: Option<f64>,
}

impl Mlp {
    fn load(
        config: &Glm4vVisionConfig,
        flavour: TowerFlavour,
        weights: &Weights,
    ) -> std::result::Result<Self, WeightsError> {
        let (hidden, inner) = (config.hidden_size, config.block_width(flavour));
        let bias = flavour == TowerFlavour::GlmOcr && config.attention_bias;
        Ok(Self {
            gate: linear(&weights.pp("gate_proj"), hidden, inner, bias)?,
            up: linear(&weights.pp("up_proj"), hidden, inner, bias)?,
            down: linear(&weights.pp("down_proj"), inner, hidden, bias)?,
            limit: config.swiglu_limit,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        in_chunks(x, |x| {
            let (gate, up) = (self.gate.forward(x)?, self.up.forward(x)?); // 2 × (rows, inner)
            let inner = clamped_silu_times(&gate, &up, self.limit)?;
            self.down.forward(&inner)
        })
    }
}

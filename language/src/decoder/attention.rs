//! The decoder's grouped-query attention.

use super::cache::LayerCache;
use super::names::QkvNames;
use super::{DecoderConfig, TensorNames};
use crate::LanguageError;
use candle_core::{Result, Tensor};
use glm4v_kernels::{Linear, Mask, Precision, RotaryTable, attention_over};
use glm4v_weights::Weights;

/// Causal attention with rotary positions. The three projections are kept as one.
#[derive(Debug)]
pub(super) struct Attention {
    qkv: Linear,
    output: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
}

impl Attention {
    pub(super) fn load(
        config: &DecoderConfig,
        names: &TensorNames,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let (q_width, kv_width) =
            (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let projection = |name: &str, width: usize| -> std::result::Result<Linear, LanguageError> {
            Ok(weights.pp(name).linear(config.hidden_size, width, config.qkv_bias)?)
        };
        let qkv = match names.qkv {
            QkvNames::Fused(name) => projection(name, q_width + 2 * kv_width)?,
            QkvNames::Split([q, k, v]) => Linear::stacked(&[
                projection(q, q_width)?,
                projection(k, kv_width)?,
                projection(v, kv_width)?,
            ])?,
        };
        let output = weights.pp(names.attention_output);
        Ok(Self {
            qkv,
            output: output.linear(q_width, config.hidden_size, false)?,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
        })
    }

    /// What queries, keys and values may be rounded to.
    pub(super) fn precision(&self) -> Precision {
        self.qkv.precision()
    }

    /// `x` `(length, hidden)` to the same shape. Its rows belong to `sequences`, so many to each, and
    /// their keys and values join the sequence's cache.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        rotary: &RotaryTable,
        sequences: &mut [(usize, &mut LayerCache)],
    ) -> Result<Tensor> {
        let length = x.dim(0)?;
        let qkv = self.qkv.forward(x)?; // (length, (heads + 2 · kv_heads) · d)
        let all = qkv.reshape((length, self.heads + 2 * self.kv_heads, self.head_dim))?;
        let heads_of = |start: usize, heads: usize| all.narrow(1, start, heads)?.transpose(0, 1);
        let q = rotary.apply(&heads_of(0, self.heads)?)?; // (heads, length, d)
        let k = rotary.apply(&heads_of(self.heads, self.kv_heads)?)?; // (kv_heads, length, d)
        let v = heads_of(self.heads + self.kv_heads, self.kv_heads)?;
        let mut attended = Vec::with_capacity(sequences.len());
        let mut start = 0;
        for (rows, cache) in sequences {
            let part = |x: &Tensor| x.narrow(1, start, *rows);
            let (k, v) = cache.append(&part(&k)?, &part(&v)?)?; // (kv_heads, all rows, d)
            attended.push(attention_over(self.precision(), &part(&q)?, &k, &v, Mask::Causal)?); // (rows, heads · d)
            start += *rows;
        }
        self.output.forward(&Tensor::cat(&attended, 0)?)
    }
}

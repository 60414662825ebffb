//! Latent attention over the keys that an indexer chose.
//!
//! Keys and values of all heads are made from one narrow row, the latent, and the latents are what
//! the cache keeps. They are not expanded: `q · (W_k c) = (W_kᵀ q) · c`, so queries go down to the
//! latents' width, attention runs over the latents as one key head for all query heads, and what it
//! sums up goes through `W_v`.
//!
//! Source: transformers `Glm5NextTextAttention`; the order of products is section 2.1 of DeepSeek-V2.

use super::config::HybridConfig;
use super::config::LatentAttentionConfig;
use super::indexer::{Chosen, Indexer};
use super::state::LatentCache;
use crate::LanguageError;
use crate::decoder::DecoderConfig;
use candle_core::{Result, Tensor};
use glm4v_kernels::{KeptRows, Linear, Mask, Precision, RmsNorm, attention_over};
use glm4v_weights::Weights;

#[derive(Debug)]
pub(super) struct LatentAttention {
    config: LatentAttentionConfig,
    q_down: Linear,
    q_norm: RmsNorm,
    q_up: Linear,
    kv_down: Linear,
    kv_norm: RmsNorm,
    /// `W_kᵀ` of each head: its queries to the latents' width.
    key_down: Vec<Linear>,
    /// `W_v` of each head: sums of latents to its values' width.
    value_up: Vec<Linear>,
    output: Linear,
    /// None where the layer before has chosen.
    indexer: Option<Indexer>,
}

impl LatentAttention {
    /// Reads the tensors right below `weights`, a layer's `self_attn`.
    pub(super) fn load(
        config: &DecoderConfig,
        hybrid: &HybridConfig,
        shared: bool,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let (hidden, latent) = (config.hidden_size, &hybrid.latent);
        let LatentAttentionConfig { heads, q_rank, kv_rank, qk_dim, v_dim, bias } = *latent;
        let projection = |name: &str, input: usize, out: usize, bias: bool| {
            Ok::<_, LanguageError>(weights.pp(name).linear(input, out, bias)?)
        };
        let norm = |name: &str, width: usize| -> std::result::Result<_, LanguageError> {
            Ok(RmsNorm::new(weights.pp(name).tensor("weight", width)?, config.norm_eps))
        };
        // Taken apart by heads, it stays in numbers whatever is quantised.
        let kv_up = weights.pp("kv_b_proj");
        let kv_up = kv_up.tensor("weight", (heads * (qk_dim + v_dim), kv_rank))?;
        let kv_up = kv_up.reshape((heads, qk_dim + v_dim, kv_rank))?;
        let part = |head: usize, start: usize, rows: usize| kv_up.get(head)?.narrow(0, start, rows);
        let key_down = |head| Ok(Linear::new(part(head, 0, qk_dim)?.t()?.contiguous()?, None));
        let value_up = |head| Ok(Linear::new(part(head, qk_dim, v_dim)?.contiguous()?, None));
        let indexer = || Indexer::load(config, &hybrid.indexer, q_rank, &weights.pp("indexer"));
        Ok(Self {
            q_down: projection("q_a_proj", hidden, q_rank, bias)?,
            q_norm: norm("q_a_layernorm", q_rank)?,
            q_up: projection("q_b_proj", q_rank, heads * qk_dim, false)?,
            kv_down: projection("kv_a_proj_with_mqa", hidden, kv_rank, bias)?,
            kv_norm: norm("kv_a_layernorm", kv_rank)?,
            key_down: (0..heads).map(key_down).collect::<Result<_>>()?,
            value_up: (0..heads).map(value_up).collect::<Result<_>>()?,
            output: projection("o_proj", heads * v_dim, hidden, bias)?,
            indexer: if shared { None } else { Some(indexer()?) },
            config: latent.clone(),
        })
    }

    /// `x` `(length, hidden)` to the same shape; its rows belong to `sequences`, so many to each.
    /// `chosen` has the keys of every row, and is filled by a layer with an indexer.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        sequences: &mut [(usize, &mut LatentCache)],
        chosen: &mut Vec<Chosen>,
    ) -> Result<Tensor> {
        let (heads, kv_rank) = (self.config.heads, self.config.kv_rank);
        let q_latent = self.q_norm.forward(&self.q_down.forward(x)?)?; // (length, q_rank)
        let q = self.queries(&q_latent)?; // (heads, length, kv_rank)
        let latents = self.kv_norm.forward(&self.kv_down.forward(x)?)?; // (length, kv_rank)
        if self.indexer.is_some() {
            chosen.clear();
        }
        let (mut sums, mut start) = (Vec::with_capacity(x.dim(0)?), 0);
        for (rows, cache) in sequences {
            let part = |x: &Tensor| x.narrow(0, start, *rows);
            let first = cache.length();
            let all = cache.latents.append(&part(&latents)?.unsqueeze(0)?)?; // (1, rows so far, kv_rank)
            if let Some(indexer) = &self.indexer {
                chosen.extend(indexer.choose(&part(x)?, &part(&q_latent)?, first, cache)?);
            }
            for row in start..start + *rows {
                let keys = keys_of(&all, chosen.get(row))?; // (1, keys, kv_rank)
                sums.push(attention_over(
                    Precision::Single,
                    &q.narrow(1, row, 1)?,
                    &keys,
                    &keys,
                    Mask::Full,
                )?);
            }
            start += *rows;
        }
        let sums = Tensor::cat(&sums, 0)?.reshape(((), heads, kv_rank))?; // (length, heads, kv_rank)
        let values = self.value_up.iter().enumerate();
        let values = values.map(|(head, up)| up.forward(&sums.narrow(1, head, 1)?.squeeze(1)?));
        let values = Tensor::cat(&values.collect::<Result<Vec<_>>>()?, 1)?; // (length, heads · v)
        self.output.forward(&values) // (length, hidden)
    }

    /// Queries of the latents' width, `(heads, length, kv_rank)`. Attention divides by the root of that
    /// width, and should by that of the queries' own.
    fn queries(&self, q_latent: &Tensor) -> Result<Tensor> {
        let LatentAttentionConfig { heads, kv_rank, qk_dim, .. } = self.config;
        let q = self.q_up.forward(q_latent)?.reshape(((), heads, qk_dim))?; // (length, heads, qk)
        let down = self.key_down.iter().enumerate();
        let down = down.map(|(head, down)| down.forward(&q.narrow(1, head, 1)?.squeeze(1)?));
        let q = Tensor::stack(&down.collect::<Result<Vec<_>>>()?, 0)?; // (heads, length, kv_rank)
        q * (kv_rank as f64 / qk_dim as f64).sqrt()
    }
}

/// The latents `(1, keys, kv_rank)` that a row sees of all those there are.
fn keys_of(all: &KeptRows, chosen: Option<&Chosen>) -> Result<KeptRows> {
    let Some(chosen) = chosen else { candle_core::bail!("no keys were chosen for a row") };
    // Rising numbers that are as many as the last one says leave none out.
    if chosen.last().is_some_and(|&last| last as usize + 1 == chosen.len()) {
        return all.map(|rows| rows.narrow(1, 0, chosen.len()));
    }
    all.map(|rows| rows.index_select(&Tensor::new(chosen.as_slice(), rows.device())?, 1))
}

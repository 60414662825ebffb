//! The sparse indexer: which keys each row of latent attention sees.
//!
//! Keys are taken in pools of neighbours. A pool has one key of its own, the average of its rows'
//! by learned weights, and is scored by a few narrow heads; the best pools are seen, and with them
//! the newest rows that fill no pool yet.
//!
//! Source: transformers `Glm5NextTextIndexer`.

use super::config::IndexerConfig;
use super::state::LatentCache;
use crate::LanguageError;
use crate::decoder::DecoderConfig;
use candle_core::{DType, Result, Tensor};
use candle_nn::ops::softmax;
use glm4v_kernels::{KeptRows, LayerNorm, Linear};
use glm4v_weights::Weights;

/// The keys that a row sees, rising.
pub(super) type Chosen = Vec<u32>;

/// Epsilon of the key norm, which the config does not name.
const KEY_NORM_EPS: f64 = 1e-6;

#[derive(Debug)]
pub(super) struct Indexer {
    config: IndexerConfig,
    query: Linear,
    key: Linear,
    key_norm: LayerNorm,
    head_weights: Linear,
    pool_gate: Linear,
    /// Added to the gates of a pool's rows, by their place in it, `(pool, d)`.
    pool_places: Tensor,
}

impl Indexer {
    /// Reads the tensors right below `weights`.
    pub(super) fn load(
        config: &DecoderConfig,
        indexer: &IndexerConfig,
        q_rank: usize,
        weights: &Weights,
    ) -> std::result::Result<Self, LanguageError> {
        let (hidden, d) = (config.hidden_size, indexer.head_dim);
        let norm = weights.pp("k_norm");
        let norm = |part: &str| norm.tensor_as(part, d, DType::F32);
        Ok(Self {
            query: weights.pp("wq_b").linear(q_rank, indexer.heads * d, false)?,
            key: weights.pp("wk").linear(hidden, d, false)?,
            key_norm: LayerNorm::new(norm("weight")?, norm("bias")?, KEY_NORM_EPS),
            head_weights: weights.pp("weights_proj").linear(hidden, indexer.heads, false)?,
            pool_gate: Linear::new(weights.tensor("index_kpool_compress_gate", (d, hidden))?, None),
            pool_places: weights.tensor_as(
                "index_kpool_compress_ape",
                (indexer.pool, d),
                DType::F32,
            )?,
            config: indexer.clone(),
        })
    }

    /// Adds rows `x` `(rows, hidden)` to what the cache has of the keys, and chooses for each of
    /// them; `q_latent` `(rows, q_rank)` is what attention makes its queries from. The first of
    /// them is row `first` of the sequence.
    pub(super) fn choose(
        &self,
        x: &Tensor,
        q_latent: &Tensor,
        first: usize,
        cache: &mut LatentCache,
    ) -> Result<Vec<Chosen>> {
        let IndexerConfig { heads, head_dim, top_k, pool } = self.config;
        let pools = self.pool(x, cache)?; // (pools, d)
        let rows = x.dim(0)?;
        let q = self.query.forward(q_latent)?.to_dtype(DType::F32)?;
        let q = (q.reshape((rows, heads, head_dim))? * (head_dim as f64).powf(-0.5))?;
        let weights = self.head_weights.forward(x)?.to_dtype(DType::F32)?; // (rows, heads)
        let weights = (weights * (heads as f64).powf(-0.5))?;
        let one = |row: usize| {
            let seen = first + row + 1;
            // Pools whose last row stands at this row or before it.
            let whole = seen / pool;
            let tail = (whole * pool) as u32..seen as u32;
            if whole <= top_k / pool {
                return Ok((0..seen as u32).collect());
            }
            let keys = pools.narrow(0, 0, whole)?;
            let scores = scores(&q.get(row)?, &keys, &weights.narrow(0, row, 1)?)?;
            let mut best = best(&scores, top_k / pool);
            best.sort_unstable();
            let keys = best.iter().flat_map(|at| (at * pool) as u32..((at + 1) * pool) as u32);
            Ok(keys.chain(tail).collect())
        };
        (0..rows).map(one).collect()
    }

    /// Keys of all whole pools so far, `(pools, d)` in f32, after rows `x` `(rows, hidden)`.
    fn pool(&self, x: &Tensor, cache: &mut LatentCache) -> Result<Tensor> {
        let IndexerConfig { head_dim: d, pool, .. } = self.config;
        let keys = self.key_norm.forward(&self.key.forward(x)?.to_dtype(DType::F32)?)?;
        let gates = self.pool_gate.forward(x)?.to_dtype(DType::F32)?;
        let mut both = Tensor::cat(&[keys, gates], 1)?; // (rows, 2 · d)
        if let Some(waiting) = cache.waiting.take() {
            both = Tensor::cat(&[waiting, both], 0)?;
        }
        let rows = both.dim(0)?;
        let whole = rows / pool;
        let left = rows - whole * pool;
        if left > 0 {
            cache.waiting = Some(both.narrow(0, whole * pool, left)?.copy()?);
        }
        let pools = both.narrow(0, 0, whole * pool)?.reshape((whole, pool, 2 * d))?;
        if whole == 0 {
            return all_of(cache.pools.append(&Tensor::zeros(
                (1, 0, d),
                DType::F32,
                x.device(),
            )?)?);
        }
        let gates = pools.narrow(2, d, d)?.broadcast_add(&self.pool_places)?;
        let shares = softmax(&gates, 1)?; // (whole, pool, d)
        let pools = (pools.narrow(2, 0, d)? * shares)?.sum(1)?; // (whole, d)
        all_of(cache.pools.append(&pools.unsqueeze(0)?)?)
    }
}

/// Rows `(1, pools, d)` as `(pools, d)`.
fn all_of(pools: KeptRows) -> Result<Tensor> {
    pools.numbers(DType::F32)?.squeeze(0)
}

/// `Σ over heads of w · relu(q · k)` of one row's queries `(heads, d)`, scaled, over keys
/// `(pools, d)`, by weights `(1, heads)`.
fn scores(q: &Tensor, keys: &Tensor, weights: &Tensor) -> Result<Vec<f32>> {
    let by_head = q.matmul(&keys.t()?)?.relu()?; // (heads, pools)
    weights.matmul(&by_head)?.squeeze(0)?.to_vec1()
}

/// The places of the `count` largest scores.
fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<(usize, &f32)> = scores.iter().enumerate().collect();
    places.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    places.into_iter().take(count).map(|(place, _)| place).collect()
}

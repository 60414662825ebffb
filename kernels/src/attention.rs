//! Scaled dot-product attention whose score matrix never exceeds a fixed size.

use candle_core::{DType, Device, Result, Tensor};

/// The score block's size that a call may hold at once, in values over all heads (32 MiB in f32).
const SCORE_BLOCK: usize = 8 << 20;

/// Which keys a query may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Every query sees every key (the vision towers).
    Full,
    /// The queries are the last rows of the sequence, and see the keys up to their own row.
    Causal,
}

/// Attention of `q` `(heads, queries, d)` over `k` and `v` `(kv_heads, keys, d)`.
///
/// Scores are scaled by `1/√d`; the softmax is taken in f32. Query head `h` reads key-value head
/// `⌊h / (heads / kv_heads)⌋` (grouped-query attention, Ainslie et al. 2023). The queries are
/// taken in blocks, so memory grows with the number of keys and not with its square.
///
/// Returns `(queries, heads · d)`.
///
/// # Errors
/// When shapes, types or devices don't fit one another, or causal queries outnumber the keys.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask) -> Result<Tensor> {
    let (heads, queries, d) = q.dims3()?;
    let (kv_heads, keys, _) = k.dims3()?;
    if kv_heads == 0 || heads % kv_heads != 0 {
        candle_core::bail!("{heads} query heads cannot share {kv_heads} key-value heads");
    }
    if mask == Mask::Causal && queries > keys {
        candle_core::bail!("{queries} causal queries over {keys} keys");
    }
    let block = (SCORE_BLOCK / (heads * keys).max(1)).clamp(1, queries.max(1));
    let keys_transposed = k.t()?; // (kv_heads, d, keys)
    let mut outputs = Vec::with_capacity(queries.div_ceil(block));
    for start in (0..queries).step_by(block) {
        let rows = block.min(queries - start);
        let q = (q.narrow(1, start, rows)? * (1.0 / (d as f64).sqrt()))?;
        let last_seen = if mask == Mask::Causal { keys - queries + start } else { keys };
        outputs.push(attend_block(&q, &keys_transposed, v, last_seen)?); // (rows, heads · d)
    }
    match outputs.as_slice() {
        [one] => Ok(one.clone()),
        _ => Tensor::cat(&outputs, 0),
    }
}

/// One block of scaled queries `(heads, rows, d)`: row `r` sees keys `0..=last_seen + r`.
fn attend_block(q: &Tensor, kt: &Tensor, v: &Tensor, last_seen: usize) -> Result<Tensor> {
    let (heads, rows, d) = q.dims3()?;
    let (kv_heads, _, all_keys) = kt.dims3()?;
    let keys = all_keys.min(last_seen + rows); // later keys are masked for every row
    let group = heads / kv_heads;
    let q = q.contiguous()?.reshape((kv_heads, group * rows, d))?;
    let scores = q.matmul(&kt.narrow(2, 0, keys)?)?; // (kv_heads, group · rows, keys)
    let mut scores = scores.to_dtype(DType::F32)?;
    if rows > 1 && last_seen < all_keys {
        let mask = causal_mask(rows, keys, last_seen, q.device())?; // (rows, keys)
        scores = scores.reshape((heads, rows, keys))?.broadcast_add(&mask)?;
        scores = scores.reshape((kv_heads, group * rows, keys))?;
    }
    let weights = candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?;
    let out = weights.matmul(&v.narrow(1, 0, keys)?)?; // (kv_heads, group · rows, d)
    out.reshape((heads, rows, d))?.transpose(0, 1)?.reshape((rows, heads * d))
}

/// `(rows, keys)` of 0 where row `r` may see the key, and -∞ after key `last_seen + r`.
fn causal_mask(rows: usize, keys: usize, last_seen: usize, device: &Device) -> Result<Tensor> {
    let values: Vec<f32> = (0..rows)
        .flat_map(|row| {
            let seen = last_seen + row;
            (0..keys).map(move |key| if key <= seen { 0.0 } else { f32::NEG_INFINITY })
        })
        .collect();
    Tensor::from_vec(values, (rows, keys), device)
}

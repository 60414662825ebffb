//! Scaled dot-product attention that never holds the score matrix.

mod blocked;
mod bytes;
mod direct;
mod format;
mod kept;
mod pack;
mod product;
#[cfg(test)]
mod tests;

use crate::cpu::{Values, is_f32_on_cpu, values_of};
use crate::simd::Level;
#[cfg(target_arch = "x86_64")]
use crate::tiles;
use blocked::{Heads, Kept, Problem, attend};
use bytes::Bytes;
use candle_core::{DType, Device, Result, Storage, Tensor, WithDType};
#[cfg(target_arch = "x86_64")]
use format::Tiled;
use format::{Pairs, Single};
pub use kept::KeptRows;
use kept::{kept, lock};
use std::ops::Deref;

/// On devices other than the CPU: the score block's size that a call may hold at once, in values
/// over all heads (32 MiB in f32).
const SCORE_BLOCK: usize = 8 << 20;

/// The fewest queries over a cache whose products may be rounded: more than are decoded together.
const ROUNDED_QUERIES: usize = 64;

/// Which keys a query may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Every query sees every key (the vision towers).
    Full,
    /// The queries are the last rows of the sequence, and see the keys up to their own row.
    Causal,
}

/// What the operands of products are rounded to; sums are always in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Nothing: they stay in f32.
    Single,
    /// bf16, where the processor has dot products of it that are faster than those of f32; elsewhere
    /// they stay in f32.
    Bf16,
    /// Queries and keys bytes, weights and values as in [`Precision::Bf16`], where the processor has
    /// dot products of bytes and no AMX, whose tiles of bf16 are faster still; elsewhere all as there.
    Bytes,
}

/// Attention of `q` `(heads, queries, d)` over `k` and `v` `(kv_heads, keys, d)`.
///
/// Scores are scaled by `1/√d`; the softmax is taken in f32. Query head `h` reads key-value head
/// `⌊h / (heads / kv_heads)⌋` (grouped-query attention, Ainslie et al. 2023). Rows may lie anywhere
/// in memory, as long as the channels of a row lie side by side: views of a fused projection or of
/// a cache are read where they are. On the CPU everything is computed in f32.
///
/// Returns `(queries, heads · d)`.
///
/// # Errors
/// When shapes, types or devices don't fit one another, or causal queries outnumber the keys.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask) -> Result<Tensor> {
    attention_in(Precision::Single, q, k, v, mask)
}

/// [`attention`] whose operands may be rounded. In [`Precision::Bf16`] queries, keys, values and
/// weights are each off by at most 2⁻⁸ of themselves, weights by 1.1 · 10⁻⁴ more. With that an output
/// is off by at most 2⁻⁷ · (2 · s + 1.6) of the largest value, where `s` is the largest of the sums of
/// `|q · k| / √d`. In [`Precision::Bytes`] queries and keys are instead off by at most 1/254 of the
/// largest channel of their row.
///
/// # Errors
/// As [`attention`].
pub fn attention_in(
    precision: Precision,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    mask: Mask,
) -> Result<Tensor> {
    fit(q.dims3()?, [k.dims(), v.dims()], mask)?;
    match q.device() {
        Device::Cpu => on_cpu(precision, q, k, v, mask),
        _ => on_device(q, k, v, mask),
    }
}

/// [`attention_in`] over keys and values as a cache keeps them. Those in bytes or f16 become numbers
/// as they are read. Fewer than 64 queries are never rounded: what is decoded must not depend on how
/// many rows are decoded together. More are rounded to bf16 at most: keys of decoders are known for
/// channels far larger than the others, which bytes would be made for.
///
/// # Errors
/// As [`attention`].
pub fn attention_over(
    precision: Precision,
    q: &Tensor,
    k: &KeptRows,
    v: &KeptRows,
    mask: Mask,
) -> Result<Tensor> {
    let few = q.dims().get(1).is_some_and(|queries| *queries < ROUNDED_QUERIES);
    let precision = match precision {
        Precision::Bf16 | Precision::Bytes if !few => Precision::Bf16,
        _ => Precision::Single,
    };
    if let (KeptRows::Float(k), KeptRows::Float(v)) = (k, v)
        && [k, v].iter().all(|rows| rows.dtype() == q.dtype())
    {
        return attention_in(precision, q, k, v, mask);
    }
    if !(is_f32_on_cpu(q) && k.has_whole_rows() && v.has_whole_rows()) {
        return attention(q, &k.numbers(q.dtype())?, &v.numbers(q.dtype())?, mask);
    }
    fit(q.dims3()?, [k.dims(), v.dims()], mask)?;
    let q = with_whole_rows(q)?;
    let (keys, values) = (lock(k), lock(v));
    let sizes = (q.dims3()?, k.dims());
    computed(precision, sizes, heads_of(&values_of(&q))?, [kept(&keys)?, kept(&values)?], mask)
}

/// Checks that queries fit keys and values of these sizes.
fn fit(
    (heads, queries, d): (usize, usize, usize),
    [k, v]: [&[usize]; 2],
    mask: Mask,
) -> Result<()> {
    let &[kv_heads, keys, k_d] = k else {
        candle_core::bail!("expected keys of heads, rows and channels, found {k:?}")
    };
    if kv_heads == 0 || heads % kv_heads != 0 {
        candle_core::bail!("{heads} query heads cannot share {kv_heads} key-value heads");
    }
    if k != v || k_d != d {
        let q = [heads, queries, d];
        candle_core::bail!("queries {q:?}, keys {k:?} and values {v:?} don't fit together");
    }
    if mask == Mask::Causal && queries > keys {
        candle_core::bail!("{queries} causal queries over {keys} keys");
    }
    Ok(())
}

fn on_cpu(precision: Precision, q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask) -> Result<Tensor> {
    let dtype = q.dtype();
    if dtype != DType::F32 {
        let [q, k, v] = [q, k, v].map(|x| x.to_dtype(DType::F32));
        return on_cpu(precision, &q?, &k?, &v?, mask)?.to_dtype(dtype);
    }
    let [q, k, v] = [q, k, v].map(with_whole_rows);
    let (q, k, v) = (q?, k?, v?);
    let [q_values, k_values, v_values] = [&q, &k, &v].map(values_of);
    let kept = [Kept::Floats(heads_of(&k_values)?), Kept::Floats(heads_of(&v_values)?)];
    computed(precision, (q.dims3()?, k.dims()), heads_of(&q_values)?, kept, mask)
}

/// `sizes` are those of the queries and of the keys.
fn computed(
    precision: Precision,
    sizes: ((usize, usize, usize), &[usize]),
    q: Heads<'_>,
    [k, v]: [Kept<'_>; 2],
    mask: Mask,
) -> Result<Tensor> {
    let ((heads, queries, d), &[kv_heads, keys, _]) = sizes else {
        candle_core::bail!("expected heads, rows and channels")
    };
    let problem = Problem { q, k, v, heads, kv_heads, queries, keys, d, mask };
    let level = Level::widest();
    let attended = match precision {
        Precision::Single => attend::<Single>(&problem, level),
        #[cfg(target_arch = "x86_64")]
        _ if level.multiplies_pairs() && tiles::detected() => attend::<Tiled>(&problem, level),
        Precision::Bytes if level.multiplies_bytes() => match level.is_fast_with_pairs() {
            true => attend::<Bytes<Pairs>>(&problem, level),
            false => attend::<Bytes<Single>>(&problem, level),
        },
        _ if level.is_fast_with_pairs() => attend::<Pairs>(&problem, level),
        _ => attend::<Single>(&problem, level),
    };
    Tensor::from_vec(attended, (queries, heads * d), &Device::Cpu)
}

/// The tensor, copied only where the channels of its rows don't lie side by side.
fn with_whole_rows(x: &Tensor) -> Result<Tensor> {
    if !is_f32_on_cpu(x) {
        candle_core::bail!("attention takes queries, keys and values of one type on one device");
    }
    if x.stride().last() == Some(&1) { Ok(x.clone()) } else { x.copy() }
}

fn heads_of<'a, T: WithDType>(
    values: &'a Values<'_, impl Deref<Target = Storage>>,
) -> Result<Heads<'a, T>> {
    match *values.strides() {
        [head, row, _] => Ok(Heads { values: values.since_first()?, strides: [head, row] }),
        _ => candle_core::bail!("expected heads, rows and channels"),
    }
}

/// Attention by candle's operations. The queries are taken in blocks, so memory grows with the
/// number of keys and not with its square.
fn on_device(q: &Tensor, k: &Tensor, v: &Tensor, mask: Mask) -> Result<Tensor> {
    let (heads, queries, d) = q.dims3()?;
    let keys = k.dim(1)?;
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

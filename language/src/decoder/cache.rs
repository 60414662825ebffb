//! Keys and values of the rows that a sequence has run so far.

use super::hybrid::{LatentCache, RecurrentState};
use candle_core::{DType, Device, Result, Tensor};
use glm4v_kernels::KeptRows;

/// Rows that the cache grows by at least, so that decoding does not copy it at each token.
const GROWTH: usize = 256;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheType {
    /// In the type that the model runs in.
    #[default]
    Float,
    /// In 8 bits, with a scale in f32 for each row of each head: a quarter of f32's memory. They
    /// become numbers again as attention reads them.
    Int8,
}

/// One sequence's keys and values in every layer, or what a layer keeps in their place. Not to be
/// cloned: clones of tensors share their memory, and the cache writes into it.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerState>,
}

/// What a layer keeps of a sequence.
#[derive(Debug)]
pub(super) enum LayerState {
    /// Keys and values.
    Rows(LayerCache),
    /// What keys and values are made from, and an indexer's keys.
    Latent(LatentCache),
    /// What linear attention remembers, which has no way back to an earlier row.
    Recurrent(RecurrentState),
}

impl KvCache {
    /// An empty cache for a decoder of `layers` layers.
    pub fn new(layers: usize, kept: CacheType) -> Self {
        let layer = || LayerCache { kept, ..LayerCache::default() };
        Self::of((0..layers).map(|_| LayerState::Rows(layer())))
    }

    /// A cache of these states.
    pub(super) fn of(layers: impl Iterator<Item = LayerState>) -> Self {
        Self { layers: layers.collect() }
    }

    /// The number of rows that every layer has.
    pub fn len(&self) -> usize {
        self.layers.iter().map(LayerState::length).min().unwrap_or(0)
    }

    /// Whether no row has been run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every row from `length` on, and returns how many are left. A shorter cache stays as it
    /// is. A recurrent state has no way back to an earlier row, so a longer cache with one forgets all.
    pub fn truncate(&mut self, length: usize) -> usize {
        // The longest layer counts: a pass that failed may have run some layers and not the others.
        let longest = self.layers.iter().map(LayerState::length).max().unwrap_or(0);
        if longest > length && !self.rewinds() {
            self.layers.iter_mut().for_each(LayerState::clear);
        }
        for layer in &mut self.layers {
            if let LayerState::Rows(rows) = layer {
                rows.length = rows.length.min(length);
            }
        }
        self.len()
    }

    /// Whether [`Self::truncate`] can go back to any row.
    fn rewinds(&self) -> bool {
        self.layers.iter().all(|layer| matches!(layer, LayerState::Rows(_)))
    }

    /// A cache of its own with the same rows, for a sequence that goes on differently.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn fork(&self) -> Result<Self> {
        let layers = self.layers.iter().map(LayerState::fork).collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    /// Takes room for `rows` rows when it next grows, so that it need not move them again before
    /// there are as many.
    pub fn reserve(&mut self, rows: usize) {
        for layer in &mut self.layers {
            match layer {
                LayerState::Rows(layer) => layer.reserved = rows,
                LayerState::Latent(layer) => layer.reserve(rows),
                LayerState::Recurrent(_) => {}
            }
        }
    }

    /// The memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(LayerState::bytes).sum()
    }

    pub(super) fn layer(&mut self, i: usize) -> Result<&mut LayerCache> {
        match self.state(i)? {
            LayerState::Rows(layer) => Ok(layer),
            _ => candle_core::bail!("layer {i} of the cache has no keys: {OTHER_DECODER}"),
        }
    }

    /// What layer `i` keeps.
    pub(super) fn state(&mut self, i: usize) -> Result<&mut LayerState> {
        match self.layers.get_mut(i) {
            Some(state) => Ok(state),
            None => candle_core::bail!("the cache has no layer {i}: {OTHER_DECODER}"),
        }
    }
}

const OTHER_DECODER: &str = "it belongs to another decoder";

impl LayerState {
    pub(super) fn recurrent(&mut self) -> Result<&mut RecurrentState> {
        match self {
            Self::Recurrent(state) => Ok(state),
            _ => candle_core::bail!("a layer of the cache has no state: {OTHER_DECODER}"),
        }
    }

    pub(super) fn latent(&mut self) -> Result<&mut LatentCache> {
        match self {
            Self::Latent(cache) => Ok(cache),
            _ => candle_core::bail!("a layer of the cache has no latents: {OTHER_DECODER}"),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.length,
            Self::Latent(cache) => cache.length(),
            Self::Recurrent(state) => state.length(),
        }
    }

    /// Forgets all rows.
    fn clear(&mut self) {
        match self {
            Self::Rows(rows) => rows.length = 0,
            Self::Latent(cache) => *cache = LatentCache::default(),
            Self::Recurrent(state) => *state = RecurrentState::default(),
        }
    }

    fn fork(&self) -> Result<Self> {
        Ok(match self {
            Self::Rows(rows) => Self::Rows(rows.fork()?),
            Self::Latent(cache) => Self::Latent(cache.fork()?),
            Self::Recurrent(state) => Self::Recurrent(state.clone()),
        })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.bytes(),
            Self::Latent(cache) => cache.bytes(),
            Self::Recurrent(state) => state.bytes(),
        }
    }
}

/// Keys and values of one layer: buffers `(kv_heads, capacity, d)` of which `length` rows are used.
#[derive(Debug, Default)]
pub(super) struct LayerCache {
    kept: CacheType,
    buffers: Option<(Buffer, Buffer)>,
    length: usize,
    reserved: usize,
}

impl LayerCache {
    /// Adds rows `(kv_heads, rows, d)`, and returns all keys and values `(kv_heads, length, d)`.
    pub(super) fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<(KeptRows, KeptRows)> {
        let length = self.length + k.dim(1)?;
        let (keys, values) = self.with_room(length, k)?;
        keys.write(k, self.length)?;
        values.write(v, self.length)?;
        self.length = length;
        let all = (keys.first(length)?, values.first(length)?);
        self.buffers = Some((keys, values));
        Ok(all)
    }

    fn bytes(&self) -> usize {
        self.buffers.as_ref().map_or(0, |(keys, values)| keys.bytes() + values.bytes())
    }

    fn fork(&self) -> Result<Self> {
        let buffers = match &self.buffers {
            Some((keys, values)) => Some((keys.copy()?, values.copy()?)),
            None => None,
        };
        Ok(Self { kept: self.kept, buffers, length: self.length, reserved: 0 })
    }

    /// The buffers, moved to larger ones when they have fewer than `length` rows.
    fn with_room(&mut self, length: usize, like: &Tensor) -> Result<(Buffer, Buffer)> {
        let old = self.buffers.take();
        let capacity = old.as_ref().map_or(Ok(0), |(keys, _)| keys.capacity())?;
        let old = match old {
            Some(buffers) if length <= capacity => return Ok(buffers),
            old => old,
        };
        let (kv_heads, _, d) = like.dims3()?;
        let rows = length.max(capacity + capacity / 2).max(self.reserved);
        let shape = (kv_heads, rows.next_multiple_of(GROWTH), d);
        let grown = || Buffer::zeros(self.kept, shape, like.dtype(), like.device());
        let (keys, values) = (grown()?, grown()?);
        if let Some((old_keys, old_values)) = old {
            old_keys.copy_to(&keys, self.length)?;
            old_values.copy_to(&values, self.length)?;
        }
        Ok((keys, values))
    }
}

/// Rows `(kv_heads, capacity, d)`.
#[derive(Debug)]
struct Buffer(KeptRows);

impl Buffer {
    fn zeros(
        kept: CacheType,
        shape: (usize, usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        Ok(Self(match kept {
            CacheType::Float => KeptRows::Float(Tensor::zeros(shape, dtype, device)?),
            CacheType::Int8 => KeptRows::Bytes {
                codes: Tensor::zeros(shape, DType::U8, device)?,
                scales: Tensor::zeros((shape.0, shape.1, 1), DType::F32, device)?,
            },
        }))
    }

    /// The same rows in memory of their own.
    fn copy(&self) -> Result<Self> {
        self.map(Tensor::copy).map(Self)
    }

    /// The first `length` rows, where they lie.
    fn first(&self, length: usize) -> Result<KeptRows> {
        self.map(|rows| rows.narrow(1, 0, length))
    }

    fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<KeptRows> {
        Ok(match &self.0 {
            KeptRows::Float(rows) => KeptRows::Float(change(rows)?),
            KeptRows::Bytes { codes, scales } => {
                KeptRows::Bytes { codes: change(codes)?, scales: change(scales)? }
            }
        })
    }

    fn capacity(&self) -> Result<usize> {
        self.0.tensors().first().map_or(Ok(0), |rows| rows.dim(1))
    }

    fn bytes(&self) -> usize {
        let bytes = |rows: &&Tensor| rows.elem_count() * rows.dtype().size_in_bytes();
        self.0.tensors().iter().map(bytes).sum()
    }

    /// Writes rows `(kv_heads, rows, d)` from row `at` on.
    fn write(&self, rows: &Tensor, at: usize) -> Result<()> {
        let new = match self.0 {
            KeptRows::Float(_) => Self(KeptRows::Float(rows.clone())),
            KeptRows::Bytes { .. } => Self(KeptRows::rounded(rows)?),
        };
        for (from, to) in new.0.tensors().into_iter().zip(self.0.tensors()) {
            to.slice_set(&from.contiguous()?, 1, at)?;
        }
        Ok(())
    }

    /// Copies the first `length` rows.
    fn copy_to(&self, other: &Self, length: usize) -> Result<()> {
        for (from, to) in self.0.tensors().into_iter().zip(other.0.tensors()) {
            to.slice_set(&from.narrow(1, 0, length)?.contiguous()?, 1, 0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize, seed: f32) -> Tensor {
        let values: Vec<f32> =
            (0..2 * count * 4).map(|i| ((i as f32 + seed) * 0.7).sin() * 3.0).collect();
        Tensor::from_vec(values, (2, count, 4), &Device::Cpu).unwrap()
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn rows_come_back_after_growth_and_truncation() {
        for (kept, bound) in [(CacheType::Float, 0.0), (CacheType::Int8, 3.0 / 127.0 / 2.0 * 1.01)]
        {
            let mut cache = KvCache::new(1, kept);
            cache.reserve(300);
            let (first, second) = (rows(200, 0.0), rows(400, 9.0));
            cache.layer(0).unwrap().append(&first, &first).unwrap();
            cache.truncate(150);
            let (keys, values) = cache.layer(0).unwrap().append(&second, &second).unwrap();
            let [keys, values] = [keys, values].map(|rows| rows.numbers(DType::F32).unwrap());
            assert_eq!((keys.dims(), cache.len()), (&[2, 550, 4][..], 550));
            let kept_rows = first.narrow(1, 0, 150).unwrap();
            let expected = Tensor::cat(&[&kept_rows, &second], 1).unwrap();
            assert!(largest_difference(&keys, &expected) <= bound, "{kept:?}");
            assert!(largest_difference(&values, &expected) <= bound, "{kept:?}");
        }
    }

    #[test]
    fn eight_bits_take_less_than_a_third_of_f32_for_heads_of_64() {
        let bytes = |kept| {
            let mut cache = KvCache::new(1, kept);
            let rows = Tensor::ones((2, 10, 64), DType::F32, &Device::Cpu).unwrap();
            cache.layer(0).unwrap().append(&rows, &rows).unwrap();
            cache.bytes()
        };
        assert!(3 * bytes(CacheType::Int8) < bytes(CacheType::Float));
    }
}

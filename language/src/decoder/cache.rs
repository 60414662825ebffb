//! Keys and values of the rows that a sequence has run so far.

mod growing;
mod mark;

use super::hybrid::{LatentCache, RecurrentState};
use candle_core::{Result, Tensor};
use glm4v_kernels::KeptRows;
pub(super) use growing::GrowingRows;
pub use mark::CacheMark;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheType {
    /// In [`CacheType::Half`] beside weights of fewer bits than f32, in [`CacheType::Float`] otherwise.
    #[default]
    Auto,
    /// In the type that the model runs in.
    Float,
    /// In f16 where the model runs in f32 on a CPU: half the memory, and each number is off by at
    /// most 2⁻¹¹ of itself. Numbers beyond what f16 reaches are kept as its largest. Latents are kept
    /// as in [`CacheType::Float`].
    Half,
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
    /// An empty cache for a decoder of `layers` layers. It knows no weights, so [`CacheType::Auto`] is
    /// [`CacheType::Float`].
    pub fn new(layers: usize, kept: CacheType) -> Self {
        Self::of((0..layers).map(|_| LayerState::Rows(LayerCache::new(kept))))
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
                rows.truncate(length);
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
                LayerState::Rows(layer) => layer.reserve(rows),
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
            Self::Rows(rows) => rows.length(),
            Self::Latent(cache) => cache.length(),
            Self::Recurrent(state) => state.length(),
        }
    }

    /// Forgets all rows.
    fn clear(&mut self) {
        match self {
            Self::Rows(rows) => rows.truncate(0),
            Self::Latent(cache) => cache.clear(),
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

/// Keys and values of one layer, `(kv_heads, length, d)`.
#[derive(Debug, Default)]
pub(super) struct LayerCache {
    keys: GrowingRows,
    values: GrowingRows,
}

impl LayerCache {
    fn new(kept: CacheType) -> Self {
        Self { keys: GrowingRows::new(kept), values: GrowingRows::new(kept) }
    }

    /// Adds rows `(kv_heads, rows, d)`, and returns all keys and values `(kv_heads, length, d)`.
    pub(super) fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<(KeptRows, KeptRows)> {
        self.truncate(self.length()); // a pass that failed may have left keys without values
        Ok((self.keys.append(k)?, self.values.append(v)?))
    }

    /// Rows whose keys and values are there.
    fn length(&self) -> usize {
        self.values.length()
    }

    fn truncate(&mut self, length: usize) {
        let length = length.min(self.length());
        self.keys.truncate(length);
        self.values.truncate(length);
    }

    fn reserve(&mut self, rows: usize) {
        self.keys.reserve(rows);
        self.values.reserve(rows);
    }

    fn bytes(&self) -> usize {
        self.keys.bytes() + self.values.bytes()
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self { keys: self.keys.fork()?, values: self.values.fork()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

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
        let bounds = [
            (CacheType::Float, 0.0),
            (CacheType::Half, 3.0 / 2048.0),
            (CacheType::Int8, 3.0 / 127.0 / 2.0 * 1.01),
        ];
        for (kept, bound) in bounds {
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
    fn halves_take_half_of_f32_and_eight_bits_less_than_a_third_for_heads_of_64() {
        let bytes = |kept| {
            let mut cache = KvCache::new(1, kept);
            let rows = Tensor::ones((2, 10, 64), DType::F32, &Device::Cpu).unwrap();
            cache.layer(0).unwrap().append(&rows, &rows).unwrap();
            cache.bytes()
        };
        assert_eq!(2 * bytes(CacheType::Half), bytes(CacheType::Float));
        assert!(3 * bytes(CacheType::Int8) < bytes(CacheType::Float));
    }
}

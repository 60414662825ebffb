//! Keys and values of the rows that a sequence has run so far.

use candle_core::{Result, Tensor};

/// Rows that the cache grows by at least, so that decoding does not copy it at each token.
const GROWTH: usize = 256;

/// One sequence's keys and values in every layer. Not to be cloned: clones of tensors share their
/// memory, and the cache writes into it.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
}

impl KvCache {
    /// An empty cache for a decoder of `layers` layers.
    pub fn new(layers: usize) -> Self {
        Self { layers: (0..layers).map(|_| LayerCache::default()).collect() }
    }

    /// The number of rows that every layer has.
    pub fn len(&self) -> usize {
        self.layers.iter().map(|layer| layer.length).min().unwrap_or(0)
    }

    /// Whether no row has been run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets every row from `length` on; a shorter cache stays as it is.
    pub fn truncate(&mut self, length: usize) {
        for layer in &mut self.layers {
            layer.length = layer.length.min(length);
        }
    }

    /// A cache of its own with the same rows, for a sequence that goes on differently.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn fork(&self) -> Result<Self> {
        let layers = self.layers.iter().map(LayerCache::fork).collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    pub(super) fn layer(&mut self, i: usize) -> Result<&mut LayerCache> {
        match self.layers.get_mut(i) {
            Some(layer) => Ok(layer),
            None => candle_core::bail!("the cache has no layer {i}; it belongs to another decoder"),
        }
    }
}

/// Keys and values of one layer: buffers `(kv_heads, capacity, d)` of which `length` rows are used.
#[derive(Debug, Default)]
pub(super) struct LayerCache {
    buffers: Option<(Tensor, Tensor)>,
    length: usize,
}

impl LayerCache {
    /// Adds rows `(kv_heads, rows, d)`, and returns all keys and values `(kv_heads, length, d)`.
    pub(super) fn append(&mut self, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let length = self.length + k.dim(1)?;
        let (keys, values) = self.with_room(length, k)?;
        keys.slice_set(&k.contiguous()?, 1, self.length)?;
        values.slice_set(&v.contiguous()?, 1, self.length)?;
        self.length = length;
        let all = (keys.narrow(1, 0, length)?, values.narrow(1, 0, length)?);
        self.buffers = Some((keys, values));
        Ok(all)
    }

    fn fork(&self) -> Result<Self> {
        let Some((keys, values)) = &self.buffers else { return Ok(Self::default()) };
        let copies = Self { buffers: None, length: 0 };
        let (new_keys, new_values) = copies.with_room(self.length.max(1), keys)?;
        if self.length > 0 {
            new_keys.slice_set(&keys.narrow(1, 0, self.length)?.contiguous()?, 1, 0)?;
            new_values.slice_set(&values.narrow(1, 0, self.length)?.contiguous()?, 1, 0)?;
        }
        Ok(Self { buffers: Some((new_keys, new_values)), length: self.length })
    }

    /// The buffers, moved to larger ones when they have fewer than `length` rows.
    fn with_room(&self, length: usize, like: &Tensor) -> Result<(Tensor, Tensor)> {
        let capacity = match &self.buffers {
            Some((keys, _)) => keys.dim(1)?,
            None => 0,
        };
        if let (Some((keys, values)), true) = (&self.buffers, length <= capacity) {
            return Ok((keys.clone(), values.clone()));
        }
        let (kv_heads, _, d) = like.dims3()?;
        let rows = length.max(capacity + capacity / 2).next_multiple_of(GROWTH);
        let grown = || Tensor::zeros((kv_heads, rows, d), like.dtype(), like.device());
        let (keys, values) = (grown()?, grown()?);
        if let Some((old_keys, old_values)) = &self.buffers {
            keys.slice_set(&old_keys.narrow(1, 0, self.length)?.contiguous()?, 1, 0)?;
            values.slice_set(&old_values.narrow(1, 0, self.length)?.contiguous()?, 1, 0)?;
        }
        Ok((keys, values))
    }
}

//! What the layers keep of a sequence's rows.

use crate::decoder::cache::{CacheType, GrowingRows};
use candle_core::{DType, Result, Tensor};

/// What linear attention keeps: as much for a long sequence as for a short one. Its tensors are
/// replaced, not written into, so clones are independent.
#[derive(Clone, Debug, Default)]
pub(in crate::decoder) struct RecurrentState {
    /// The last rows before the convolution, `(kernel − 1, 3 · heads · d)`.
    pub(super) convolved: Option<Tensor>,
    /// What the delta rule remembers, `(heads, d, d)`.
    pub(super) memory: Option<Tensor>,
    pub(super) length: usize,
}

impl RecurrentState {
    pub(in crate::decoder) fn length(&self) -> usize {
        self.length
    }

    pub(in crate::decoder) fn bytes(&self) -> usize {
        [&self.convolved, &self.memory].into_iter().flatten().map(bytes).sum()
    }
}

/// What latent attention keeps.
#[derive(Debug, Default)]
pub(in crate::decoder) struct LatentCache {
    /// What keys and values are made from, `(1, length, kv_rank)`.
    pub(super) latents: GrowingRows,
    /// A key of the indexer for each whole pool, `(1, length / pool, d)`; always in numbers, as the
    /// order of scores is at stake.
    pub(super) pools: GrowingRows,
    /// The indexer's keys and gates of rows that fill no pool yet, `(less than pool, 2 · d)`.
    /// Replaced, not written into.
    pub(super) waiting: Option<Tensor>,
}

/// A point that a [`LatentCache`] can go back to.
#[derive(Clone, Debug)]
pub(in crate::decoder) struct LatentMark {
    latents: usize,
    pools: usize,
    waiting: Option<Tensor>,
}

impl LatentCache {
    pub(in crate::decoder) fn new(kept: CacheType) -> Self {
        Self { latents: GrowingRows::new(kept), ..Self::default() }
    }

    pub(in crate::decoder) fn length(&self) -> usize {
        self.latents.length()
    }

    pub(in crate::decoder) fn reserve(&mut self, rows: usize) {
        self.latents.reserve(rows);
    }

    /// Forgets all rows.
    pub(in crate::decoder) fn clear(&mut self) {
        self.return_to(&LatentMark { latents: 0, pools: 0, waiting: None });
    }

    pub(in crate::decoder) fn mark(&self) -> LatentMark {
        let (latents, pools) = (self.latents.length(), self.pools.length());
        LatentMark { latents, pools, waiting: self.waiting.clone() }
    }

    /// Whether it has all rows of the mark.
    pub(in crate::decoder) fn has(&self, mark: &LatentMark) -> bool {
        self.latents.length() >= mark.latents && self.pools.length() >= mark.pools
    }

    /// Forgets the rows after the mark.
    pub(in crate::decoder) fn return_to(&mut self, mark: &LatentMark) {
        self.latents.truncate(mark.latents);
        self.pools.truncate(mark.pools);
        self.waiting.clone_from(&mark.waiting);
    }

    pub(in crate::decoder) fn bytes(&self) -> usize {
        self.latents.bytes() + self.pools.bytes() + self.waiting.as_ref().map_or(0, bytes)
    }

    pub(in crate::decoder) fn fork(&self) -> Result<Self> {
        let (latents, pools) = (self.latents.fork()?, self.pools.fork()?);
        Ok(Self { latents, pools, waiting: self.waiting.clone() })
    }
}

fn bytes(tensor: &Tensor) -> usize {
    tensor.elem_count() * tensor.dtype().size_in_bytes()
}

/// The state's tensor, or zeros of `shape` in f32 before the first row.
pub(super) fn or_zeros(state: &Option<Tensor>, shape: &[usize], like: &Tensor) -> Result<Tensor> {
    match state {
        Some(state) => Ok(state.clone()),
        None => Tensor::zeros(shape, DType::F32, like.device()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::cache::{KvCache, LayerState};

    /// A pass that fails half-way has run some layers and not the others.
    #[test]
    fn a_state_ahead_of_the_other_layers_is_forgotten() {
        let ahead = RecurrentState { length: 3, ..RecurrentState::default() };
        let layers = [LayerState::Recurrent(ahead), LayerState::Latent(LatentCache::default())];
        let mut cache = KvCache::of(layers.into_iter());
        assert_eq!(cache.truncate(0), 0);
        assert_eq!(cache.state(0).unwrap().recurrent().unwrap().length(), 0);
    }
}

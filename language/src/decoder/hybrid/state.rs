//! What the layers keep of a sequence's rows.

use candle_core::{DType, Result, Tensor};

/// Rows that a buffer grows by at least.
const GROWTH: usize = 256;

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
    /// What keys and values are made from, `(length, kv_rank)`.
    pub(super) latents: GrowingRows,
    /// A key of the indexer for each whole pool, `(length / pool, d)`.
    pub(super) pools: GrowingRows,
    /// The indexer's keys and gates of rows that fill no pool yet, `(less than pool, 2 · d)`.
    pub(super) waiting: Option<Tensor>,
}

impl LatentCache {
    pub(in crate::decoder) fn length(&self) -> usize {
        self.latents.length
    }

    pub(in crate::decoder) fn reserve(&mut self, rows: usize) {
        self.latents.reserved = rows;
    }

    pub(in crate::decoder) fn bytes(&self) -> usize {
        let buffers = [&self.latents.buffer, &self.pools.buffer, &self.waiting];
        buffers.into_iter().flatten().map(bytes).sum()
    }

    pub(in crate::decoder) fn fork(&self) -> Result<Self> {
        let (latents, pools) = (self.latents.fork()?, self.pools.fork()?);
        Ok(Self { latents, pools, waiting: self.waiting.clone() })
    }
}

/// Rows `(length, width)` in a buffer with room for more.
#[derive(Debug, Default)]
pub(super) struct GrowingRows {
    buffer: Option<Tensor>,
    length: usize,
    reserved: usize,
}

impl GrowingRows {
    /// Adds rows `(rows, width)`, and returns all of them `(length, width)`.
    pub(super) fn append(&mut self, rows: &Tensor) -> Result<Tensor> {
        let (count, width) = rows.dims2()?;
        let length = self.length + count;
        let capacity = self.buffer.as_ref().map_or(Ok(0), |buffer| buffer.dim(0))?;
        let buffer = match self.buffer.take() {
            Some(buffer) if length <= capacity => buffer,
            old => {
                let room = length.max(capacity + capacity / 2).max(self.reserved);
                let shape = (room.next_multiple_of(GROWTH), width);
                let grown = Tensor::zeros(shape, rows.dtype(), rows.device())?;
                if let Some(old) = old.filter(|_| self.length > 0) {
                    grown.slice_set(&old.narrow(0, 0, self.length)?.contiguous()?, 0, 0)?;
                }
                grown
            }
        };
        if count > 0 {
            buffer.slice_set(&rows.contiguous()?, 0, self.length)?;
        }
        self.length = length;
        let all = buffer.narrow(0, 0, length)?;
        self.buffer = Some(buffer);
        Ok(all)
    }

    fn fork(&self) -> Result<Self> {
        let buffer = self.buffer.as_ref().map(Tensor::copy).transpose()?;
        Ok(Self { buffer, length: self.length, reserved: 0 })
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

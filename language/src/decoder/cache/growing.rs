//! Rows in a buffer with room for more.

use super::CacheType;
use candle_core::{DType, Device, Result, Tensor};
use glm4v_kernels::{KeptRows, copy_rows};

/// Rows that a buffer grows by at least, so that decoding does not copy it at each token.
const GROWTH: usize = 256;

/// Rows `(heads, length, width)` of a sequence.
#[derive(Debug, Default)]
pub(in crate::decoder) struct GrowingRows {
    kept: CacheType,
    buffer: Option<Buffer>,
    length: usize,
    /// Rows that it takes room for when it next grows.
    reserved: usize,
}

impl GrowingRows {
    pub(in crate::decoder) fn new(kept: CacheType) -> Self {
        Self { kept, ..Self::default() }
    }

    pub(in crate::decoder) fn length(&self) -> usize {
        self.length
    }

    pub(in crate::decoder) fn reserve(&mut self, rows: usize) {
        self.reserved = rows;
    }

    /// Adds rows `(heads, rows, width)`, and returns all of them, `(heads, length, width)`.
    pub(in crate::decoder) fn append(&mut self, rows: &Tensor) -> Result<KeptRows> {
        let length = self.length + rows.dim(1)?;
        let buffer = self.with_room(length, rows)?;
        if length > self.length {
            buffer.write(rows, self.length)?;
        }
        let all = buffer.first(length)?;
        self.buffer = Some(buffer);
        self.length = length;
        Ok(all)
    }

    /// Forgets the rows from `length` on.
    pub(in crate::decoder) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    pub(in crate::decoder) fn bytes(&self) -> usize {
        self.buffer.as_ref().map_or(0, Buffer::bytes)
    }

    /// The same rows in memory of their own.
    pub(in crate::decoder) fn fork(&self) -> Result<Self> {
        let buffer = self.buffer.as_ref().map(Buffer::copy).transpose()?;
        Ok(Self { kept: self.kept, buffer, length: self.length, reserved: 0 })
    }

    /// The buffer, or a larger one with the same rows when it has room for fewer than `length`.
    fn with_room(&self, length: usize, like: &Tensor) -> Result<Buffer> {
        let capacity = self.buffer.as_ref().map_or(Ok(0), Buffer::capacity)?;
        if let Some(buffer) = self.buffer.as_ref().filter(|_| length <= capacity) {
            return Ok(buffer.clone());
        }
        let (heads, _, width) = like.dims3()?;
        let rows = length.max(capacity + capacity / 2).max(self.reserved);
        let shape = (heads, rows.next_multiple_of(GROWTH), width);
        let grown = Buffer::zeros(self.kept, shape, like.dtype(), like.device())?;
        if let Some(old) = self.buffer.as_ref().filter(|_| self.length > 0) {
            old.copy_to(&grown, self.length)?;
        }
        Ok(grown)
    }
}

/// Rows `(heads, capacity, width)`. Clones are the same memory.
#[derive(Clone, Debug)]
struct Buffer(KeptRows);

impl Buffer {
    fn zeros(
        kept: CacheType,
        shape: (usize, usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        Ok(Self(match kept {
            CacheType::Half if device.is_cpu() && dtype == DType::F32 => {
                KeptRows::Float(Tensor::zeros(shape, DType::F16, device)?)
            }
            CacheType::Auto | CacheType::Float | CacheType::Half => {
                KeptRows::Float(Tensor::zeros(shape, dtype, device)?)
            }
            CacheType::Int8 => KeptRows::Bytes {
                codes: Tensor::zeros(shape, DType::U8, device)?,
                scales: Tensor::zeros((shape.0, shape.1, 1), DType::F32, device)?,
            },
        }))
    }

    /// The same rows in memory of their own.
    fn copy(&self) -> Result<Self> {
        self.0.map(Tensor::copy).map(Self)
    }

    /// The first `length` rows, where they lie.
    fn first(&self, length: usize) -> Result<KeptRows> {
        self.0.map(|rows| rows.narrow(1, 0, length))
    }

    fn capacity(&self) -> Result<usize> {
        self.0.tensors().first().map_or(Ok(0), |rows| rows.dim(1))
    }

    fn bytes(&self) -> usize {
        let bytes = |rows: &&Tensor| rows.elem_count() * rows.dtype().size_in_bytes();
        self.0.tensors().iter().map(bytes).sum()
    }

    /// Writes rows `(heads, rows, width)` from row `at` on.
    fn write(&self, rows: &Tensor, at: usize) -> Result<()> {
        let new = match self.0 {
            KeptRows::Float(_) => KeptRows::Float(rows.clone()),
            KeptRows::Bytes { .. } => KeptRows::rounded(rows)?,
        };
        for (from, to) in new.tensors().into_iter().zip(self.0.tensors()) {
            copy_rows(from, to, at)?;
        }
        Ok(())
    }

    /// Copies the first `length` rows.
    fn copy_to(&self, other: &Self, length: usize) -> Result<()> {
        for (from, to) in self.0.tensors().into_iter().zip(other.0.tensors()) {
            copy_rows(&from.narrow(1, 0, length)?, to, 0)?;
        }
        Ok(())
    }
}

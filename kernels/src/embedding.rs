//! Tables of rows.

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Result, Tensor};
use std::sync::Arc;

use crate::Linear;

/// A table `(rows, width)` whose rows are looked up by their numbers.
#[derive(Clone, Debug)]
pub enum Embedding {
    /// Numbers of the type that is looked up.
    Dense(Tensor),
    /// Blocks of a few bits a number, in GGUF's formats, looked up as the second field's type.
    Quantised(Arc<QTensor>, DType),
}

impl Embedding {
    /// The rows of numbers `ids`, `(ids, width)`.
    ///
    /// # Errors
    /// When the table has fewer rows than an id says.
    pub fn look_up(&self, ids: &[u32]) -> Result<Tensor> {
        let ids = Tensor::new(ids, &self.device())?;
        match self {
            Self::Dense(table) => table.index_select(&ids, 0),
            Self::Quantised(table, dtype) => table.embedding(&ids)?.to_dtype(*dtype),
        }
    }

    /// The layer whose weight is the table: the head of a model that ties the two.
    pub fn as_head(&self) -> Linear {
        match self {
            Self::Dense(table) => Linear::new(table.clone(), None),
            Self::Quantised(table, _) => Linear::quantised(table.clone(), None),
        }
    }

    /// The type of the rows.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Dense(table) => table.dtype(),
            Self::Quantised(_, dtype) => *dtype,
        }
    }

    /// The device that the table is on.
    pub fn device(&self) -> Device {
        match self {
            Self::Dense(table) => table.device().clone(),
            Self::Quantised(table, _) => table.device(),
        }
    }
}

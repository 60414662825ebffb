//! A checkpoint in numbers, from its headers alone.

use std::collections::BTreeMap;

use candle_core::DType;

use crate::{Checkpoint, StoredType, TensorInfo};

/// How large a checkpoint is and what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The whole checkpoint.
    pub total: Count,
    /// Weight files, in the order of their first tensor's name.
    pub files: Vec<String>,
    /// The tensors stored in each dtype.
    pub by_dtype: BTreeMap<StoredType, Count>,
    /// The tensors of each top-level module: the first two segments of their names, such as
    /// `model.visual`, or one where there are only two, such as `lm_head` of `lm_head.weight`.
    pub by_module: BTreeMap<String, Count>,
}

/// The size of some tensors together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Number of tensors.
    pub tensors: usize,
    /// Number of values in them.
    pub parameters: u64,
    /// Bytes as stored.
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, tensor: &TensorInfo) {
        self.tensors += 1;
        // The header's check rules out an overflow.
        self.parameters += tensor.shape.iter().map(|&size| size as u64).product::<u64>();
        self.bytes += tensor.bytes as u64;
    }
}

impl Summary {
    /// Sums up `checkpoint`; reads no tensor.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let mut summary = Self::default();
        for tensor in checkpoint.tensors() {
            if !summary.files.contains(&tensor.file) {
                summary.files.push(tensor.file.clone());
            }
            summary.total.add(tensor);
            summary.by_dtype.entry(tensor.dtype).or_default().add(tensor);
            summary.by_module.entry(module(&tensor.name)).or_default().add(tensor);
        }
        summary
    }

    /// Bytes of all tensors when loaded as `dtype`: floating-point tensors take its size, the
    /// others keep theirs (see [`crate::Weights::tensor`]).
    pub fn bytes_as(&self, dtype: DType) -> u64 {
        let size = dtype.size_in_bytes() as u64;
        self.by_dtype
            .iter()
            .map(|(stored, count)| match stored {
                StoredType::Plain(_) if stored.is_float() => count.parameters * size,
                _ => count.bytes,
            })
            .sum()
    }
}

/// The top-level module of a tensor's name, see [`Summary::by_module`].
fn module(name: &str) -> String {
    let segments: Vec<&str> = name.split('.').collect();
    let depth = segments.len().saturating_sub(1).clamp(1, 2);
    segments.into_iter().take(depth).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::module;

    #[test]
    fn a_module_is_the_first_two_segments_above_the_tensor() {
        assert_eq!(module("model.visual.blocks.0.norm1.weight"), "model.visual");
        assert_eq!(module("model.norm.weight"), "model.norm");
        assert_eq!(module("lm_head.weight"), "lm_head");
        assert_eq!(module("bias"), "bias");
        assert_eq!(module(""), "");
    }
}

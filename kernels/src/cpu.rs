//! The values of tensors in this machine's memory.

use candle_core::{DType, Device, Layout, Result, Storage, Tensor, WithDType};
use std::ops::Deref;

/// A tensor's values, locked for reading.
pub(crate) struct Values<'a, Guard> {
    storage: Guard,
    layout: &'a Layout,
}

/// The type that activations have beside weights of a type. On a CPU that is f32 beside bf16: the
/// kernels read and write f32, and round only what they multiply.
pub fn activation_type(weights: DType, device: &Device) -> DType {
    if device.is_cpu() && weights == DType::BF16 { DType::F32 } else { weights }
}

/// A small tensor of weights that activations are added to or scaled by, in their type.
pub fn beside_activations(weight: Tensor) -> Result<Tensor> {
    weight.to_dtype(activation_type(weight.dtype(), weight.device()))
}

/// Whether the tensor is one whose [`Values`] can be read.
pub(crate) fn is_f32_on_cpu(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// Locks the values of `tensor`.
pub(crate) fn values_of(tensor: &Tensor) -> Values<'_, impl Deref<Target = Storage>> {
    let (storage, layout) = tensor.storage_and_layout();
    Values { storage, layout }
}

impl<Guard: Deref<Target = Storage>> Values<'_, Guard> {
    /// The values from the tensor's first one on, to be read with [`Self::strides`].
    pub(crate) fn since_first<T: WithDType>(&self) -> Result<&[T]> {
        match &*self.storage {
            Storage::Cpu(storage) => {
                let values = T::cpu_storage_as_slice(storage)?;
                Ok(values.get(self.layout.start_offset()..).unwrap_or_default())
            }
            _ => candle_core::bail!("expected values in this machine's memory"),
        }
    }

    /// Their type.
    pub(crate) fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// How far apart neighbours are in each dimension.
    pub(crate) fn strides(&self) -> &[usize] {
        self.layout.stride()
    }
}

//! Fully connected layers.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};

use crate::attention::Precision;
use crate::cpu::is_f32_on_cpu;
use crate::elementwise::{add, gelu};
use crate::matmul::{Finish, Form, PackedMatrix, Values, multiply_all};

/// `y = x Wᵀ + b` with `W` stored `(out, in)`, as checkpoints store it.
///
/// On a CPU, weights in f32, in bf16 and in GGUF's blocks of 4 to 8 bits are packed for this crate's
/// own kernels when the layer is made. Those in bf16 round what they multiply to bf16 and sum in f32;
/// those in blocks round it to 8 bits a number, as llama.cpp does, or with AMX and many rows to bf16.
/// Other weights (f16, blocks of 2 and 3 bits), and those on a GPU, are multiplied by candle; on
/// aarch64 without dot products of bytes, which candle's kernels for blocks want, these blocks are
/// packed in bf16.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Weights whose outputs stand side by side; all are `in` wide.
    parts: Vec<Weight>,
    bias: Option<Tensor>,
}

/// A matrix `(out, in)`.
#[derive(Clone, Debug)]
enum Weight {
    /// Numbers in the order in which this crate's kernels read them.
    Packed(Arc<PackedMatrix>),
    /// Numbers of the type that the layer computes in, as candle has them.
    Dense(Tensor),
    /// Blocks of a few bits a number, in GGUF's formats.
    Quantised(Arc<QTensor>),
}

impl Linear {
    /// Takes a weight `(out, in)` and, if the layer has one, a bias `(out)`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { parts: vec![Weight::new(weight)], bias }
    }

    /// Takes a weight `(out, in)` in blocks and, if the layer has one, a bias `(out)`.
    pub fn quantised(weight: Arc<QTensor>, bias: Option<Tensor>) -> Self {
        Self { parts: vec![Weight::quantised(weight)], bias }
    }

    /// Takes a weight `(out, in)` that is kept as bytes, with a scale for every output and 256
    /// inputs, and a bias `(out)` if the layer has one. What is multiplied is rounded to bytes in
    /// the same way. On a GPU the weight stays as it is.
    pub fn int8(weight: Tensor, bias: Option<Tensor>) -> Self {
        let weight = Weight::pack(&weight, Form::Int8).unwrap_or_else(|| Weight::new(weight));
        Self { parts: vec![weight], bias }
    }

    /// Packs a weight `shape` (out, in) from where its numbers lie, little-endian in f32 or bf16,
    /// for a layer on the CPU that computes in `dtype`: no copy is made in between. `None` where
    /// there are no kernels for these types, or the bytes are not aligned or not so many.
    pub fn from_bytes(
        (bytes, stored): (&[u8], DType),
        shape: (usize, usize),
        dtype: DType,
        bias: Option<&Tensor>,
    ) -> Option<Self> {
        let form = form_of(dtype).filter(|_| cfg!(target_endian = "little"))?;
        let values = match stored {
            DType::F32 => Values::F32(aligned(bytes)?),
            DType::BF16 => Values::Bf16(aligned(bytes)?),
            _ => return None,
        };
        let (outputs, inputs) = shape;
        (values.len() == outputs.checked_mul(inputs)?).then(|| {
            let packed = PackedMatrix::new(values, outputs, inputs, form);
            Self { parts: vec![Weight::Packed(Arc::new(packed))], bias: bias.cloned() }
        })
    }

    /// Stacks layers that read the same input into one whose output is theirs side by side.
    ///
    /// # Errors
    /// When the layers' input widths differ, or only some of them have a bias.
    pub fn stacked(layers: &[Linear]) -> Result<Self> {
        let biases: Vec<_> = layers.iter().filter_map(|layer| layer.bias.as_ref()).collect();
        if !biases.is_empty() && biases.len() != layers.len() {
            candle_core::bail!("stacked layers must all have a bias, or none");
        }
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        let parts: Vec<_> = layers.iter().flat_map(|layer| layer.parts.clone()).collect();
        if let Some(first) = parts.first()
            && parts.iter().any(|part| part.inputs() != first.inputs())
        {
            candle_core::bail!("stacked layers must read rows of one width");
        }
        let dense: Vec<_> = parts.iter().filter_map(Weight::dense).collect();
        if !dense.is_empty() && dense.len() == parts.len() {
            return Ok(Self::new(Tensor::cat(&dense, 0)?, bias));
        }
        Ok(Self { parts, bias })
    }

    /// What the layer rounds its operands to, or coarser: what is multiplied beside it may be
    /// rounded likewise.
    pub fn precision(&self) -> Precision {
        let of_part = |part: &Weight| match part {
            Weight::Packed(packed) => packed.precision(),
            Weight::Dense(weight) if weight.dtype() == DType::F32 => Precision::Single,
            Weight::Dense(_) => Precision::Bf16,
            Weight::Quantised(_) => Precision::Bytes,
        };
        let mut parts = self.parts.iter().map(of_part);
        let Some(first) = parts.next() else { return Precision::Single };
        if parts.all(|part| part == first) { first } else { Precision::Bf16 }
    }

    /// Maps rows `(n, in)` to rows `(n, out)`, in the type of the rows.
    ///
    /// # Errors
    /// When the rows are not `in` wide, or types or devices differ.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if let Some(parts) = self.packed() {
            return forward_packed(&parts, self.bias.as_ref(), x, Finish::None);
        }
        let y = match self.parts.as_slice() {
            [weight] => weight.forward(x)?, // (n, out)
            parts => {
                let outputs = parts.iter().map(|weight| weight.forward(x));
                Tensor::cat(&outputs.collect::<Result<Vec<_>>>()?, 1)?
            }
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    /// [`crate::gelu`] of what [`Self::forward`] gives.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        match self.packed().filter(|_| x.dtype() == DType::F32) {
            Some(parts) => forward_packed(&parts, self.bias.as_ref(), x, Finish::Gelu),
            None => gelu(&self.forward(x)?),
        }
    }

    /// `residual`, `(n, out)`, and on it what [`Self::forward`] gives.
    ///
    /// # Errors
    /// As [`Self::forward`], and when the shape of `residual` is another.
    pub fn forward_onto(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        let rows = (x.dim(0)?, self.outputs());
        let fits =
            is_f32_on_cpu(residual) && is_f32_on_cpu(x) && residual.dims() == [rows.0, rows.1];
        match self.packed().filter(|_| fits && residual.is_contiguous()) {
            Some(parts) => with_values(residual, |values| match values {
                Values::F32(values) => {
                    forward_packed(&parts, self.bias.as_ref(), x, Finish::Add(values))
                }
                Values::Bf16(_) => candle_core::bail!("expected a residual in f32"),
            })?,
            None => add(residual, &self.forward(x)?),
        }
    }

    /// How wide what [`Self::forward`] gives is.
    pub(crate) fn outputs(&self) -> usize {
        self.parts.iter().map(Weight::outputs).sum()
    }

    /// All parts and the bias, where they are packed.
    pub(crate) fn packed_with_bias(&self) -> Option<(Vec<&PackedMatrix>, Option<&Tensor>)> {
        self.packed().map(|parts| (parts, self.bias.as_ref()))
    }

    fn packed(&self) -> Option<Vec<&PackedMatrix>> {
        self.parts.iter().map(Weight::packed).collect()
    }
}

impl Weight {
    /// Packs a weight if there are kernels for its type on its device.
    fn new(weight: Tensor) -> Self {
        let Some(form) = form_of(weight.dtype()) else { return Self::Dense(weight) };
        Self::pack(&weight, form).unwrap_or(Self::Dense(weight))
    }

    /// Packs a weight whose numbers are f32 or bf16, on the CPU; `None` for others.
    fn pack(weight: &Tensor, form: Form) -> Option<Self> {
        let packed = weight.dims2().and_then(|(outputs, inputs)| {
            let pack = |values: Values<'_>| PackedMatrix::new(values, outputs, inputs, form);
            with_values(&weight.contiguous()?, pack)
        });
        packed.ok().map(|packed| Self::Packed(Arc::new(packed)))
    }

    /// Packs a weight in blocks if there are kernels for its format on its device.
    fn quantised(weight: Arc<QTensor>) -> Self {
        let Some(form) = form_of_blocks(weight.dtype()) else {
            if candle_multiplies_blocks() || !weight.device().is_cpu() {
                return Self::Quantised(weight);
            }
            return weight.dequantize(&Device::Cpu).map_or(Self::Quantised(weight), Self::bf16);
        };
        let packed = match weight.shape().dims() {
            &[outputs, inputs] if weight.device().is_cpu() => weight
                .data()
                .ok()
                .and_then(|bytes| PackedMatrix::from_blocks(&bytes, outputs, inputs, form)),
            _ => None,
        };
        packed.map_or(Self::Quantised(weight), |packed| Self::Packed(Arc::new(packed)))
    }

    /// Packs a weight in f32 on the CPU as bf16.
    fn bf16(weight: Tensor) -> Self {
        Self::pack(&weight, Form::Bf16).unwrap_or(Self::Dense(weight))
    }

    fn packed(&self) -> Option<&PackedMatrix> {
        match self {
            Self::Packed(packed) => Some(packed),
            Self::Dense(_) | Self::Quantised(_) => None,
        }
    }

    fn dense(&self) -> Option<&Tensor> {
        match self {
            Self::Dense(weight) => Some(weight),
            Self::Packed(_) | Self::Quantised(_) => None,
        }
    }

    fn outputs(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.outputs(),
            Self::Dense(weight) => weight.dims().first().copied().unwrap_or_default(),
            Self::Quantised(weight) => weight.shape().dims().first().copied().unwrap_or_default(),
        }
    }

    fn inputs(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.inputs(),
            Self::Dense(weight) => weight.dims().last().copied().unwrap_or_default(),
            Self::Quantised(weight) => weight.shape().dims().last().copied().unwrap_or_default(),
        }
    }

    /// Rows `(n, in)` to rows `(n, out)`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Packed(packed) => forward_packed(&[packed], None, x, Finish::None),
            Self::Dense(weight) => x.matmul(&weight.t()?),
            // Each row of x is rounded to 8 bits a number first, as in llama.cpp.
            Self::Quantised(weight) => x.contiguous()?.apply_op1_no_bwd(weight.as_ref()),
        }
    }
}

/// Rows `(n, in)` to rows `(n, out)`, the outputs of `parts` side by side, as `finish` has them.
pub(crate) fn forward_packed(
    parts: &[&PackedMatrix],
    bias: Option<&Tensor>,
    x: &Tensor,
    finish: Finish<'_>,
) -> Result<Tensor> {
    let (rows, inputs) = x.dims2()?;
    if parts.iter().any(|part| part.inputs() != inputs) || !x.device().is_cpu() {
        let widths: Vec<_> = parts.iter().map(|part| part.inputs()).collect();
        candle_core::bail!("rows {:?} on {:?} for weights {widths:?} wide", x.shape(), x.device());
    }
    let width: usize = parts.iter().map(|part| part.outputs()).sum();
    let bias = bias.map(|bias| bias.to_dtype(DType::F32)?.to_vec1::<f32>()).transpose()?;
    if bias.as_ref().is_some_and(|bias| bias.len() != width) {
        candle_core::bail!("the bias has not one value for each of {width} outputs");
    }
    let wide = x.to_dtype(DType::F32)?.contiguous()?;
    let out = with_values(&wide, |values| match values {
        Values::F32(values) => multiply_all(parts, values, rows, bias.as_deref(), finish),
        Values::Bf16(_) => Vec::new(),
    })?;
    let width = finish.columns(parts, width);
    Tensor::from_vec(out, (rows, width), x.device())?.to_dtype(x.dtype())
}

/// Whether candle's kernels for blocks run here: on aarch64 they take dot products of bytes for
/// granted, without which the process would be killed.
fn candle_multiplies_blocks() -> bool {
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(target_arch = "aarch64"))]
    true
}

/// The form that weights of a type are packed in.
fn form_of(dtype: DType) -> Option<Form> {
    match dtype {
        DType::F32 => Some(Form::F32),
        DType::BF16 => Some(Form::Bf16),
        _ => None,
    }
}

/// The form that weights in blocks of a type are packed in.
fn form_of_blocks(dtype: GgmlDType) -> Option<Form> {
    match dtype {
        GgmlDType::Q8_0 => Some(Form::Q8_0),
        GgmlDType::Q4_0 => Some(Form::Q4_0),
        GgmlDType::Q4_1 => Some(Form::Q4_1),
        GgmlDType::Q5_0 => Some(Form::Q5_0),
        GgmlDType::Q5_1 => Some(Form::Q5_1),
        GgmlDType::Q4K => Some(Form::Q4K),
        GgmlDType::Q5K => Some(Form::Q5K),
        GgmlDType::Q6K => Some(Form::Q6K),
        _ => None,
    }
}

/// A type of which any bits are a value.
trait Number {}
impl Number for f32 {}
impl Number for half::bf16 {}

/// Bytes as the numbers that they are, when they are aligned and whole ones.
#[allow(unsafe_code, reason = "bytes of a file are read as numbers where they lie")]
fn aligned<T: Number>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: any bits are a value of `T`, by what `Number` is implemented for.
    let (before, numbers, after) = unsafe { bytes.align_to::<T>() };
    (before.is_empty() && after.is_empty()).then_some(numbers)
}

/// Looks at the values of a contiguous tensor on the CPU, in f32 or bf16.
fn with_values<T>(tensor: &Tensor, look: impl FnOnce(Values<'_>) -> T) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("the values of {:?} are not contiguous", tensor.shape());
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => Ok(look(Values::F32(&values[start..end]))),
        Storage::Cpu(CpuStorage::BF16(values)) => Ok(look(Values::Bf16(&values[start..end]))),
        _ => candle_core::bail!("{:?} on {:?} cannot be packed", tensor.dtype(), tensor.device()),
    }
}

//! A view of a checkpoint's tensors under a name prefix.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Shape, Tensor};
use glm4v_kernels::{Embedding, Linear};

use crate::quantise::in_blocks;
use crate::{
    BlockType, Checkpoint, Recipe, StoredType, TensorInfo, WeightsError, quantise, random,
};

/// How many names an error about extra tensors lists.
const LISTED: usize = 8;

/// The tensors of a checkpoint whose names start with a prefix, cast when they are read.
/// Cheap to clone; all views made from one [`Checkpoint::weights`] call share one record of the
/// tensors that were read, which [`Weights::finish`] checks.
#[derive(Clone, Debug)]
pub struct Weights {
    checkpoint: Checkpoint,
    /// A flag a tensor, in the checkpoint's order: read, or ignored knowingly.
    accounted: Arc<[AtomicBool]>,
    prefix: String,
    dtype: DType,
    device: Device,
    recipe: Option<Recipe>,
}

impl Weights {
    pub(crate) fn new(checkpoint: Checkpoint, dtype: DType, device: Device) -> Self {
        let accounted = checkpoint.tensors().map(|_| AtomicBool::new(false)).collect();
        Self { checkpoint, accounted, prefix: String::new(), dtype, device, recipe: None }
    }

    /// The same view, whose matrices become blocks as `recipe` says when they are read.
    pub fn quantised(self, recipe: Option<Recipe>) -> Weights {
        Self { recipe, ..self }
    }

    /// The view one segment (or several, dotted) further down: `weights.pp("layers").pp(3)`.
    pub fn pp(&self, segment: impl Display) -> Weights {
        Self { prefix: self.full_name(&segment.to_string()), ..self.clone() }
    }

    /// Reads tensor `name` under the prefix, which must have shape `shape`, onto the view's
    /// device. Stored f64, f32, f16 and bf16 are cast to the view's dtype. Integers keep theirs,
    /// and so does f8_e4m3, whose values mean nothing without their scales.
    ///
    /// # Errors
    /// [`WeightsError`] that names the tensor, its file and the expected and found shapes.
    pub fn tensor(&self, name: &str, shape: impl Into<Shape>) -> Result<Tensor, WeightsError> {
        let shape = shape.into();
        if self.checkpoint.is_random() {
            return self.made_up(name, shape, self.dtype);
        }
        let info = self.find(name, shape)?;
        let tensor = self.load(info)?;
        if matches!(tensor.dtype(), DType::F64 | DType::F32 | DType::F16 | DType::BF16) {
            self.cast(tensor, self.dtype, info)
        } else {
            Ok(tensor)
        }
    }

    /// As [`Weights::tensor`], but cast to `dtype` whatever the stored and the view's dtype are.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn tensor_as(
        &self,
        name: &str,
        shape: impl Into<Shape>,
        dtype: DType,
    ) -> Result<Tensor, WeightsError> {
        let shape = shape.into();
        if self.checkpoint.is_random() {
            return self.made_up(name, shape, dtype);
        }
        let info = self.find(name, shape)?;
        let tensor = self.load(info)?;
        self.cast(tensor, dtype, info)
    }

    /// Reads a layer's `weight` `(out, input)` and, with `bias`, its `bias` `(out)`. Weights that
    /// are stored in blocks stay in them; others become blocks or bytes where the view's recipe
    /// says so.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn linear(&self, input: usize, out: usize, bias: bool) -> Result<Linear, WeightsError> {
        if self.checkpoint.is_random() {
            return self.made_up_linear(input, out, bias);
        }
        let info = self.find("weight", (out, input).into())?;
        let bias = if bias { Some(self.tensor("bias", out)?) } else { None };
        if self.in_bytes(info) {
            let stored = self.load(info)?;
            let known = matches!(stored.dtype(), DType::F32 | DType::BF16);
            let weight = if known { stored } else { self.cast(stored, DType::F32, info)? };
            return Ok(Linear::int8(weight, bias));
        }
        Ok(match self.load_in_blocks(info)? {
            Some(weight) => Linear::quantised(Arc::new(weight), bias),
            None => match self.packed_where_it_lies(info, (out, input), bias.as_ref()) {
                Some(layer) => layer,
                None => Linear::new(self.cast(self.load(info)?, self.dtype, info)?, bias),
            },
        })
    }

    /// Reads a table's `weight` `(rows, width)`, in blocks or not as [`Weights::linear`] does.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub fn embedding(&self, rows: usize, width: usize) -> Result<Embedding, WeightsError> {
        if self.checkpoint.is_random() {
            return Ok(Embedding::Dense(self.tensor("weight", (rows, width))?));
        }
        let info = self.find("weight", (rows, width).into())?;
        Ok(match self.load_in_blocks(info)? {
            Some(table) => Embedding::Quantised(Arc::new(table), self.dtype),
            None => Embedding::Dense(self.cast(self.load(info)?, self.dtype, info)?),
        })
    }

    /// Whether there is a tensor `name` under the prefix.
    pub fn contains(&self, name: &str) -> bool {
        self.checkpoint.position(&self.full_name(name)).is_some()
    }

    /// Notes that the model knows the tensor `name_prefix` under the prefix, or all tensors below
    /// it, and has no use for them: stored buffers, layers for speculative decoding.
    pub fn ignore(&self, name_prefix: &str) {
        let name = self.full_name(name_prefix);
        let below = format!("{name}.");
        for (tensor, accounted) in self.checkpoint.tensors().zip(self.accounted.iter()) {
            if tensor.name == name || tensor.name.starts_with(&below) {
                accounted.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Checks that every tensor of the checkpoint was read or ignored, whatever this view's
    /// prefix: one left over means that the model is not the one the checkpoint was made for.
    ///
    /// # Errors
    /// [`WeightsError::ExtraTensors`] with the first names left over.
    pub fn finish(&self) -> Result<(), WeightsError> {
        let mut extra = self
            .checkpoint
            .tensors()
            .zip(self.accounted.iter())
            .filter(|(_, accounted)| !accounted.load(Ordering::Relaxed))
            .map(|(tensor, _)| tensor);
        let Some(first) = extra.next() else { return Ok(()) };
        let mut names = vec![first.name.clone()];
        let mut count = 1;
        for tensor in extra {
            count += 1;
            if names.len() < LISTED {
                names.push(tensor.name.clone());
            }
        }
        Err(WeightsError::ExtraTensors { names, count, file: first.file.clone() })
    }

    /// The dtype that floating-point tensors are cast to.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device that tensors are read onto.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The prefix of this view, without a dot at the end; empty at the top.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn full_name(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// A layer that no file has, in blocks where the recipe says so.
    fn made_up_linear(&self, input: usize, out: usize, bias: bool) -> Result<Linear, WeightsError> {
        let weight = self.tensor("weight", (out, input))?;
        let bias = if bias { Some(self.tensor("bias", out)?) } else { None };
        let name = self.full_name("weight");
        let chosen = self.recipe.and_then(|r| (r.choose)(r.blocks, &name, &[out, input]));
        let Some(blocks) = chosen else { return Ok(Linear::new(weight, bias)) };
        if self.recipe.is_some_and(|recipe| recipe.int8) {
            return Ok(Linear::int8(weight, bias));
        }
        let quantised = QTensor::quantize(&weight, blocks.ggml());
        let quantised = quantised.map_err(|source| WeightsError::Unloadable {
            tensor: name,
            file: self.checkpoint.weights_place(),
            source: Box::new(source),
        })?;
        Ok(Linear::quantised(Arc::new(quantised), bias))
    }

    /// A tensor that no file has, for measuring speed.
    fn made_up(&self, name: &str, shape: Shape, dtype: DType) -> Result<Tensor, WeightsError> {
        random::tensor(shape, dtype, &self.device).map_err(|source| WeightsError::Unloadable {
            tensor: self.full_name(name),
            file: self.checkpoint.weights_place(),
            source: Box::new(source),
        })
    }

    /// Finds a tensor, checks its shape and notes that it was read.
    fn find(&self, name: &str, expected: Shape) -> Result<&TensorInfo, WeightsError> {
        let name = self.full_name(name);
        let position = self.checkpoint.position(&name);
        let found = position.and_then(|position| {
            Some((self.checkpoint.tensor(position)?, self.accounted.get(position)?))
        });
        let Some((info, accounted)) = found else {
            let file = self.checkpoint.weights_place();
            return Err(WeightsError::MissingTensor { tensor: name, file, expected });
        };
        accounted.store(true, Ordering::Relaxed);
        if info.shape != expected.dims() {
            return Err(WeightsError::ShapeMismatch {
                tensor: name,
                file: info.file.clone(),
                expected,
                found: Shape::from(info.shape.as_slice()),
            });
        }
        Ok(info)
    }

    /// Copies a tensor as stored onto the device.
    fn load(&self, info: &TensorInfo) -> Result<Tensor, WeightsError> {
        let bytes = self.checkpoint.bytes(info).unwrap_or_default();
        let loaded = match (info.dtype, info.dtype.dtype()) {
            (StoredType::Blocks(blocks), _) => {
                in_blocks(&bytes, blocks, info.shape.as_slice(), &self.device)
                    .and_then(|tensor| tensor.dequantize(&self.device))
            }
            // Copies byte by byte where the data is not aligned, as embedded data may not be.
            (_, Some(dtype)) => Tensor::from_raw_buffer(&bytes, dtype, &info.shape, &self.device),
            (_, None) => {
                return Err(WeightsError::UnsupportedDtype {
                    tensor: info.name.clone(),
                    file: info.file.clone(),
                    dtype: info.dtype,
                });
            }
        };
        self.checkpoint.release(info);
        loaded.map_err(|source| unloadable(info, source))
    }

    /// A layer whose matrix is packed out of the file, without a copy of it in between; `None`
    /// where that cannot be.
    fn packed_where_it_lies(
        &self,
        info: &TensorInfo,
        shape: (usize, usize),
        bias: Option<&Tensor>,
    ) -> Option<Linear> {
        let (StoredType::Plain(_), Some(stored), true) =
            (info.dtype, info.dtype.dtype(), self.device.is_cpu())
        else {
            return None;
        };
        let bytes = self.checkpoint.bytes(info)?;
        let layer = Linear::from_bytes((&bytes, stored), shape, self.dtype, bias)?;
        self.checkpoint.release(info);
        Some(layer)
    }

    /// Whether a layer's matrix becomes bytes: the recipe has them, and it is not in blocks yet.
    fn in_bytes(&self, info: &TensorInfo) -> bool {
        let chosen = |recipe: Recipe| (recipe.choose)(recipe.blocks, &info.name, &info.shape);
        let plain = matches!(info.dtype, StoredType::Plain(_)) && info.dtype.is_float();
        plain && self.recipe.is_some_and(|recipe| recipe.int8 && chosen(recipe).is_some())
    }

    /// Reads a matrix in blocks: those that it is stored in, or those that the recipe chooses.
    fn load_in_blocks(&self, info: &TensorInfo) -> Result<Option<QTensor>, WeightsError> {
        let chosen = |recipe: &Recipe| (recipe.choose)(recipe.blocks, &info.name, &info.shape);
        let blocks = match info.dtype {
            StoredType::Blocks(blocks) => blocks,
            StoredType::Plain(_) if info.dtype.is_float() => {
                match self.recipe.as_ref().and_then(chosen) {
                    Some(blocks) => blocks,
                    None => return Ok(None),
                }
            }
            StoredType::Plain(_) => return Ok(None),
        };
        let matrix = self.to_blocks(info, blocks).map_err(|source| unloadable(info, source))?;
        self.checkpoint.release(info);
        Ok(Some(matrix))
    }

    fn to_blocks(&self, info: &TensorInfo, blocks: BlockType) -> candle_core::Result<QTensor> {
        let bytes = self.checkpoint.bytes(info).unwrap_or_default();
        let shape = info.shape.as_slice();
        if info.dtype == StoredType::Blocks(blocks) {
            return in_blocks(&bytes, blocks, shape, &self.device);
        }
        let width = shape.last().copied().unwrap_or(0);
        let quantised = quantise(&bytes, info.dtype, width, blocks)?;
        in_blocks(&quantised, blocks, shape, &self.device)
    }

    fn cast(
        &self,
        tensor: Tensor,
        dtype: DType,
        info: &TensorInfo,
    ) -> Result<Tensor, WeightsError> {
        tensor.to_dtype(dtype).map_err(|source| unloadable(info, source))
    }
}

fn unloadable(info: &TensorInfo, source: candle_core::Error) -> WeightsError {
    let source = Box::new(source);
    WeightsError::Unloadable { tensor: info.name.clone(), file: info.file.clone(), source }
}

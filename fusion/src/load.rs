//! From what a user calls a model to a loaded one.

use crate::family;
use crate::gguf;
use crate::model::{Inner, Model, ModelInfo};
use crate::nano::{self, NANO};
use crate::quantise::recipe;
use crate::visual_cache::{CacheOptions, VisualCache};
use crate::{FusionError, memory};
use candle_core::{DType, Device};
use glm4v_language::{CacheType, GenerationConfig, PromptFormat, Tokenizer, stop_ids};
use glm4v_weights::{
    Checkpoint, HubOptions, ModelSource, PullEvent, Quantisation, WeightsError, pull,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Choices about how a model is loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Where the model runs.
    pub device: DeviceChoice,
    /// The type that weights and activations have. `None` takes f32 on a CPU, whose kernels are
    /// fastest there, and bf16 on a GPU.
    pub dtype: Option<FloatType>,
    /// How the keys and values of a sequence are kept.
    pub cache_type: CacheType,
    /// Whether the layer that predicts tokens ahead is loaded too, for
    /// [`Draft::Prediction`](crate::Draft::Prediction).
    pub prediction_layer: bool,
    /// Quantise matrices to this type while they are read, by the recipe of its name
    /// (docs/QUANTISATION.md). Matrices that are in blocks already stay in theirs.
    pub quant: Option<Quantisation>,
    /// The projector file (`mmproj`) of a GGUF model; when `None`, the only one in its folder.
    pub mmproj: Option<PathBuf>,
    /// The most memory that the weights may take, in bytes; what is free when `None`.
    pub max_memory: Option<u64>,
    /// Where hub ids are downloaded from and kept; [`HubOptions::from_env`] when `None`.
    pub hub: Option<HubOptions>,
    /// Where visual tokens are kept, so that no picture goes through the tower twice.
    pub cache: CacheOptions,
}

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// This machine's processors.
    #[default]
    Cpu,
    /// An NVIDIA GPU, by its number.
    Cuda(usize),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// A type that weights and activations can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatType {
    /// 32 bits.
    F32,
    /// 16 bits with the exponent of f32.
    Bf16,
    /// 16 bits, IEEE.
    F16,
}

impl FloatType {
    pub(crate) fn candle(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl Model {
    /// Loads a model: `nano` (built in), a folder in the Hugging Face layout, a `.gguf` file, a
    /// hub id such as `zai-org/GLM-4.1V-9B-Thinking`, or a short name for one.
    ///
    /// # Errors
    /// When the model can't be found, downloaded, read or fitted into memory; the message names
    /// the file, the field or tensor, and the remedy.
    pub fn load(source: &str, options: &LoadOptions) -> Result<Self, FusionError> {
        Self::load_with_progress(source, options, &mut |_| {})
    }

    /// Like [`Self::load`], and reports the progress of a download.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with_progress(
        source: &str,
        options: &LoadOptions,
        progress: &mut dyn FnMut(PullEvent<'_>),
    ) -> Result<Self, FusionError> {
        if source == NANO {
            return Self::from_checkpoint(&Checkpoint::embedded(nano::FILES)?, NANO, options);
        }
        let folder = match ModelSource::parse(source).map_err(naming_nano)? {
            ModelSource::Folder(path) | ModelSource::Gguf(path) => path,
            ModelSource::Hub { id, revision } => {
                let hub = options.hub.clone().map_or_else(HubOptions::from_env, Ok)?;
                pull(&id, revision.as_deref(), &hub, progress)?
            }
        };
        Self::from_checkpoint(&open_checkpoint(&folder, options)?, source, options)
    }

    /// Puts together the model that an opened checkpoint describes.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        name: &str,
        options: &LoadOptions,
    ) -> Result<Self, FusionError> {
        let files = checkpoint.files();
        let device = open_device(options.device)?;
        let dtype = match (options.dtype, options.device) {
            (Some(dtype), _) => dtype.candle(),
            (None, DeviceChoice::Cpu) => DType::F32,
            (None, DeviceChoice::Cuda(_)) => DType::BF16,
        };
        memory::check(checkpoint, name, dtype, options)?;
        let model_type = family::model_type(files)?;
        let weights = checkpoint.weights(dtype, &device).quantised(options.quant.map(recipe));
        let mut parts = family::load(files, &weights)?;
        if options.prediction_layer {
            let layer = family::load_prediction(parts.decoder.config(), &weights)?;
            let none = || FusionError::NoPredictionLayer { model: name.to_owned() };
            parts.prediction = Some(layer.ok_or_else(none)?);
        }
        parts.decoder = parts.decoder.with_cache_type(options.cache_type);
        let info = ModelInfo {
            name: name.to_owned(),
            model_type: model_type.clone(),
            parameters: checkpoint
                .tensors()
                .map(|tensor| tensor.shape.iter().product::<usize>() as u64)
                .sum(),
            dtype: dtype.as_str(),
            quant: options.quant.map(Quantisation::name),
            context_length: parts.decoder.config().context_length,
            vision: parts.vision.is_some(),
        };
        Ok(Self::new(Inner {
            info,
            parts: Arc::new(parts),
            tokenizer: Tokenizer::from_files(files)?,
            format: PromptFormat::from_files(files, &model_type)?,
            generation: GenerationConfig::from_files(files)?,
            stop_ids: stop_ids(files)?,
            visual_cache: VisualCache::new(&options.cache, checkpoint.fingerprint()?, dtype)?,
        }))
    }
}

/// Opens the model in a folder in the Hugging Face layout or in a `.gguf` file.
///
/// # Errors
/// As [`Model::load`].
pub fn open_checkpoint(path: &Path, options: &LoadOptions) -> Result<Checkpoint, FusionError> {
    match path.extension() {
        Some(end) if end.eq_ignore_ascii_case("gguf") => {
            gguf::open(path, options.mmproj.as_deref())
        }
        _ => Ok(Checkpoint::open(path)?),
    }
}

pub(crate) fn open_device(choice: DeviceChoice) -> Result<Device, FusionError> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(index) => Device::new_cuda(index).map_err(|error| FusionError::Device {
            device: choice.to_string(),
            reason: format!(
                "{error}; build with `--features cuda` on a machine with an NVIDIA GPU, or use cpu"
            ),
        }),
    }
}
/// The built-in model is one of the short names too.
fn naming_nano(error: WeightsError) -> WeightsError {
    match error {
        WeightsError::UnknownModel { name, aliases } => {
            WeightsError::UnknownModel { name, aliases: format!("{NANO}, {aliases}") }
        }
        error => error,
    }
}

//! The files of a reference case.

use crate::FusionError;
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What `<case>.json` says was given to the reference, and the tokens that it gave.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CaseFile {
    /// The prompt, before image places are expanded.
    #[serde(default)]
    pub(super) prompt: Option<String>,
    /// Several prompts that were run as one batch.
    #[serde(default)]
    pub(super) prompts: Option<Vec<String>>,
    /// The conversation, where the reference had no template.
    #[serde(default)]
    pub(super) messages: Option<Vec<CaseMessage>>,
    /// Image files, in order; the frames of a video.
    #[serde(default)]
    pub(super) files: Vec<String>,
    /// One entry a video.
    #[serde(default)]
    pub(super) video_metadata: Vec<CaseVideo>,
    /// Ids of the prompt, or of each prompt of a batch.
    pub(super) input_ids: OneOrMany,
    /// Greedy tokens, or those of each sequence of a batch.
    pub(super) greedy_tokens: OneOrMany,
}

/// A turn of the conversation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CaseMessage {
    pub(super) role: String,
    pub(super) content: String,
    #[serde(default)]
    pub(super) metadata: Option<String>,
    /// Present when the turn brings an image.
    #[serde(default)]
    pub(super) image: Option<serde_json::Value>,
}

/// A video's frames, as the reference was told of them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CaseVideo {
    pub(super) fps: f64,
    pub(super) frames_indices: Vec<usize>,
}

/// Ids of one sequence, or of several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

impl OneOrMany {
    pub(super) fn sequence(&self, index: usize) -> &[u32] {
        match self {
            Self::One(ids) => ids,
            Self::Many(all) => all.get(index).map(Vec::as_slice).unwrap_or_default(),
        }
    }
}

/// A case with the reference's tensors.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) file: CaseFile,
    tensors: HashMap<String, Tensor>,
}

impl Case {
    /// Every case of a folder, by name: each `.json` that has a `.safetensors` beside it.
    pub(super) fn all(folder: &Path) -> Result<Vec<Self>, FusionError> {
        let mut files = list(folder)?;
        files.retain(|path| path.extension().is_some_and(|end| end == "json") && path.with_extension("safetensors").is_file());
        files.iter().map(|path| Self::read(folder, path)).collect()
    }

    fn read(folder: &Path, path: &Path) -> Result<Self, FusionError> {
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            folder: folder.to_owned(),
            file: read_json(path)?,
            tensors: read_tensors(&path.with_extension("safetensors"))?,
        })
    }

    /// The reference's tensor of this name, if the case has it.
    pub(super) fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// The names of the reference's tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys()
    }

    /// Whole numbers of a tensor, flattened.
    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, FusionError> {
        let Some(tensor) = self.tensor(name) else { return Ok(None) };
        Ok(Some(tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1()?))
    }

    /// The part of a batched tensor `(batch, length, …)` that is sequence `index` without the
    /// padding on its left: `(rows, …)`.
    pub(super) fn sequence(&self, name: &str, index: usize, rows: usize) -> Result<Option<Tensor>, FusionError> {
        let Some(tensor) = self.tensor(name) else { return Ok(None) };
        let length = tensor.dim(1)?;
        if rows > length {
            return Err(reference_error(&self.folder.join(&self.name), format!("`{name}` has {length} rows, {rows} are needed")));
        }
        Ok(Some(tensor.get(index)?.narrow(0, length - rows, rows)?))
    }
}

/// The entries of a folder, by name.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, FusionError> {
    let unreadable = |error: std::io::Error| reference_error(folder, format!("cannot be read: {error}"));
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

/// Parses a JSON file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FusionError> {
    let text = std::fs::read(path).map_err(|error| reference_error(path, format!("cannot be read: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| reference_error(path, format!("not a reference case: {error}")))
}

/// Reads all tensors of a safetensors file.
pub(super) fn read_tensors(path: &Path) -> Result<HashMap<String, Tensor>, FusionError> {
    let unreadable = |error| reference_error(path, format!("not a safetensors file: {error}"));
    candle_core::safetensors::load(path, &Device::Cpu).map_err(unreadable)
}

pub(super) fn reference_error(path: &Path, reason: String) -> FusionError {
    FusionError::Reference { file: path.display().to_string(), reason }
}

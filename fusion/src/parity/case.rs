//! The files of a reference case.

use super::messages::ReferenceMessage;
use crate::FusionError;
use candle_core::{DType, Device, Tensor};
use glm4v_vision::Image;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
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
    pub(super) messages: Option<Vec<ReferenceMessage>>,
    /// Image files, in order; the frames of a video.
    #[serde(default)]
    pub(super) files: Vec<String>,
    /// One entry a video.
    #[serde(default)]
    pub(super) video_metadata: Vec<CaseVideo>,
    /// Whether the reference chose frames; otherwise it took them all.
    #[serde(default)]
    pub(super) do_sample_frames: Option<bool>,
    /// Ids of the prompt, or of each prompt of a batch.
    pub(super) input_ids: OneOrMany,
    /// Greedy tokens, or those of each sequence of a batch.
    pub(super) greedy_tokens: OneOrMany,
}

/// A video's frames, as the reference was told of them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CaseVideo {
    pub(super) fps: f64,
    pub(super) total_num_frames: usize,
    #[serde(default)]
    pub(super) duration: Option<f64>,
    pub(super) frames_indices: Vec<usize>,
}

/// Ids of one sequence, or of several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(Vec<u32>),
    Many(Vec<Vec<u32>>),
}

impl CaseVideo {
    /// Frames that the case has files of.
    pub(super) fn frames(&self) -> usize {
        self.frames_indices.len()
    }
}

impl OneOrMany {
    /// The ids of sequence `index`, none when there is no such sequence.
    pub(super) fn sequence(&self, index: usize) -> &[u32] {
        match self {
            Self::One(ids) if index == 0 => ids,
            Self::One(_) => &[],
            Self::Many(all) => all.get(index).map(Vec::as_slice).unwrap_or_default(),
        }
    }
}

/// A case with the reference's tensors.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) folder: PathBuf,
    pub(super) file: CaseFile,
    tensors: BTreeMap<String, Tensor>,
}

impl Case {
    /// The cases of a folder, by name: each `.json` that has a `.safetensors` beside it.
    pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, FusionError> {
        let mut files = list(folder)?;
        let is_case = |path: &PathBuf| {
            path.extension().is_some_and(|end| end == "json")
                && path.with_extension("safetensors").is_file()
        };
        files.retain(is_case);
        Ok(files)
    }

    /// Reads a case from its `.json`.
    pub(super) fn read(path: &Path) -> Result<Self, FusionError> {
        Ok(Self {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            file: read_json(path)?,
            tensors: read_tensors(&path.with_extension("safetensors"))?,
        })
    }

    /// The reference's tensor of this name, if the case has it, and the name.
    pub(super) fn tensor(&self, name: &str) -> Option<(&str, &Tensor)> {
        self.tensors.get_key_value(name).map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The reference's tensor of this name, without which a stage can't be run.
    pub(super) fn require(&self, name: &str) -> Result<&Tensor, FusionError> {
        let missing = || reference_error(&self.folder, format!("the case has no tensor `{name}`"));
        self.tensor(name).map(|(_, tensor)| tensor).ok_or_else(missing)
    }

    /// The number of sequences that were run as one batch.
    pub(super) fn sequences(&self) -> usize {
        self.file.prompts.as_ref().map_or(1, Vec::len)
    }

    /// The names of the reference's tensors.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The first `files` of the case that are no frames of a video.
    pub(super) fn picture_files(&self) -> &[String] {
        let frames: usize = self.file.video_metadata.iter().map(CaseVideo::frames).sum();
        let pictures = self.file.files.len().saturating_sub(frames);
        self.file.files.get(..pictures).unwrap_or_default()
    }

    /// Opens files of the case.
    pub(super) fn open(&self, files: &[String]) -> Result<Vec<Image>, FusionError> {
        files.iter().map(|file| Ok(Image::open(self.folder.join(file))?)).collect()
    }
}

/// Whole numbers of a tensor, flattened.
pub(super) fn integers(tensor: &Tensor) -> Result<Vec<i64>, FusionError> {
    Ok(tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1()?)
}

/// The part of a batched tensor `(batch, length, …)` that is sequence `index` without the padding
/// on its left: `(rows, …)`.
pub(super) fn sequence(tensor: &Tensor, index: usize, rows: usize) -> Result<Tensor, FusionError> {
    let length = tensor.dim(1)?;
    // Too few rows are left as they are: the comparison says that the shapes differ.
    let rows = rows.min(length);
    Ok(tensor.get(index)?.narrow(0, length - rows, rows)?)
}

/// The entries of a folder, by name.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, FusionError> {
    let unreadable =
        |error: std::io::Error| reference_error(folder, format!("cannot be read: {error}"));
    let entries = std::fs::read_dir(folder).map_err(unreadable)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

/// Parses a JSON file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FusionError> {
    let text = std::fs::read(path)
        .map_err(|error| reference_error(path, format!("cannot be read: {error}")))?;
    serde_json::from_slice(&text)
        .map_err(|error| reference_error(path, format!("not a reference case: {error}")))
}

/// Reads all tensors of a safetensors file, by name.
pub(super) fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, FusionError> {
    let unreadable = |error| reference_error(path, format!("not a safetensors file: {error}"));
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).map_err(unreadable)?;
    Ok(tensors.into_iter().collect())
}

pub(super) fn reference_error(path: &Path, reason: String) -> FusionError {
    FusionError::Reference { file: path.display().to_string(), reason }
}

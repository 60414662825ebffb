//! Checkpoints as GGUF files that llama.cpp loads, their matrices quantised by a recipe.

mod glm5_next;
mod metadata;
mod plan;

use crate::FusionError;
use crate::quantise::{is_matrix, loaded_as};
use glm4v_weights::{
    Checkpoint, GgufTensor, GgufValue, GgufWriter, StoredDtype, StoredType, WeightsError, quantise,
    to_plain_bytes,
};
use plan::{Order, Planned};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// What was written.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The text model's file.
    pub model: PathBuf,
    /// The projector's file, of models with eyes.
    pub mmproj: Option<PathBuf>,
    /// Bytes of both.
    pub bytes: u64,
}

/// Writes `checkpoint` to `path`, and its tower and projector to `mmproj-NAME` beside it, with
/// matrices in `form`: blocks by the recipe of that name ([`crate::quantise`]), or the same matrices
/// in f16, bf16 or f32. Tensors are read, turned and written one by one; files get their names when they are complete. Layers that
/// predict further tokens are left out.
///
/// `progress` is called with the bytes written so far and all that will be.
///
/// # Errors
/// When a file is there already or cannot be written, when the checkpoint's tower or tokenizer has
/// no form in GGUF, or when a tensor is not as the configuration says.
pub fn export(
    checkpoint: &Checkpoint,
    path: &Path,
    form: impl Into<StoredType>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, FusionError> {
    let form = form.into();
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plan = plan::plan(checkpoint)?;
    let mmproj = plan.tower.is_some().then(|| path.with_file_name(format!("mmproj-{name}")));
    for path in [Some(path), mmproj.as_deref()].into_iter().flatten() {
        if path.exists() {
            return Err(exported(path, std::io::ErrorKind::AlreadyExists.into()));
        }
    }
    let mut parts = vec![(path, &plan.text, metadata::text(checkpoint, &plan, form, &name)?)];
    if let (Some(path), Some(tower)) = (&mmproj, &plan.tower) {
        parts.push((path, tower, metadata::tower(checkpoint, &plan, form, &name)?));
    }
    let header = |planned: &Planned| GgufTensor {
        name: planned.name.clone(),
        shape: planned.shape.clone(),
        stored: stored_as(planned, form),
    };
    let all = parts.iter().flat_map(|(_, tensors, _)| tensors.iter());
    let total = all.map(|planned| header(planned).bytes()).sum();
    let mut done = 0;
    let mut written = Unfinished::default();
    for (path, tensors, metadata) in parts {
        let partial = written.begin(path);
        let failed = |source| exported(&partial, source);
        let file = BufWriter::new(File::create(&partial).map_err(failed)?);
        let headers = tensors.iter().map(header).collect();
        let mut writer = GgufWriter::new(file, &metadata, headers).map_err(failed)?;
        for planned in tensors {
            let bytes = content(checkpoint, planned, stored_as(planned, form))?;
            writer.tensor(&bytes).map_err(failed)?;
            done += bytes.len() as u64;
            progress(done, total);
        }
        let file = writer.finish().map_err(failed)?;
        file.get_ref().sync_all().map_err(failed)?;
    }
    written.finish()?;
    Ok(Exported { model: path.to_owned(), mmproj, bytes: total })
}

/// Files that get their names together, when all are complete; what was written of them goes
/// otherwise.
#[derive(Default)]
struct Unfinished {
    /// Where each is written, and what it will be called.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Unfinished {
    /// Where the file that will be `path` is to be written.
    fn begin(&mut self, path: &Path) -> PathBuf {
        let partial = path.with_extension("gguf.part");
        self.files.push((partial.clone(), path.to_owned()));
        partial
    }

    fn finish(mut self) -> Result<(), FusionError> {
        for (partial, path) in std::mem::take(&mut self.files) {
            std::fs::rename(partial, &path).map_err(|source| exported(&path, source))?;
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        for (partial, _) in &self.files {
            let _ = std::fs::remove_file(partial);
        }
    }
}

fn exported(path: &Path, source: std::io::Error) -> FusionError {
    WeightsError::Unwritable { path: path.to_owned(), source }.into()
}

/// The format that a tensor gets: that of matrices, or f32.
fn stored_as(planned: &Planned, form: StoredType) -> StoredType {
    let f32 = StoredType::Plain(StoredDtype::F32);
    let Some(source) = planned.sources.first() else { return f32 };
    match form {
        // Kept as numbers, as llama.cpp's quantiser keeps them.
        StoredType::Blocks(_)
            if matches!(planned.order, Order::Keys { .. } | Order::Values { .. }) =>
        {
            f32
        }
        StoredType::Blocks(blocks) => match loaded_as(source, Some(blocks), f32) {
            stored @ StoredType::Blocks(_) => stored,
            StoredType::Plain(_) => f32,
        },
        StoredType::Plain(_) if is_matrix(source) => form,
        StoredType::Plain(_) => f32,
    }
}

/// The bytes of a tensor.
fn content(
    checkpoint: &Checkpoint,
    planned: &Planned,
    stored: StoredType,
) -> Result<Vec<u8>, FusionError> {
    let mut content = Vec::new();
    for source in &planned.sources {
        let bytes = checkpoint.bytes(source).unwrap_or_default();
        let ordered = planned.order.apply(&bytes, source);
        let width = source.shape.last().copied().unwrap_or(1);
        let converted = match stored {
            StoredType::Blocks(_) if stored == source.dtype => Ok(ordered.into_owned()),
            StoredType::Blocks(blocks) => quantise(&ordered, source.dtype, width, blocks),
            StoredType::Plain(plain) => to_plain_bytes(&ordered, source.dtype, width, plain),
        };
        checkpoint.release(source);
        let failed = |source_error| WeightsError::Unloadable {
            tensor: source.name.clone(),
            file: source.file.clone(),
            source: Box::new(source_error),
        };
        let converted = planned.order.finish(converted.map_err(failed)?);
        if content.is_empty() {
            content = converted;
        } else {
            content.extend(converted);
        }
    }
    Ok(content)
}

/// A pair of metadata.
type Pair = (String, GgufValue);

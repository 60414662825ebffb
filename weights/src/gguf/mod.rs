//! GGUF files: metadata and tensors by name, as llama.cpp writes them.
//!
//! Source: the specification in ggml's `docs/gguf.md`.

mod cursor;
mod header;
mod split;
mod value;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use glm4v_kernels::MappedFile;

pub use value::GgufValue;
pub use write::{GgufTensor, GgufWriter};

use crate::{StoredType, WeightsError};

/// An opened GGUF file, or several that are parts of one model. Opening reads the headers alone.
/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gguf {
    /// Names of the parts.
    files: Arc<[String]>,
    metadata: Arc<BTreeMap<String, GgufValue>>,
    tensors: Arc<BTreeMap<String, GgufEntry>>,
    /// Of each part.
    pub(crate) bytes: Arc<[Arc<MappedFile>]>,
}

/// What the header says about one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufEntry {
    /// Number format.
    pub stored: StoredType,
    /// Shape, outermost first: the reverse of GGUF's own order.
    pub shape: Vec<usize>,
    /// Which part has it.
    pub(crate) part: usize,
    /// Where its bytes are in that file.
    pub(crate) range: Range<usize>,
}

impl Gguf {
    /// Opens the file at `path` and reads its header. The first of several parts opens the others
    /// too, which lie beside it.
    ///
    /// # Errors
    /// [`WeightsError`] that names the file and, where there is one, the key or the tensor: not
    /// readable, not GGUF, cut short, of an unknown version or number format, with sizes that
    /// cannot be, or without its other parts.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let gguf = Self::open_one(path.as_ref())?;
        if split::parts(&gguf) > 1 { split::join(gguf, path.as_ref()) } else { Ok(gguf) }
    }

    fn open_one(path: &Path) -> Result<Self, WeightsError> {
        let file = path.display().to_string();
        let bytes = File::open(path)
            .and_then(|opened| MappedFile::new(&opened))
            .map_err(|source| WeightsError::Unreadable { file: file.clone(), source })?;
        let header = header::read(&bytes, &file)?;
        Ok(Self {
            files: [file].into(),
            metadata: header.metadata.into(),
            tensors: header.tensors.into(),
            bytes: [Arc::new(bytes)].into(),
        })
    }

    /// The file as error messages call it; the first of several.
    pub fn file(&self) -> &str {
        self.files.first().map_or("", String::as_str)
    }

    /// The part that has a tensor, as error messages call it.
    pub(crate) fn file_of(&self, entry: &GgufEntry) -> &str {
        self.files.get(entry.part).map_or(self.file(), String::as_str)
    }

    /// The bytes of a tensor as they are stored.
    pub(crate) fn bytes_of(&self, entry: &GgufEntry) -> Option<&[u8]> {
        self.bytes.get(entry.part)?.get(entry.range.clone())
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.metadata.get(key)
    }

    /// Keys and values, sorted by key.
    pub fn metadata(&self) -> impl Iterator<Item = (&String, &GgufValue)> {
        self.metadata.iter()
    }

    /// Tensors by name, sorted.
    pub fn tensors(&self) -> impl Iterator<Item = (&String, &GgufEntry)> {
        self.tensors.iter()
    }

    /// The tensor `name`.
    pub fn tensor(&self, name: &str) -> Option<&GgufEntry> {
        self.tensors.get(name)
    }

    /// The value of `key`, read by `read`, which the file must have.
    ///
    /// # Errors
    /// [`WeightsError::BadGguf`] that names file and key when it is missing or of another type.
    pub fn require<'a, T>(
        &'a self,
        key: &str,
        read: impl FnOnce(&'a GgufValue) -> Option<T>,
    ) -> Result<T, WeightsError> {
        let bad = |reason: &str| WeightsError::BadGguf {
            file: self.file().to_owned(),
            reason: format!("key `{key}` {reason}"),
        };
        let value = self.get(key).ok_or_else(|| bad("is missing"))?;
        read(value).ok_or_else(|| bad("has a value of the wrong type"))
    }
}

//! A checkpoint: files whose headers have been read, and whose tensors can be.

mod computed;
mod experts;
mod taken;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};
use glm4v_kernels::MappedFile;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;

use crate::{Files, Gguf, StoredType, Weights, WeightsError, header};

use computed::Computed;
pub use taken::{Take, Taken};

/// The file of an unsharded checkpoint.
pub(crate) const SINGLE_FILE: &str = "model.safetensors";
/// The list of shards, as `transformers` writes it.
pub(crate) const INDEX_FILE: &str = "model.safetensors.index.json";

/// What a checkpoint says about one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Full name, such as `model.layers.0.mlp.down_proj.weight`.
    pub name: String,
    /// Number format in the file.
    pub dtype: StoredType,
    /// Shape in the file, outermost first.
    pub shape: Vec<usize>,
    /// The file that holds it, as error messages call it.
    pub file: String,
    /// Bytes it takes in the file.
    pub bytes: usize,
    /// Where its bytes are: which weight file, and where in it.
    pub(crate) part: usize,
    pub(crate) range: Range<usize>,
    order: Order,
}

/// How a tensor's bytes are put in order when they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    AsStored,
    /// Pieces of `piece` bytes, in this order of theirs.
    Pieces { piece: usize, order: Arc<[usize]> },
    /// Pieces of `piece` bytes, one from the tensor and one from `second` in turn.
    InTurn { piece: usize, second: Range<usize> },
    /// Other numbers, made from these.
    Computed(Computed),
}

impl TensorInfo {
    /// Makes it a tensor of other numbers than those that are stored, in f32.
    fn computed(&mut self, computed: Computed) {
        self.dtype = StoredType::Plain(Dtype::F32);
        self.order = Order::Computed(computed);
    }
}

/// An opened checkpoint. Opening reads headers alone; tensors are read through [`Weights`].
/// Cheap to clone: clones share the memory map.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    files: Files,
    /// Sorted by name.
    tensors: Arc<[TensorInfo]>,
    parts: Arc<[Bytes]>,
    /// Whether every tensor that is asked for exists, filled with random values.
    random: bool,
}

/// The beginning of a weight file that is elsewhere.
#[derive(Debug)]
pub(crate) struct Header {
    /// The file, as error messages call it.
    pub(crate) file: String,
    /// Its first bytes, the whole header among them.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of the whole file, where known.
    pub(crate) file_size: Option<u64>,
}

/// The bytes of a weight file.
#[derive(Debug)]
enum Bytes {
    Mapped(MappedFile),
    Embedded(&'static [u8]),
    Gguf(Arc<MappedFile>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(file) => file,
            Self::Embedded(bytes) => bytes,
            Self::Gguf(file) => file,
        }
    }
}

impl Checkpoint {
    /// Opens a folder in the Hugging Face layout: `config.json` beside `model.safetensors`, or
    /// beside `model.safetensors.index.json` and its shards, or beside any `*.safetensors`
    /// files, looked for in this order. Weight files are memory-mapped.
    ///
    /// # Errors
    /// [`WeightsError`] that names the file at fault: not a folder, no configuration, no weights,
    /// a missing or truncated shard, a bad header or index.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Err(WeightsError::NotAFolder { path: path.to_owned() });
        }
        Self::from_files(Files::Folder(path.to_owned()))
    }

    /// Opens a checkpoint from bytes inside the program: pairs of file name and content.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn embedded(files: &'static [(&'static str, &'static [u8])]) -> Result<Self, WeightsError> {
        Self::from_files(Files::Embedded(files))
    }

    /// A checkpoint without weights, for measuring speed: every tensor that is asked for exists,
    /// in the shape that is asked for, filled with random values.
    pub fn random(files: Files) -> Self {
        Self { files, tensors: Arc::new([]), parts: Arc::new([]), random: true }
    }

    /// Whether tensors are made up as they are asked for.
    pub(crate) fn is_random(&self) -> bool {
        self.random
    }

    fn from_files(files: Files) -> Result<Self, WeightsError> {
        if !files.contains("config.json") {
            return Err(WeightsError::MissingConfig { place: files.place() });
        }
        let mut parts = Vec::new();
        let mut tensors = BTreeMap::new();
        for name in weight_files(&files)? {
            let bytes = open_weights(&files, &name)?;
            let file = files.describe(&name);
            let header = header::read(bytes.as_slice(), &file)?;
            add_tensors(&mut tensors, &header, parts.len(), &file)?;
            parts.push(bytes);
        }
        let tensors = tensors.into_values().collect();
        Ok(Self { files, tensors, parts: parts.into(), random: false })
    }

    /// A checkpoint of which only the headers are there: tensors have no bytes.
    pub(crate) fn of_headers(files: Files, headers: &[Header]) -> Result<Self, WeightsError> {
        let mut tensors = BTreeMap::new();
        for (part, Header { file, bytes, file_size }) in headers.iter().enumerate() {
            let read = header::read_of(bytes, *file_size, file)?;
            add_tensors(&mut tensors, &read, part, file)?;
        }
        let tensors = tensors.into_values().collect();
        Ok(Self { files, tensors, parts: Arc::new([]), random: false })
    }

    /// Puts together a checkpoint from GGUF files, whose tensors get other names and forms, and
    /// from the small files that a Hugging Face folder has beside its weights.
    ///
    /// # Errors
    /// [`WeightsError::BadGguf`] that names file and tensor when a tensor is missing or has not
    /// the form that it is to be taken in; [`WeightsError::DuplicateTensor`].
    pub fn from_gguf(files: Files, parts: &[Gguf], taken: &[Taken]) -> Result<Self, WeightsError> {
        let mut tensors = BTreeMap::new();
        for taken in taken {
            let Some(gguf) = parts.get(taken.part) else { continue };
            let before: usize = parts.iter().take(taken.part).map(|gguf| gguf.bytes.len()).sum();
            let tensor = taken::take(gguf, taken, before)?;
            let file = tensor.file.clone();
            if let Some(first) = tensors.insert(taken.name.clone(), tensor) {
                let (tensor, first) = (first.name, first.file);
                return Err(WeightsError::DuplicateTensor { tensor, first, second: file });
            }
        }
        let parts = parts.iter().flat_map(|gguf| gguf.bytes.iter().cloned()).map(Bytes::Gguf);
        let parts = parts.collect();
        let tensors = tensors.into_values().collect();
        Ok(Self { files, tensors, parts, random: false })
    }

    /// The files beside the weights: configuration, tokenizer, templates.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// All tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.tensors.iter()
    }

    /// A view of all tensors, cast to `dtype` on `device` when they are read. Each call starts a
    /// new record of which tensors have been read, for [`Weights::finish`].
    pub fn weights(&self, dtype: DType, device: &Device) -> Weights {
        Weights::new(self.clone(), dtype, device.clone())
    }

    /// The place of tensor `name` in the sorted list.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()
    }

    /// The tensor at a place of the sorted list.
    pub(crate) fn tensor(&self, position: usize) -> Option<&TensorInfo> {
        self.tensors.get(position)
    }

    /// The bytes of a tensor of this checkpoint, little endian, outermost dimension first. `None`
    /// when they are not there or can't be computed.
    pub fn bytes(&self, tensor: &TensorInfo) -> Option<Cow<'_, [u8]>> {
        let part = self.parts.get(tensor.part)?.as_slice();
        let bytes = part.get(tensor.range.clone())?;
        let mut ordered = Vec::new();
        match &tensor.order {
            Order::AsStored => return Some(Cow::Borrowed(bytes)),
            Order::Pieces { piece, order } => {
                ordered.reserve_exact(bytes.len());
                for from in order.iter() {
                    ordered.extend_from_slice(bytes.get(from * piece..(from + 1) * piece)?);
                }
            }
            Order::InTurn { piece, second } => {
                ordered.reserve_exact(2 * bytes.len());
                let second = part.get(second.clone())?;
                for (a, b) in bytes.chunks_exact(*piece).zip(second.chunks_exact(*piece)) {
                    ordered.extend_from_slice(a);
                    ordered.extend_from_slice(b);
                }
            }
            Order::Computed(computed) => {
                let second = match computed.second() {
                    Some((part, range)) => self.parts.get(*part)?.as_slice().get(range.clone()),
                    None => None,
                };
                ordered = computed.apply(bytes, second)?;
            }
        }
        Some(Cow::Owned(ordered))
    }

    /// Notes that a tensor's bytes in the file are not needed again soon.
    pub fn release(&self, tensor: &TensorInfo) {
        let release = |part: usize, range: &Range<usize>| match self.parts.get(part) {
            Some(Bytes::Mapped(map)) => map.release(range.clone()),
            Some(Bytes::Gguf(map)) => map.release(range.clone()),
            Some(Bytes::Embedded(_)) | None => {}
        };
        release(tensor.part, &tensor.range);
        match &tensor.order {
            Order::InTurn { second, .. } => release(tensor.part, second),
            Order::Computed(computed) => {
                if let Some((part, range)) = computed.second() {
                    release(*part, range);
                }
            }
            Order::AsStored | Order::Pieces { .. } => {}
        }
    }

    /// The one weight file, or the folder where there are several.
    pub(crate) fn weights_place(&self) -> String {
        match self.tensors.first() {
            Some(tensor) if self.parts.len() == 1 => tensor.file.clone(),
            _ => self.files.place(),
        }
    }
}

/// The names of the checkpoint's weight files.
pub(crate) fn weight_files(files: &Files) -> Result<Vec<String>, WeightsError> {
    if files.contains(SINGLE_FILE) {
        return Ok(vec![SINGLE_FILE.to_owned()]);
    }
    if let Some(shards) = read_index(files)? {
        return Ok(shards);
    }
    let mut names = files.names()?;
    names.retain(|name| name.ends_with(".safetensors"));
    if names.is_empty() {
        return Err(WeightsError::NoWeights { place: files.place() });
    }
    Ok(names)
}

/// `model.safetensors.index.json`.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shards that the index names, sorted; `None` when there is no index.
pub(crate) fn read_index(files: &Files) -> Result<Option<Vec<String>>, WeightsError> {
    let Some(index) = files.read_json::<Index>(INDEX_FILE)? else { return Ok(None) };
    let bad = |reason| WeightsError::BadIndex { file: files.describe(INDEX_FILE), reason };
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if shards.is_empty() {
        return Err(bad("it names no files".to_owned()));
    }
    for shard in &shards {
        // A name with a folder in it could reach outside the checkpoint.
        if shard.contains(['/', '\\']) || !shard.ends_with(".safetensors") {
            return Err(bad(format!("`{shard}` is not the name of a safetensors file")));
        }
    }
    Ok(Some(shards.into_iter().collect()))
}

fn open_weights(files: &Files, name: &str) -> Result<Bytes, WeightsError> {
    let missing = || WeightsError::MissingShard {
        file: files.describe(name),
        index: files.describe(INDEX_FILE),
    };
    let Files::Folder(folder) = files else {
        return files.embedded(name).map(Bytes::Embedded).ok_or_else(missing);
    };
    match File::open(folder.join(name)).and_then(|file| MappedFile::new(&file)) {
        Ok(map) => Ok(Bytes::Mapped(map)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing()),
        Err(source) => Err(WeightsError::Unreadable { file: files.describe(name), source }),
    }
}

/// Adds the tensors of weight file number `part` to `tensors`.
fn add_tensors(
    tensors: &mut BTreeMap<String, TensorInfo>,
    (metadata, data_start): &(Metadata, usize),
    part: usize,
    file: &str,
) -> Result<(), WeightsError> {
    for (name, stored) in metadata.tensors() {
        let (start, end) = stored.data_offsets;
        let tensor = TensorInfo {
            name,
            dtype: StoredType::Plain(stored.dtype),
            shape: stored.shape.clone(),
            file: file.to_owned(),
            bytes: end - start,
            part,
            range: data_start + start..data_start + end,
            order: Order::AsStored,
        };
        for tensor in experts::apart(tensor) {
            if let Some(first) = tensors.insert(tensor.name.clone(), tensor) {
                return Err(WeightsError::DuplicateTensor {
                    tensor: first.name,
                    first: first.file,
                    second: file.to_owned(),
                });
            }
        }
    }
    Ok(())
}

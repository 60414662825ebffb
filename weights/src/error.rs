//! What can go wrong while finding, fetching, opening and reading a checkpoint.

use std::path::PathBuf;

use crate::StoredType;
use candle_core::Shape;

/// Why a checkpoint could not be found, fetched, opened or read.
///
/// `file` and `place` are written for people: a path, or `built-in NAME` for embedded bytes.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The path of a model is not a folder.
    #[error("{}: not a folder; a model is a folder with config.json and *.safetensors files", path.display())]
    NotAFolder {
        /// The path as given.
        path: PathBuf,
    },
    /// The folder has no `config.json`.
    #[error("{place}: no config.json, so this is not a model folder")]
    MissingConfig {
        /// The folder.
        place: String,
    },
    /// The folder has no safetensors file.
    #[error("{place}: no weights; expected model.safetensors or model.safetensors.index.json")]
    NoWeights {
        /// The folder.
        place: String,
    },
    /// The operating system could not read a file.
    #[error("{file}: cannot be read")]
    Unreadable {
        /// The file.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file beside the weights is larger than any such file.
    #[error("{file}: more than {limit} bytes; that is no file of a model, fetch it again")]
    TooLarge {
        /// The file.
        file: String,
        /// The most bytes that are read.
        limit: u64,
    },
    /// A text file is not UTF-8.
    #[error("{file}: not UTF-8 text")]
    NotText {
        /// The file.
        file: String,
        /// Where the first bad byte is.
        source: std::str::Utf8Error,
    },
    /// A JSON file does not parse, or a field has the wrong type or is missing.
    #[error("{file}: bad JSON at line {line}, column {column}, field `{field}`")]
    BadJson {
        /// The file.
        file: String,
        /// The path of the field, such as `text_config.hidden_size`; `.` for the whole file.
        field: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The index of a sharded checkpoint names something that cannot be.
    #[error("{file}: bad index: {reason}")]
    BadIndex {
        /// The index file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The index names a shard that is not there.
    #[error("{file}: missing; {index} lists it, so the download is not complete")]
    MissingShard {
        /// The shard.
        file: String,
        /// The index that names it.
        index: String,
    },
    /// A weight file ends before its header says it does.
    #[error("{file}: cut short: {expected} bytes expected, {found} found; download it again")]
    TruncatedFile {
        /// The file.
        file: String,
        /// Bytes that the header asks for.
        expected: u64,
        /// Bytes that the file has.
        found: u64,
    },
    /// The header of a weight file is not what safetensors allows.
    #[error("{file}: bad safetensors header: {reason}")]
    BadHeader {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A GGUF file is not what the format allows, or has not what a model needs.
    #[error("{file}: bad GGUF file: {reason}")]
    BadGguf {
        /// The file.
        file: String,
        /// What is wrong with it; names the key or the tensor.
        reason: String,
    },
    /// Two shards hold a tensor of the same name.
    #[error("tensor `{tensor}` is in both {first} and {second}")]
    DuplicateTensor {
        /// The tensor's full name.
        tensor: String,
        /// The shard that was read first.
        first: String,
        /// The shard that repeats it.
        second: String,
    },
    /// The model needs a tensor that the checkpoint lacks.
    #[error("{file}: no tensor `{tensor}`, expected with shape {expected:?}")]
    MissingTensor {
        /// The tensor's full name.
        tensor: String,
        /// The weight file, or the folder where there are several.
        file: String,
        /// The shape that the model asked for.
        expected: Shape,
    },
    /// A tensor has another shape than the model's configuration says.
    #[error("{file}: tensor `{tensor}` has shape {found:?}, expected {expected:?}")]
    ShapeMismatch {
        /// The tensor's full name.
        tensor: String,
        /// The file that holds it.
        file: String,
        /// The shape that the model asked for.
        expected: Shape,
        /// The shape in the file.
        found: Shape,
    },
    /// A tensor is stored in a number format that cannot be computed with.
    #[error("{file}: tensor `{tensor}` is stored as {dtype}, which is not supported")]
    UnsupportedDtype {
        /// The tensor's full name.
        tensor: String,
        /// The file that holds it.
        file: String,
        /// The format in the file.
        dtype: StoredType,
    },
    /// A tensor's bytes could not be turned into a tensor of the wanted dtype and device.
    #[error("{file}: tensor `{tensor}` cannot be loaded")]
    Unloadable {
        /// The tensor's full name.
        tensor: String,
        /// The file that holds it.
        file: String,
        /// What candle said.
        source: Box<candle_core::Error>,
    },
    /// The checkpoint holds tensors that the model has no use for.
    #[error("{file}: {count} tensors that this model does not have: {}", list(names, *count))]
    ExtraTensors {
        /// The first few names.
        names: Vec<String>,
        /// How many there are in all.
        count: usize,
        /// The file of the first.
        file: String,
    },
    /// A model name is neither a path, a hub id nor an alias.
    #[error(
        "`{name}`: no such folder, and neither a hub id (owner/name) nor one of the short names {aliases}"
    )]
    UnknownModel {
        /// The name as given.
        name: String,
        /// The short names, comma-separated.
        aliases: String,
    },
    /// A hub id or revision has characters that the hub does not allow.
    #[error("`{id}`: not a valid hub {part}")]
    BadModelId {
        /// The id or revision as given.
        id: String,
        /// Which of the two it is: `id` or `revision`.
        part: &'static str,
    },
    /// Downloads are switched off and the cache lacks the model, or files of the dataset.
    #[error(
        "{id}: not in the cache {} and downloads are off; unset HF_HUB_OFFLINE to fetch it", cache.display()
    )]
    NotCached {
        /// The hub id.
        id: String,
        /// The cache that was looked at.
        cache: PathBuf,
    },
    /// The hub asks for a token, or the token has no right to the model or dataset. The hub says so
    /// of ids that it does not know, too.
    #[error(
        "{id}: access refused (HTTP {status}); if the {kind} is gated or private, accept its terms on its page and set HF_TOKEN"
    )]
    AccessRefused {
        /// The hub id.
        id: String,
        /// What it names: `model` or `dataset`.
        kind: &'static str,
        /// 401 or 403.
        status: u16,
    },
    /// The hub does not know the model or dataset, the revision or the file.
    #[error("{id}: {what} not found on the hub")]
    NotOnHub {
        /// The hub id.
        id: String,
        /// The file, or the revision.
        what: String,
    },
    /// The dataset has none of the files that its caller would read.
    #[error("{id}: the dataset has none of the files that are wanted")]
    NothingWanted {
        /// The hub id.
        id: String,
    },
    /// The hub could not be reached, or a download broke off more often than the retries allow.
    #[error("{id}: downloading {what} failed; run the command again to resume")]
    Download {
        /// The hub id.
        id: String,
        /// The file, or the list of files.
        what: String,
        /// What the HTTP client said.
        source: Box<hf_hub::api::sync::ApiError>,
    },
    /// The hub has fallen silent in the middle of a download.
    #[error(
        "{id}: downloading {what} failed: the hub has sent nothing for {seconds} s; run the command again to resume"
    )]
    Stalled {
        /// The hub id.
        id: String,
        /// The file.
        what: String,
        /// How long nothing came.
        seconds: f64,
    },
    /// The downloaded bytes are not those that the hub announced. They were thrown away.
    #[error("{id}: {file} is damaged: {kind} {found}, expected {expected}; fetch it again")]
    DamagedDownload {
        /// The hub id.
        id: String,
        /// The file's name in the repository.
        file: String,
        /// What was compared: `sha256`, `git sha1` or `size in bytes`.
        kind: &'static str,
        /// What the hub announced.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// A file of the cache could not be written.
    #[error("{}: cannot be written", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The home folder is not known, so neither is the cache's place.
    #[error("no home folder found for the Hugging Face cache; set HF_HOME")]
    NoHome,
}

fn list(names: &[String], count: usize) -> String {
    let more = if count > names.len() { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}

//! Checkpoints as named tensors, and where they come from.
//!
//! A [`Checkpoint`] is opened from a Hugging Face folder, from bytes inside the program or from a
//! [`Gguf`] file, and
//! gives a [`Weights`] view: tensors by name, cast to one dtype on one device as they are read.
//! A [`ModelSource`] says which checkpoint a user means; [`pull`] brings one from the hub into
//! the ordinary Hugging Face cache. What the tensors are for is not known here. Datasets come the
//! same way ([`DatasetSource`], [`pull_dataset`]); their caller says which files.

mod checkpoint;
mod error;
mod files;
mod fingerprint;
mod gguf;
mod header;
mod hub;
mod inspect;
mod quantise;
mod random;
mod source;
mod stored;
mod view;

pub use checkpoint::{Checkpoint, Take, Taken, TensorInfo};
pub use error::WeightsError;
pub use files::Files;
pub use gguf::{Gguf, GgufEntry, GgufTensor, GgufValue, GgufWriter};
pub use hub::{HubOptions, PullEvent, cached, look_up, pull, pull_dataset};
pub use inspect::{Count, Summary};
pub use quantise::{Quantisation, Recipe, quantise, to_plain_bytes};
pub use safetensors::Dtype as StoredDtype;
pub use source::{DatasetSource, ModelSource};
pub use stored::{BlockType, StoredType};
pub use view::Weights;

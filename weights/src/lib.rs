//! Checkpoints as named tensors, and where they come from.
//!
//! A [`Checkpoint`] is opened from a Hugging Face folder or from bytes inside the program, and
//! gives a [`Weights`] view: tensors by name, cast to one dtype on one device as they are read.
//! A [`ModelSource`] says which checkpoint a user means; [`pull`] brings one from the hub into
//! the ordinary Hugging Face cache. What the tensors are for is not known here.

mod checkpoint;
mod error;
mod files;
mod fingerprint;
mod header;
mod hub;
mod inspect;
mod random;
mod source;
mod view;

pub use checkpoint::{Checkpoint, TensorInfo};
pub use error::WeightsError;
pub use files::Files;
pub use hub::{HubOptions, PullEvent, cached, pull};
pub use inspect::{Count, Summary};
pub use safetensors::Dtype as StoredDtype;
pub use source::ModelSource;
pub use view::Weights;

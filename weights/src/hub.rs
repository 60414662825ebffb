//! Models and datasets from the hub, kept in the ordinary Hugging Face cache.
//!
//! The `hf-hub` crate speaks to the hub and resumes downloads. What it lacks is here: files are
//! checked against the hub's digests before the cache shows them, the cache is used without a
//! network, one process downloads a repository at a time, and only the files that a model is run
//! from, or a dataset is read from, are fetched.

mod cache;
mod dataset;
mod digest;
mod headers;
mod listing;
mod model;
mod options;
mod pull;
mod transfer;

pub use dataset::pull_dataset;
pub use headers::look_up;
pub use model::{cached, pull};
pub use options::HubOptions;
pub use transfer::PullEvent;

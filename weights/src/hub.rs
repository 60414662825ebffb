//! Models from the hub, kept in the ordinary Hugging Face cache.
//!
//! The `hf-hub` crate speaks to the hub and resumes downloads. What it lacks is here: files are
//! checked against the hub's digests before the cache shows them, the cache is used without a
//! network, one process downloads a model at a time, and only the files that a model is run
//! from are fetched.

mod cache;
mod digest;
mod options;
mod pull;
mod transfer;

pub use cache::cached;
pub use options::HubOptions;
pub use pull::pull;
pub use transfer::PullEvent;

//! A whole vision-language model: families, the splice, positions, sessions and generation.
//!
//! [`Model`] is the entry: it loads a checkpoint, looks at images, and answers. [`parity`] holds
//! every stage against the outputs of a reference implementation.

mod ahead;
mod answer;
mod ask;
mod batch;
pub mod bench;
mod chat;
mod draft;
mod error;
mod family;
#[cfg(test)]
mod fixtures;
mod generation;
mod gguf;
mod load;
pub mod memory;
mod model;
mod nano;
mod options;
pub mod parity;
pub mod quantise;
mod session;
mod splice;
mod video;
mod visual;
mod visual_cache;

pub use answer::{Answer, FinishReason, Timings, TokenScore, Usage};
pub use batch::DecodeTogether;
pub use chat::Chat;
pub use draft::{Draft, DraftCounts};
pub use error::FusionError;
pub use generation::{Chunk, Generation};
pub use gguf::export::{Exported, export};
pub use load::{DeviceChoice, FloatType, LoadOptions, open_checkpoint};
pub use model::{Model, ModelInfo};
pub use nano::{NANO, nano_checkpoint};
pub use options::{CancelToken, GenerateOptions};
pub use visual::VisualTokens;
pub use visual_cache::CacheOptions;

pub use glm4v_kernels::keep_freed_memory;
pub use glm4v_language::{
    BUILT_IN as BUILT_IN_TOOLS, CacheType, Grammar, Grounding, Message, Part, Reply, Role, ToolCall,
};
pub use glm4v_vision::{AlphaMode, Image, ImageOptions, VideoFile, VideoMetadata};
pub use glm4v_weights::{HubOptions, PullEvent, Quantisation};

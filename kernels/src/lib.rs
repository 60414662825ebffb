//! What the model code computes with: linear layers, attention, norms and rotary embeddings.
//!
//! This crate knows neither models nor file formats, and it is the only home of `unsafe`.
//! Sequences are two-dimensional, `(length, width)`; several sequences never share a call.

mod allocator;
mod attention;
mod buffer;
mod cpu;
mod delta_rule;
mod elementwise;
mod embedding;
mod gated;
mod limits;
mod linear;
mod mapped;
#[allow(unsafe_code, reason = "vector instructions, and tasks that write parts of one matrix")]
mod matmul;
mod norm;
mod pages;
mod prefetch;
mod rotary;
mod rows;
mod simd;
mod team;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod trace;

pub use allocator::keep_freed_memory;
pub use attention::{KeptRows, Mask, Precision, attention, attention_in, attention_over};
pub use cpu::{activation_type, beside_activations};
pub use delta_rule::{DeltaInputs, delta_rule};
pub use elementwise::{add, clamped_silu_times, gelu, silu_times};
pub use embedding::Embedding;
pub use gated::GatedLinear;
pub use limits::Limits;
pub use linear::Linear;
pub use mapped::MappedFile;
pub use norm::{LayerNorm, RmsNorm};
pub use rotary::{RotaryLayout, RotaryTable};
pub use rows::copy_rows;
pub use trace::Trace;

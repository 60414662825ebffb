//! The metrics, each with the variants of its reference scorers.

pub mod anls;
pub mod relaxed_accuracy;

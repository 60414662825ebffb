//! Runs: a benchmark put to an answerer, kept in a folder that outlives any crash.
//!
//! `run.json` says what is asked of whom, `responses.jsonl` has an answer a line, written as soon
//! as it is there, and `scores.json` what came of it. A run that was broken off goes on where it
//! stopped.

mod conduct;
mod feed;
mod folder;
mod manifest;
mod merge;
mod plan;
mod response;

pub use conduct::{Outcome, Progress, RunOptions, run};
pub use folder::RunFolder;
pub use manifest::{Identity, Manifest};
pub use merge::merge;
pub use plan::{Selection, Shard};
pub use response::{Failure, FailureKind, Response};

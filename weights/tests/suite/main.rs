//! The crate's tests against files, folders and a hub of our own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod checkpoint;
mod common;
mod datasets;
mod faults;
mod files;
mod gguf;
mod headers;
mod hub;
mod server;

//! The crate as its users see it, against what Pillow, torchvision and transformers computed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod glm5_next;
mod glmga;
mod goldens;
mod images;
mod properties;
mod tables;

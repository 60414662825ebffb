//! A header that claims 10.8 GB of pixels. Alone in its process, so that memory can be measured.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use glm4v_vision::{Image, VisionError};

const BOMB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/images/bomb.png");

/// The most memory that this process ever had resident, in kB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_decompression_bomb_is_refused_with_little_memory() {
    let error = Image::open(BOMB).unwrap_err();
    assert!(
        matches!(error, VisionError::TooManyPixels { width: 60_000, height: 60_000, .. }),
        "{error}"
    );
    assert!(peak_memory() < 50_000, "{} kB", peak_memory());
}

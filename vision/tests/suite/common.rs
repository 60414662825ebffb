//! What the tests of this crate share: fixtures and comparison in grey levels.

use glm4v_vision::VideoMetadata;
use ndarray::{ArrayD, IxDyn};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// A path below the project's fixtures.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures")).join(path)
}

/// A fixture's bytes.
pub(crate) fn read(path: &str) -> Vec<u8> {
    let path = fixture(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fixture's JSON.
pub(crate) fn json(path: &str) -> serde_json::Value {
    serde_json::from_slice(&read(path)).unwrap()
}

/// The rows of a table in a fixture's JSON.
pub(crate) fn rows(path: &str, table: &str) -> Vec<serde_json::Value> {
    json(path)[table].as_array().unwrap().clone()
}

/// The video of a row about choosing frames, and the indices that the reference chose.
pub(crate) fn video_and_indices(row: &serde_json::Value) -> (VideoMetadata, Vec<usize>) {
    let video = VideoMetadata {
        fps: row["fps"].as_f64().unwrap(),
        total_frames: row["total_frames"].as_u64().unwrap() as usize,
        duration: row["duration"].as_f64(),
    };
    (video, serde_json::from_value(row["indices"].clone()).unwrap())
}

/// An f32 tensor of a safetensors fixture.
pub(crate) fn f32_tensor(file: &SafeTensors<'_>, name: &str) -> ArrayD<f32> {
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    ArrayD::from_shape_vec(IxDyn(view.shape()), values.collect()).unwrap()
}

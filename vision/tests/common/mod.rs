//! What the tests of this crate share: fixtures and comparison in grey levels.

use ndarray::{ArrayD, IxDyn};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// A path below the project's fixtures.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures")).join(path)
}

/// A fixture's bytes.
pub fn read(path: &str) -> Vec<u8> {
    let path = fixture(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fixture's JSON.
pub fn json(path: &str) -> serde_json::Value {
    serde_json::from_slice(&read(path)).unwrap()
}

/// An f32 tensor of a safetensors fixture.
pub fn f32_tensor(file: &SafeTensors<'_>, name: &str) -> ArrayD<f32> {
    let view = file.tensor(name).unwrap();
    assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    ArrayD::from_shape_vec(IxDyn(view.shape()), values.collect()).unwrap()
}

/// How far values are from a reference, in units of `level`.
#[derive(Debug)]
pub struct Deviation {
    /// The largest difference.
    pub largest: f32,
    /// The share of values that differ at all.
    pub unequal: f64,
}

impl Deviation {
    /// Compares value by value; `level(i)` is the unit at flat index `i`.
    pub fn between(found: &[f32], reference: &[f32], level: impl Fn(usize) -> f32) -> Self {
        assert_eq!(found.len(), reference.len());
        let steps = found.iter().zip(reference).enumerate();
        let steps: Vec<f32> = steps.map(|(i, (a, b))| (a - b).abs() / level(i)).collect();
        let unequal = steps.iter().filter(|&&step| step > 0.01).count();
        Self {
            largest: steps.iter().copied().fold(0.0, f32::max),
            unequal: unequal as f64 / steps.len() as f64,
        }
    }
}

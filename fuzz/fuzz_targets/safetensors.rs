//! Bytes as `model.safetensors`: tensors that can all be read, or an error.

#![no_main]

use candle_core::{DType, Device};
use glm4v_weights::{Checkpoint, Summary};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else { return };
    if std::fs::write(folder.path().join("config.json"), "{}").is_err()
        || std::fs::write(folder.path().join("model.safetensors"), bytes).is_err()
    {
        return;
    }
    let Ok(checkpoint) = Checkpoint::open(folder.path()) else { return };
    let summary = Summary::of(&checkpoint);
    let _ = summary.bytes_as(DType::F32);
    let weights = checkpoint.weights(DType::F32, &Device::Cpu);
    for tensor in checkpoint.tensors() {
        if let Ok(read) = weights.tensor(&tensor.name, tensor.shape.as_slice()) {
            assert_eq!(read.dims(), tensor.shape);
        }
    }
    let _ = weights.finish();
});

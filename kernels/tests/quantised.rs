//! Layers with weights in blocks, against the same weights taken out of their blocks.

#![allow(clippy::unwrap_used, reason = "helpers of a test fail it by panicking")]

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use glm4v_kernels::{Embedding, Linear};
use std::sync::Arc;

/// The types in blocks that have kernels of their own.
const TYPES: [GgmlDType; 8] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// Numbers without a pattern that blocks could hide.
fn noise(rows: usize, width: usize, seed: u64) -> Tensor {
    let mut state = seed;
    let values: Vec<f32> = (0..rows * width)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(values, (rows, width), &Device::Cpu).unwrap()
}

/// The error's share of the reference, both as root mean squares.
fn relative_error(found: &Tensor, expected: &Tensor) -> f32 {
    let rms = |x: &Tensor| x.sqr().unwrap().mean_all().unwrap().sqrt().unwrap();
    let error = rms(&(found - expected).unwrap()).to_scalar::<f32>().unwrap();
    error / rms(expected).to_scalar::<f32>().unwrap()
}

#[test]
fn a_layer_in_blocks_computes_what_its_dequantised_weight_does() {
    for (rows, blocks) in [(1, 2), (7, 3), (70, 5)] {
        for dtype in TYPES {
            let width = blocks * dtype.block_size();
            let x = noise(rows, width, 1);
            let weight = Arc::new(QTensor::quantize(&noise(48, width, 2), dtype).unwrap());
            let bias = noise(1, 48, 3).squeeze(0).unwrap();
            let dense = Linear::new(weight.dequantize(&Device::Cpu).unwrap(), Some(bias.clone()));
            let found = Linear::quantised(weight, Some(bias)).forward(&x).unwrap();
            // Rows are rounded to 8 bits: about 0.4 % of their largest number in each block; weights
            // that meet many rows are, too.
            let error = relative_error(&found, &dense.forward(&x).unwrap());
            assert!(error < 0.01, "{dtype:?}, {rows} rows: {error}");
        }
    }
}

#[test]
fn layers_of_different_types_stack() {
    let x = noise(3, 256, 4);
    let dense = Linear::new(noise(8, 256, 5), None);
    let in_blocks = |seed, dtype| {
        let weight = QTensor::quantize(&noise(32, 256, seed), dtype).unwrap();
        Linear::quantised(Arc::new(weight), None)
    };
    let layers = [in_blocks(6, GgmlDType::Q4K), dense, in_blocks(7, GgmlDType::Q6K)];
    let stacked = Linear::stacked(&layers).unwrap().forward(&x).unwrap();
    let apart: Vec<_> = layers.iter().map(|layer| layer.forward(&x).unwrap()).collect();
    let apart = Tensor::cat(&apart, 1).unwrap();
    assert_eq!(stacked.to_vec2::<f32>().unwrap(), apart.to_vec2::<f32>().unwrap());
}

#[test]
fn a_table_in_blocks_gives_its_dequantised_rows() {
    for dtype in TYPES {
        let table = Arc::new(QTensor::quantize(&noise(9, 256, 8), dtype).unwrap());
        let dense = Embedding::Dense(table.dequantize(&Device::Cpu).unwrap());
        let table = Embedding::Quantised(table, DType::F32);
        let ids = [3, 8, 0, 3];
        let found = table.look_up(&ids).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(found, dense.look_up(&ids).unwrap().to_vec2::<f32>().unwrap(), "{dtype:?}");
        assert!(table.look_up(&[9]).is_err() && dense.look_up(&[9]).is_err());
    }
}

#[test]
fn a_layer_packed_out_of_a_file_is_the_one_made_of_its_tensor() {
    let (outputs, inputs) = (45, 33);
    let values: Vec<f32> = (0..outputs * inputs).map(|i| (i as f32 * 0.37).sin()).collect();
    let weight = Tensor::from_vec(values, (outputs, inputs), &Device::Cpu).unwrap();
    let x = weight.narrow(0, 0, 5).unwrap();
    let bits = |layer: Linear| -> Vec<u32> {
        let y: Vec<f32> = layer.forward(&x).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        y.into_iter().map(f32::to_bits).collect()
    };
    for (stored, computed) in [
        (DType::F32, DType::F32),
        (DType::F32, DType::BF16),
        (DType::BF16, DType::F32),
        (DType::BF16, DType::BF16),
    ] {
        let file = weight.to_dtype(stored).unwrap();
        let bytes: Vec<u8> = match stored {
            DType::F32 => floats(&file).iter().flat_map(|value| value.to_le_bytes()).collect(),
            _ => floats(&file)
                .iter()
                .flat_map(|value| ((value.to_bits() >> 16) as u16).to_le_bytes())
                .collect(),
        };
        // Room to begin at an address that suits the numbers.
        let mut room = vec![0; bytes.len() + 8];
        let start = room.as_ptr().align_offset(4);
        room[start..start + bytes.len()].copy_from_slice(&bytes);
        let lying = &room[start..start + bytes.len()];
        let shape = (outputs, inputs);
        let packed = Linear::from_bytes((lying, stored), shape, computed, None).unwrap();
        assert_eq!(bits(packed), bits(Linear::new(file.to_dtype(computed).unwrap(), None)));
        let odd = &room[start + 1..start + 1 + bytes.len()];
        assert!(Linear::from_bytes((odd, stored), shape, computed, None).is_none());
        let longer = (outputs + 1, inputs);
        assert!(Linear::from_bytes((lying, stored), longer, computed, None).is_none());
    }
}

fn floats(x: &Tensor) -> Vec<f32> {
    x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

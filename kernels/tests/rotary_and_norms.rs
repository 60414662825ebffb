//! Rotary embedding, norms and linear layers held against their definitions written out with loops.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use candle_core::{DType, Device, Tensor};
use glm4v_kernels::{LayerNorm, Linear, RmsNorm, RotaryLayout, RotaryTable};
use proptest::prelude::*;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_near(found: &[f32], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!((f64::from(*found) - wanted).abs() < 1e-5, "at {at}: {found} is not {wanted}");
    }
}

/// Values in -2..2 that differ from place to place.
fn spread(count: usize, seed: u64) -> Vec<f32> {
    (0..count).map(|i| (((i as u64 * 2654435761 + seed) % 4001) as f32 / 1000.0) - 2.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rotation_turns_each_pair_by_its_angle(
        heads in 1usize..4, length in 1usize..5, pairs in 1usize..5, rest in 0usize..4,
        interleaved in any::<bool>(), seed in 0u64..1000,
    ) {
        let d = 2 * pairs + rest;
        let x = spread(heads * length * d, seed);
        let angles = spread(length * pairs, seed + 1);
        let layout = if interleaved { RotaryLayout::Interleaved } else { RotaryLayout::HalfSplit };
        let table = RotaryTable::new(&tensor(&angles, &[length, pairs]), layout, DType::F32).unwrap();
        let turned = flat(&table.apply(&tensor(&x, &[heads, length, d])).unwrap());

        let mut wanted: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        for row in 0..heads * length {
            for pair in 0..pairs {
                let (a, b) = if interleaved { (2 * pair, 2 * pair + 1) } else { (pair, pair + pairs) };
                let (a, b) = (row * d + a, row * d + b);
                let (sin, cos) = f64::from(angles[row % length * pairs + pair]).sin_cos();
                (wanted[a], wanted[b]) = (wanted[a] * cos - wanted[b] * sin, wanted[b] * cos + wanted[a] * sin);
            }
        }
        assert_near(&turned, &wanted);
    }

    /// Heads as they lie in a fused projection, and one after the other.
    #[test]
    fn turning_what_is_normalised_is_the_same_at_once(
        heads in 1usize..4, length in 1usize..9, pairs in 1usize..20, rest in 0usize..4,
        interleaved in any::<bool>(), seed in 0u64..1000,
    ) {
        let d = 2 * pairs + rest;
        let x = tensor(&spread(heads * length * d, seed), &[length, heads, d]).transpose(0, 1).unwrap();
        let norm = RmsNorm::new(tensor(&spread(d, seed + 1), &[d]), 1e-5);
        let angles = tensor(&spread(length * pairs, seed + 2), &[length, pairs]);
        let layout = if interleaved { RotaryLayout::Interleaved } else { RotaryLayout::HalfSplit };
        let table = RotaryTable::new(&angles, layout, DType::F32).unwrap();
        let wanted = flat(&table.apply(&norm.forward(&x).unwrap()).unwrap());
        for x in [&x, &x.contiguous().unwrap()] {
            prop_assert_eq!(flat(&table.apply_to_normed(&norm, x).unwrap()), wanted.clone());
        }
        let wider = RmsNorm::new(tensor(&spread(d + 1, seed), &[d + 1]), 1e-5);
        prop_assert!(table.apply_to_normed(&wider, &x).is_err());
    }

    #[test]
    fn norms_equal_their_definitions(rows in 1usize..4, width in 1usize..40, seed in 0u64..1000) {
        let (x, w, b) = (spread(rows * width, seed), spread(width, seed + 1), spread(width, seed + 2));
        let eps = 1e-3;
        let (mut rms, mut layer) = (Vec::new(), Vec::new());
        for row in x.chunks(width) {
            let of = |f: &dyn Fn(f64) -> f64| row.iter().map(|v| f(f64::from(*v))).sum::<f64>() / width as f64;
            let (mean, mean_square) = (of(&|v| v), of(&|v| v * v));
            let variance = of(&|v| (v - mean) * (v - mean));
            for (i, v) in row.iter().enumerate() {
                let (v, w, b) = (f64::from(*v), f64::from(w[i]), f64::from(b[i]));
                rms.push(v / (mean_square + eps).sqrt() * w);
                layer.push((v - mean) / (variance + eps).sqrt() * w + b);
            }
        }
        let x = tensor(&x, &[rows, width]);
        let (w, b) = (tensor(&w, &[width]), tensor(&b, &[width]));
        assert_near(&flat(&RmsNorm::new(w.clone(), eps).forward(&x).unwrap()), &rms);
        assert_near(&flat(&LayerNorm::new(w, b, eps).forward(&x).unwrap()), &layer);
    }
}

#[test]
fn stacked_layers_give_their_outputs_side_by_side() {
    let layer = |out: usize, seed| {
        Linear::new(
            tensor(&spread(out * 3, seed), &[out, 3]),
            Some(tensor(&spread(out, seed + 9), &[out])),
        )
    };
    let (a, b) = (layer(2, 1), layer(4, 2));
    let x = tensor(&spread(6, 3), &[2, 3]);
    let both = Linear::stacked(&[a.clone(), b.clone()]).unwrap();
    let apart = Tensor::cat(&[a.forward(&x).unwrap(), b.forward(&x).unwrap()], 1).unwrap();
    assert_eq!(flat(&both.forward(&x).unwrap()), flat(&apart));
}

#[test]
fn layers_with_and_without_bias_do_not_stack() {
    let weight = tensor(&[1.0], &[1, 1]);
    let with = Linear::new(weight.clone(), Some(tensor(&[1.0], &[1])));
    assert!(Linear::stacked(&[with, Linear::new(weight, None)]).is_err());
}

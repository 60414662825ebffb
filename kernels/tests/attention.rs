//! Blocked attention held against the definition written out with loops.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use candle_core::{Device, Result, Tensor};
use glm4v_kernels::{Mask, attention};
use proptest::prelude::*;

/// `softmax(q kᵀ / √d) v` in f64, one query at a time. Returns `(queries, heads · d)` row-major.
fn by_definition(
    q: &[Vec<Vec<f32>>],
    k: &[Vec<Vec<f32>>],
    v: &[Vec<Vec<f32>>],
    mask: Mask,
) -> Vec<f64> {
    let (heads, kv_heads) = (q.len(), k.len());
    let (queries, keys, d) = (q[0].len(), k[0].len(), q[0][0].len());
    let mut out = vec![0.0; queries * heads * d];
    for h in 0..heads {
        let g = h / (heads / kv_heads);
        for i in 0..queries {
            let seen = if mask == Mask::Causal { keys - queries + i + 1 } else { keys };
            let scores: Vec<f64> = (0..seen)
                .map(|j| (0..d).map(|c| f64::from(q[h][i][c]) * f64::from(k[g][j][c])).sum::<f64>())
                .map(|score| score / (d as f64).sqrt())
                .collect();
            let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
            for c in 0..d {
                out[(i * heads + h) * d + c] = (0..seen)
                    .map(|j| (scores[j] - top).exp() / total * f64::from(v[g][j][c]))
                    .sum();
            }
        }
    }
    out
}

fn values(heads: usize, rows: usize, d: usize, seed: &mut u64) -> Vec<Vec<Vec<f32>>> {
    let mut next = || {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((*seed >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 6.0
    };
    (0..heads).map(|_| (0..rows).map(|_| (0..d).map(|_| next()).collect()).collect()).collect()
}

fn tensor(values: &[Vec<Vec<f32>>]) -> Result<Tensor> {
    let shape = (values.len(), values[0].len(), values[0][0].len());
    Tensor::from_vec(
        values.iter().flatten().flatten().copied().collect::<Vec<_>>(),
        shape,
        &Device::Cpu,
    )
}

fn check(
    kv_heads: usize,
    group: usize,
    queries: usize,
    earlier: usize,
    d: usize,
    mask: Mask,
    mut seed: u64,
) {
    let keys = queries + earlier;
    let q = values(kv_heads * group, queries, d, &mut seed);
    let k = values(kv_heads, keys, d, &mut seed);
    let v = values(kv_heads, keys, d, &mut seed);
    let got =
        attention(&tensor(&q).unwrap(), &tensor(&k).unwrap(), &tensor(&v).unwrap(), mask).unwrap();
    assert_eq!(got.dims(), &[queries, kv_heads * group * d]);
    let got: Vec<f32> = got.flatten_all().unwrap().to_vec1().unwrap();
    for (at, (got, wanted)) in got.iter().zip(by_definition(&q, &k, &v, mask)).enumerate() {
        assert!((f64::from(*got) - wanted).abs() < 2e-5, "at {at}: {got} is not {wanted}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn equals_the_definition(
        kv_heads in 1usize..4, group in 1usize..4, queries in 1usize..20, earlier in 0usize..20,
        d in 1usize..20, causal in any::<bool>(), seed in any::<u64>(),
    ) {
        check(kv_heads, group, queries, earlier, d, if causal { Mask::Causal } else { Mask::Full }, seed);
    }
}

#[test]
fn several_query_blocks_equal_the_definition() {
    // 2 heads × 2600 keys: the score block holds 1613 queries, so this takes two blocks.
    check(1, 2, 2600, 0, 2, Mask::Causal, 7);
    check(1, 2, 2600, 0, 2, Mask::Full, 7);
}

#[test]
fn refuses_shapes_that_do_not_fit() {
    let t = |shape: (usize, usize, usize)| {
        Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap()
    };
    assert!(attention(&t((3, 2, 4)), &t((2, 2, 4)), &t((2, 2, 4)), Mask::Full).is_err());
    assert!(attention(&t((2, 5, 4)), &t((2, 2, 4)), &t((2, 2, 4)), Mask::Causal).is_err());
}

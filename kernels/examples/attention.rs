//! Times attention on shapes of the family in f32 or, with `bf16` or `bytes` as argument, with
//! rounded operands, beside the machine's limit in f32 or bf16:
//! `cargo run --release -p glm4v-kernels --example attention`.

use candle_core::{Device, Result, Tensor};
use glm4v_kernels::{Limits, Mask, Precision, attention_in};
use std::time::Instant;

const ROUNDS: usize = 7;

/// Name, query heads, key-value heads, queries, keys, channels, mask.
const SHAPES: [(&str, usize, usize, usize, usize, usize, Mask); 6] = [
    ("GLM-OCR tower, 560 x 560", 16, 16, 1600, 1600, 64, Mask::Full),
    ("GLM-OCR tower, 1120 x 1120", 16, 16, 6400, 6400, 64, Mask::Full),
    ("GLM-4V-9B tower, 2 of 16 heads", 2, 2, 6401, 6401, 112, Mask::Full),
    ("GLM-OCR prefill", 16, 8, 512, 512, 128, Mask::Causal),
    ("9B prefill, fourth chunk", 32, 2, 512, 2048, 128, Mask::Causal),
    ("9B decode", 32, 2, 1, 2048, 128, Mask::Causal),
];

fn main() -> Result<()> {
    let limits = Limits::measure();
    let asked = std::env::args().nth(1);
    let (precision, limit) = match asked.as_deref() {
        Some("bf16") => (Precision::Bf16, limits.bf16.unwrap_or(limits.f32)),
        Some("bytes") => (Precision::Bytes, limits.bf16.unwrap_or(limits.f32)),
        _ => (Precision::Single, limits.f32),
    };
    for (name, heads, kv_heads, queries, keys, d, mask) in SHAPES {
        let random = |heads, rows| Tensor::randn(0f32, 1.0, (heads, rows, d), &Device::Cpu);
        let (q, k, v) = (random(heads, queries)?, random(kv_heads, keys)?, random(kv_heads, keys)?);
        attention_in(precision, &q, &k, &v, mask)?;
        let mut times = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let started = Instant::now();
            attention_in(precision, &q, &k, &v, mask)?;
            times.push(started.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let seen = match mask {
            Mask::Full => queries * keys,
            Mask::Causal => queries * (keys - queries) + queries * (queries + 1) / 2,
        };
        let rate = (4 * heads * d * seen) as f64 / times[ROUNDS / 2];
        println!(
            "{name:<32} {:>9.3} ms {:>8.3} TFLOP/s {:>4.0} % of the limit",
            times[ROUNDS / 2] * 1e3,
            rate / 1e12,
            rate / limit * 100.0
        );
    }
    Ok(())
}

//! The loops in x86-64 instructions, for what the processor at hand has.

#![allow(unsafe_code, reason = "functions for one processor are called after asking for it")]

use super::{STEPS, SUMS, rate, sum_in_lanes};
use crate::simd::has_slow_pairs;
use crate::tiles;
use std::arch::asm;
use std::arch::x86_64::{
    _mm256_fmadd_ps, _mm256_set1_ps, _mm512_castsi512_ph, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps,
    _mm512_dpbusd_epi32, _mm512_fmadd_ph, _mm512_fmadd_ps, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_ps,
};
use std::hint::black_box;

pub(super) fn f32_rate() -> Option<f64> {
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return Some(rate(2 * 16 * STEPS * SUMS, || unsafe { fma_512() }));
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        return Some(rate(2 * 8 * STEPS * SUMS, || unsafe { fma_256() }));
    }
    None
}

pub(super) fn bf16_rate() -> Option<f64> {
    if tiles::detected() {
        let flops = 2 * 16 * 16 * 32 * STEPS * TILE_SUMS;
        // SAFETY: the processor has tiles, and this process may use them.
        return Some(rate(flops, || unsafe { tiles_of_bf16() }));
    }
    if has_slow_pairs() && is_x86_feature_detected!("avx512fp16") {
        // SAFETY: the processor has AVX512-FP16.
        return Some(rate(2 * 32 * STEPS * SUMS, || unsafe { fma_f16() }));
    }
    let there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
    // SAFETY: the processor has AVX-512F and AVX512-BF16.
    there.then(|| rate(2 * 32 * STEPS * SUMS, || unsafe { dot_bf16() }))
}

pub(super) fn int8_rate() -> Option<f64> {
    if tiles::detected() {
        let flops = 2 * 16 * 16 * 64 * STEPS * TILE_SUMS;
        // SAFETY: the processor has tiles, and this process may use them.
        return Some(rate(flops, || unsafe { tiles_of_bytes() }));
    }
    let there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni");
    // SAFETY: the processor has AVX-512F and AVX512-VNNI.
    there.then(|| rate(2 * 64 * STEPS * SUMS, || unsafe { dot_int8() }))
}

pub(super) fn sum(values: &[u64]) -> Option<u64> {
    // SAFETY: the processor has AVX-512F.
    is_x86_feature_detected!("avx512f").then(|| unsafe { sum_512(values) })
}

#[target_feature(enable = "avx512f")]
fn fma_512() {
    let (a, b) = (_mm512_set1_ps(black_box(1.25)), _mm512_set1_ps(black_box(-0.5)));
    let mut sums = [a; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(a, b, *sum);
        }
    }
    black_box(sums);
}

#[target_feature(enable = "avx2,fma")]
fn fma_256() {
    let (a, b) = (_mm256_set1_ps(black_box(1.25)), _mm256_set1_ps(black_box(-0.5)));
    let mut sums = [a; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(a, b, *sum);
        }
    }
    black_box(sums);
}

#[target_feature(enable = "avx512f,avx512fp16")]
fn fma_f16() {
    let half = |bits| _mm512_castsi512_ph(_mm512_set1_epi16(black_box(bits)));
    let (a, b) = (half(0x3c00), half(0x3800)); // 1, 0.5
    let mut sums = [a; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ph(a, b, *sum);
        }
    }
    black_box(sums);
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn dot_bf16() {
    let value = _mm512_set1_ps(black_box(1.25));
    let pairs = _mm512_cvtne2ps_pbh(value, value);
    let mut sums = [value; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbf16_ps(*sum, pairs, pairs);
        }
    }
    black_box(sums);
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_int8() {
    let bytes = _mm512_set1_epi32(black_box(0x0102_0304));
    let mut sums = [bytes; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, bytes, bytes);
        }
    }
    black_box(sums);
}

/// Tile registers that hold sums.
const TILE_SUMS: usize = 4;

/// Defines a loop of tile products; sums are what the registers begin with, zeros.
macro_rules! tile_loop {
    ($name:ident, $product:literal) => {
        /// # Safety
        /// The processor must have tiles that this process may use.
        unsafe fn $name() {
            // SAFETY: the registers are configured before they are used and released after that;
            // memory is not touched.
            unsafe {
                tiles::configure(tiles::ROWS);
                asm!(
                    "2:",
                    concat!($product, " tmm0, tmm4, tmm6"),
                    concat!($product, " tmm1, tmm4, tmm7"),
                    concat!($product, " tmm2, tmm5, tmm6"),
                    concat!($product, " tmm3, tmm5, tmm7"),
                    "dec {steps}",
                    "jnz 2b",
                    steps = inout(reg) STEPS => _,
                    options(nostack, nomem),
                );
                tiles::release();
            }
        }
    };
}

tile_loop!(tiles_of_bf16, "tdpbf16ps");
tile_loop!(tiles_of_bytes, "tdpbusd");

#[target_feature(enable = "avx512f")]
fn sum_512(values: &[u64]) -> u64 {
    sum_in_lanes(values)
}

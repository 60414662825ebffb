//! The loops in aarch64 instructions, for what the processor at hand has.

#![allow(unsafe_code, reason = "functions for one processor are called after asking for it")]

use super::{STEPS, rate};
use std::arch::aarch64::{
    float32x4_t, int32x4_t, vdupq_n_f32, vdupq_n_s32, vdupq_n_u32, vfmaq_f32, vreinterpretq_f32_u32,
};
use std::arch::{asm, is_aarch64_feature_detected};
use std::hint::black_box;

/// Independent sums in flight: some processors have four units of four cycles each.
const SUMS: usize = 20;

pub(super) fn f32_rate() -> f64 {
    // SAFETY: every processor of this architecture has NEON.
    rate(2 * 4 * STEPS * SUMS, || unsafe { fma() })
}

pub(super) fn bf16_rate() -> Option<f64> {
    // SAFETY: the processor has the instruction.
    is_aarch64_feature_detected!("bf16").then(|| rate(2 * 16 * STEPS * SUMS, || unsafe { bf16() }))
}

pub(super) fn int8_rate() -> Option<f64> {
    if is_aarch64_feature_detected!("i8mm") {
        // SAFETY: the processor has the instruction.
        return Some(rate(2 * 32 * STEPS * SUMS, || unsafe { matrix_int8() }));
    }
    let there = is_aarch64_feature_detected!("dotprod");
    // SAFETY: the processor has the instruction.
    there.then(|| rate(2 * 16 * STEPS * SUMS, || unsafe { dot_int8() }))
}

#[target_feature(enable = "neon")]
fn fma() {
    let (a, b) = (vdupq_n_f32(black_box(1.25)), vdupq_n_f32(black_box(-0.5)));
    let mut sums = [a; SUMS];
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = vfmaq_f32(*sum, a, b);
        }
    }
    black_box(sums);
}

/// Defines a loop of one instruction that the standard library has no stable function for.
macro_rules! product_loop {
    ($name:ident, $feature:literal, $product:literal, $sum:ty, $operand:expr) => {
        #[target_feature(enable = "neon", enable = $feature)]
        fn $name() {
            let operand: $sum = $operand;
            let mut sums = [operand; SUMS];
            for _ in 0..STEPS {
                for sum in &mut sums {
                    // SAFETY: the processor has the instruction, which touches no memory.
                    unsafe {
                        asm!(
                            $product,
                            sum = inout(vreg) *sum,
                            x = in(vreg) operand,
                            options(pure, nomem, nostack, preserves_flags),
                        );
                    }
                }
            }
            black_box(sums);
        }
    };
}

// 2 × 2 sums of four products each.
product_loop!(bf16, "bf16", "bfmmla {sum:v}.4s, {x:v}.8h, {x:v}.8h", float32x4_t, {
    vreinterpretq_f32_u32(vdupq_n_u32(black_box(0x3fa0_3fa0))) // 1.25 and 1.25
});
// 2 × 2 sums of eight products each.
product_loop!(matrix_int8, "i8mm", "smmla {sum:v}.4s, {x:v}.16b, {x:v}.16b", int32x4_t, {
    vdupq_n_s32(black_box(0x0102_0304))
});
product_loop!(dot_int8, "dotprod", "sdot {sum:v}.4s, {x:v}.16b, {x:v}.16b", int32x4_t, {
    vdupq_n_s32(black_box(0x0102_0304))
});

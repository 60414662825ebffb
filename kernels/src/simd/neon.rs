//! Registers of aarch64: 32 of 128 bits, which every processor of the architecture has.

use super::{Lanes, Task, dot_pairs_one_by_one, pairs_one_by_one};
use std::arch::aarch64::*;
use std::arch::asm;

/// Does the work with NEON.
pub(super) fn run_neon<T: Task>(task: T) -> T::Output {
    // SAFETY: every processor of this architecture has the instructions.
    unsafe { task.run::<Neon<false>>() }
}

/// Does the work with NEON and its dot products of bf16.
#[target_feature(enable = "bf16")]
pub(super) fn run_neon_bf16<T: Task>(task: T) -> T::Output {
    // SAFETY: this function's own callers see to it that the processor has the instructions.
    unsafe { task.run::<Neon<true>>() }
}

/// A register of 128 bits; with `PAIRS` on a processor with dot products of bf16.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Neon<const PAIRS: bool>(float32x4_t);

// SAFETY of every block below: callers promise the instructions, and the values behind pointers.
impl<const PAIRS: bool> Lanes for Neon<PAIRS> {
    const COUNT: usize = 4;
    const PANEL: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { vdupq_n_f32(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see above.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see above.
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vdivq_f32(self.0, other.0) })
    }

    // Where `self` is no number the result is `other`, as it is with the other registers.
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vmaxnmq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vminnmq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vfmaq_f32(summand.0, self.0, factor.0) })
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { vrndnq_f32(self.0) })
    }

    #[inline(always)]
    unsafe fn scale(self, exponent: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let bounded = vmaxnmq_f32(exponent.0, vdupq_n_f32(-127.0));
            let biased = vaddq_s32(vcvtq_s32_f32(bounded), vdupq_n_s32(127));
            // An exponent of -127 gives the bits of 0.
            Self(vmulq_f32(self.0, vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))))
        }
    }

    #[inline(always)]
    unsafe fn pairs(self, next: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            if !PAIRS {
                return pairs_one_by_one(self, next);
            }
            let pairs: float32x4_t;
            asm!(
                "bfcvtn {pairs:v}.4h, {low:v}.4s",
                "bfcvtn2 {pairs:v}.8h, {high:v}.4s",
                pairs = out(vreg) pairs,
                low = in(vreg) self.0,
                high = in(vreg) next.0,
                options(pure, nomem, nostack, preserves_flags),
            );
            Self(pairs)
        }
    }

    #[inline(always)]
    unsafe fn dot_pairs(self, other: Self, mut sum: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            if !PAIRS {
                return dot_pairs_one_by_one(self, other, sum);
            }
            asm!(
                "bfdot {sum:v}.4s, {a:v}.8h, {b:v}.8h",
                sum = inout(vreg) sum.0,
                a = in(vreg) self.0,
                b = in(vreg) other.0,
                options(pure, nomem, nostack, preserves_flags),
            );
            sum
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { vaddvq_f32(self.0) }
    }

    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: see above.
        unsafe { vmaxnmvq_f32(self.0) }
    }
}

//! The kernel with NEON's dot products of bf16.

use std::arch::aarch64::float32x4_t;
use std::arch::{asm, is_aarch64_feature_detected};

use super::neon::{Words, tile_words};
use super::pack::{LINES, Line};
use super::{Kernel, Tile, plain};

/// Whether this machine has the dot products.
pub(super) fn detected() -> bool {
    is_aarch64_feature_detected!("bf16")
}

/// bf16 weights. Made only where the instructions were detected.
pub(super) struct DotBf16(());

impl DotBf16 {
    /// # Safety
    /// The instructions must have been [`detected`].
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

impl Kernel for DotBf16 {
    const ROWS: usize = 6;
    const STEP: usize = 2;
    const ROW_WORDS: usize = 1;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        plain::pack_bf16(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: the value exists, so the instructions were detected; whoever made the tile vouches for
        // its places.
        unsafe { tile_pairs::<R>(rows, panel, tile) }
    }
}

/// # Safety
/// As [`tile_words`].
#[target_feature(enable = "bf16")]
unsafe fn tile_pairs<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    // SAFETY: as the caller vouches.
    unsafe { tile_words::<Pairs, R>(rows, panel, tile) }
}

/// Words of two bf16.
struct Pairs;

impl Words for Pairs {
    #[inline(always)]
    unsafe fn add(mut sum: float32x4_t, weights: float32x4_t, row: f32) -> float32x4_t {
        // SAFETY: the machine has the instruction, as the caller vouches; it touches no memory. The
        // standard library has no stable function for it.
        unsafe {
            asm!(
                "bfdot {sum:v}.4s, {weights:v}.8h, {row:v}.2h[0]",
                sum = inout(vreg) sum,
                weights = in(vreg) weights,
                row = in(vreg) row,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
}

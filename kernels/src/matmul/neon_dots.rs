//! Dot products of bytes, with NEON's instruction for them and without.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Tile;
use super::neon_blocks::{Quads, tile_blocks};
use super::neon_int8::tile_int8;
use super::pack::Line;

/// A way to sum the products of weights' bytes with a row's, four to a lane.
///
/// Nothing of it but the tiles has the instructions' features: all else must be
/// `#[inline(always)]`, to end up inside of them.
pub(super) trait Dot: Copy + Send + Sync {
    /// The most rows that a tile has: with two vectors of a panel's outputs each they fill the
    /// registers.
    const ROWS: usize;
    /// Sums of some words' products, and what they begin with.
    type Sums: Copy;

    /// Words whose products, with weights of up to `largest`, [`Self::Sums`] have room for.
    fn words(largest: usize) -> usize;
    /// Sums that are to be added to `sum`.
    fn begin(sum: int32x4_t) -> Self::Sums;
    /// Adds the products of a word of four outputs with a word of a row.
    ///
    /// # Safety
    /// The machine must have the implementor's instructions.
    unsafe fn add(sums: Self::Sums, weights: int8x16_t, row: u32) -> Self::Sums;
    /// `sum`, which the sums were begun with, and what was added to them.
    fn end(sum: int32x4_t, sums: Self::Sums) -> int32x4_t;

    /// [`tile_int8`] with the instructions.
    ///
    /// # Safety
    /// As there.
    unsafe fn tile_int8<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile);
    /// [`tile_blocks`] with the instructions.
    ///
    /// # Safety
    /// As there.
    unsafe fn tile_blocks<B: Quads, const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile);
}

/// The instruction. Made only where it was detected.
#[derive(Clone, Copy)]
pub(super) struct InstructionDot(());

impl InstructionDot {
    /// # Safety
    /// The machine must have the feature `dotprod`.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

impl Dot for InstructionDot {
    const ROWS: usize = 6;
    type Sums = int32x4_t;

    #[inline(always)]
    fn words(_largest: usize) -> usize {
        usize::MAX
    }

    #[inline(always)]
    fn begin(sum: int32x4_t) -> int32x4_t {
        sum
    }

    #[inline(always)]
    unsafe fn add(mut sums: int32x4_t, weights: int8x16_t, row: u32) -> int32x4_t {
        // SAFETY: the machine has the instruction, as the caller vouches; it touches no memory. The
        // standard library has no stable function for it.
        unsafe {
            asm!(
                "sdot {sums:v}.4s, {weights:v}.16b, {row:v}.4b[0]",
                sums = inout(vreg) sums,
                weights = in(vreg) weights,
                row = in(vreg) f32::from_bits(row),
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }

    #[inline(always)]
    fn end(_sum: int32x4_t, sums: int32x4_t) -> int32x4_t {
        sums
    }

    #[target_feature(enable = "dotprod")]
    unsafe fn tile_int8<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: as the caller vouches.
        unsafe { tile_int8::<Self, R>(rows, panel, tile) }
    }

    #[target_feature(enable = "dotprod")]
    unsafe fn tile_blocks<B: Quads, const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: as the caller vouches.
        unsafe { tile_blocks::<B, Self, R>(rows, panel, tile) }
    }
}

/// Products in 16 bits, a lane each, which are summed in pairs after some words.
#[derive(Clone, Copy)]
pub(super) struct WidenedDot;

impl Dot for WidenedDot {
    const ROWS: usize = 4;
    type Sums = [int16x8_t; 2];

    #[inline(always)]
    fn words(largest: usize) -> usize {
        i16::MAX as usize / (127 * largest) // rows have no −128
    }

    #[inline(always)]
    fn begin(_sum: int32x4_t) -> Self::Sums {
        // SAFETY: every processor of this architecture has NEON.
        [unsafe { vdupq_n_s16(0) }; 2]
    }

    #[inline(always)]
    unsafe fn add([low, high]: Self::Sums, weights: int8x16_t, row: u32) -> Self::Sums {
        // SAFETY: every processor of this architecture has NEON.
        unsafe {
            let row = vreinterpretq_s8_u32(vdupq_n_u32(row));
            let low = vmlal_s8(low, vget_low_s8(weights), vget_low_s8(row));
            [low, vmlal_high_s8(high, weights, row)]
        }
    }

    #[inline(always)]
    fn end(sum: int32x4_t, [low, high]: Self::Sums) -> int32x4_t {
        // SAFETY: every processor of this architecture has NEON.
        unsafe { vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high))) }
    }

    unsafe fn tile_int8<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: as the caller vouches.
        unsafe { tile_int8::<Self, R>(rows, panel, tile) }
    }

    unsafe fn tile_blocks<B: Quads, const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: as the caller vouches.
        unsafe { tile_blocks::<B, Self, R>(rows, panel, tile) }
    }
}

/// Unsigned bytes, of which 128 is zero, as signed ones.
#[inline(always)]
pub(super) fn signed(weights: uint8x16_t) -> int8x16_t {
    // SAFETY: every processor of this architecture has NEON.
    unsafe { vreinterpretq_s8_u8(veorq_u8(weights, vdupq_n_u8(0x80))) }
}

/// The largest of [`signed`] bytes, without its sign.
pub(super) const LARGEST_SIGNED: usize = 128;

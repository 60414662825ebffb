//! The kernel with NEON's products of bytes, for weights of a byte each.

use std::arch::aarch64::*;

use super::int8::{LINES, ROW_WORDS, STEP, WORDS, pack_rows};
use super::neon::{QUADS, write};
use super::neon_blocks::{begin, end};
use super::neon_dots::{Dot, LARGEST_SIGNED, signed};
use super::pack::Line;
use super::{Kernel, PANEL, Tile};

/// Weights of a byte each.
pub(super) struct NeonInt8<D>(pub(super) D);

impl<D: Dot> Kernel for NeonInt8<D> {
    const ROWS: usize = D::ROWS;
    const STEP: usize = STEP;
    const ROW_WORDS: usize = ROW_WORDS;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        pack_rows(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: the value of `D` exists, so the instructions were detected; whoever made the tile
        // vouches for its places.
        unsafe { D::tile_int8::<R>(rows, panel, tile) }
    }
}

/// Multiplies `R` packed rows with a panel, and writes the tile.
///
/// # Safety
/// The machine must have the instructions of `D`; the tile's places must be readable and writable, and
/// no other task may touch them.
#[inline(always)]
pub(super) unsafe fn tile_int8<D: Dot, const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    assert_eq!(rows.len() * LINES, panel.len() * R * ROW_WORDS);
    // SAFETY: the lengths fit; the rest is the caller's promise.
    unsafe {
        if const { R == 1 } {
            // Lines are read in the order in which they lie, which is all that takes time here.
            multiply::<D, R, QUADS>(rows, panel, tile, 0);
        } else if const { 4 * R <= 2 * D::ROWS } {
            for quad in (0..QUADS).step_by(4) {
                multiply::<D, R, 4>(rows, panel, tile, quad);
            }
        } else {
            for quad in (0..QUADS).step_by(2) {
                multiply::<D, R, 2>(rows, panel, tile, quad);
            }
        }
    }
}

/// The outputs of `Q` quads from `quad` on.
///
/// # Safety
/// As [`tile_int8`]; there must be as many steps of the `R` rows as of the panel, and `quad + Q` be at
/// most [`QUADS`].
#[inline(always)]
unsafe fn multiply<D: Dot, const R: usize, const Q: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
    quad: usize,
) {
    let together = D::words(LARGEST_SIGNED).min(4); // written out in the loop over them
    // SAFETY: every processor of this architecture has NEON.
    let mut sums = [[unsafe { vdupq_n_f32(0.0) }; Q]; R];
    for (rows, lines) in rows.chunks_exact(ROW_WORDS * R).zip(panel.chunks_exact(LINES)) {
        let (row, weights) = (rows.as_ptr(), lines.as_ptr().cast::<u32>());
        // SAFETY: a step of the rows has the words 0..WORDS and a scale, `R` of each; one of the
        // panel `PANEL` words for each word and as many scales.
        unsafe {
            let at = |word: usize, r: usize| *row.add(word * R + r);
            let weights = weights.add(quad * 4);
            let mut dots = [[vdupq_n_s32(0); Q]; R];
            let mut some = [[D::begin(dots[0][0]); Q]; R];
            for first in (0..WORDS).step_by(together) {
                begin::<D, R, Q>(&dots, &mut some);
                for word in first..first + together {
                    let weights = weights.add(word * PANEL).cast::<u8>();
                    let mut bytes = [vdupq_n_s8(0); Q];
                    for (q, bytes) in bytes.iter_mut().enumerate() {
                        *bytes = signed(vld1q_u8(weights.add(16 * q)));
                    }
                    for (r, some) in some.iter_mut().enumerate() {
                        for (some, bytes) in some.iter_mut().zip(bytes) {
                            *some = D::add(*some, bytes, at(word, r));
                        }
                    }
                }
                end::<D, R, Q>(&mut dots, &some);
            }
            let scales = weights.add(WORDS * PANEL).cast::<f32>();
            for q in 0..Q {
                let scales = vld1q_f32(scales.add(4 * q));
                for (r, (sums, dots)) in sums.iter_mut().zip(&dots).enumerate() {
                    let scale = vmulq_n_f32(scales, f32::from_bits(at(WORDS, r)));
                    sums[q] = vfmaq_f32(sums[q], vcvtq_f32_s32(dots[q]), scale);
                }
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, quad) }
}

//! Kernels with NEON's products of bytes, for weights in blocks.

mod formats;

use std::arch::aarch64::*;
use std::marker::PhantomData;

use super::blocks::{self, Blocks, ROW_BLOCK, part_words, row_words};
use super::neon::{QUADS, write};
use super::neon_dots::Dot;
use super::pack::Line;
use super::{Kernel, Tile};

/// Weights in the blocks of `B`.
pub(super) struct NeonBlocks<D, B>(PhantomData<(D, B)>);

impl<D: Dot, B> NeonBlocks<D, B> {
    /// Takes the way to multiply bytes, which is there only if the machine has the instructions.
    pub(super) const fn new(_dot: D) -> Self {
        Self(PhantomData)
    }
}

impl<D: Dot, B: Quads> Kernel for NeonBlocks<D, B> {
    const ROWS: usize = D::ROWS;
    const STEP: usize = B::STEP;
    const ROW_WORDS: usize = row_words::<B>();
    const LINES: usize = B::LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        blocks::pack_rows::<B, R>(rows, packed);
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        // SAFETY: there was a value of `D`, so the instructions were detected; whoever made the tile
        // vouches for its places.
        unsafe { D::tile_blocks::<B, R>(rows, panel, tile) }
    }
}

/// How a format's lines become vectors of 4 of the panel's outputs, quad by quad. Every function must
/// be `#[inline(always)]`.
pub(super) trait Quads: Blocks {
    /// The largest of what [`Quads::word`] gives, without its sign.
    const LARGEST: usize = Self::MOST as usize;
    /// Whether [`Quads::word`] gives signed numbers, so that the zero takes nothing away.
    const IS_SIGNED: bool = false;

    /// The quantities of word `WORD` of 32 inputs from line `part` on.
    ///
    /// # Safety
    /// `part` must point to the lines of 32 inputs, `WORD` be below 8 and `quad` below [`QUADS`].
    unsafe fn word<const WORD: usize>(part: *const Line, quad: usize) -> int8x16_t;
    /// The scales of block `block` of the stored block whose lines are at `step`.
    ///
    /// # Safety
    /// `step` must point to the lines of a stored block, and `quad` be below [`QUADS`].
    unsafe fn scales(step: *const Line, block: usize, quad: usize) -> float32x4_t;
    /// The minima of a block, as [`Quads::scales`].
    ///
    /// # Safety
    /// As [`Quads::scales`]; the format must have minima.
    #[inline(always)]
    unsafe fn mins(_step: *const Line, _block: usize, _quad: usize) -> float32x4_t {
        // SAFETY: every processor of this architecture has NEON.
        unsafe { vdupq_n_f32(0.0) }
    }
    /// The first line of 32 inputs in a stored block.
    #[inline(always)]
    fn part(part: usize) -> usize {
        part * (Self::LINES / (Self::STEP / ROW_BLOCK))
    }
}

/// Multiplies `R` packed rows with a panel, and writes the tile.
///
/// # Safety
/// The machine must have the instructions of `D`; the tile's places must be readable and writable, and
/// no other task may touch them.
#[inline(always)]
pub(super) unsafe fn tile_blocks<B: Quads, D: Dot, const R: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
) {
    assert_eq!(rows.len() * B::LINES, panel.len() * R * row_words::<B>());
    // SAFETY: the lengths fit; the rest is the caller's promise.
    unsafe {
        if const { R == 1 } {
            // Lines are read in the order in which they lie, which is all that takes time here.
            multiply::<B, D, R, QUADS>(rows, panel, tile, 0);
        } else if const { 4 * R <= 2 * D::ROWS } {
            for quad in (0..QUADS).step_by(4) {
                multiply::<B, D, R, 4>(rows, panel, tile, quad);
            }
        } else {
            for quad in (0..QUADS).step_by(2) {
                multiply::<B, D, R, 2>(rows, panel, tile, quad);
            }
        }
    }
}

/// The outputs of `Q` quads from `quad` on.
///
/// # Safety
/// As [`tile_blocks`]; there must be as many stored blocks in the `R` rows as in the panel, and
/// `quad + Q` be at most [`QUADS`].
#[inline(always)]
unsafe fn multiply<B: Quads, D: Dot, const R: usize, const Q: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
    quad: usize,
) {
    // SAFETY: every processor of this architecture has NEON.
    let mut sums = [[unsafe { vdupq_n_f32(0.0) }; Q]; R];
    let mut row = rows.as_ptr();
    for step in panel.chunks_exact(B::LINES) {
        for part in 0..B::STEP / ROW_BLOCK {
            let place = Place { row, step: step.as_ptr(), part, quad };
            // SAFETY: `row` is at this part of the packed rows, of which there are as many as of the
            // panel's, and which have this many words for each part; the lines are those of a stored
            // block.
            unsafe {
                add_block::<B, D, R, Q, 0>(&place, &mut sums);
                if const { 2 * B::BLOCK == ROW_BLOCK } {
                    add_block::<B, D, R, Q, 1>(&place, &mut sums);
                }
                row = row.add(part_words::<B>() * R);
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, quad) }
}

/// 32 inputs of a weight in the packed rows and in the panel.
struct Place {
    /// The packed words of 32 inputs: 0 to 7 have the quantities, 8 the scale, and 9 on, for each
    /// block, what is taken away for its zero. Each word is there for all rows of the tile.
    row: *const u32,
    /// The lines of a stored block.
    step: *const Line,
    /// Which 32 inputs of the stored block.
    part: usize,
    /// The first quad of outputs.
    quad: usize,
}

impl Place {
    /// Word `word` of row `r` of `R`.
    ///
    /// # Safety
    /// There must be `R` rows, and such a word.
    #[inline(always)]
    unsafe fn at<const R: usize>(&self, word: usize, r: usize) -> u32 {
        // SAFETY: as the caller vouches.
        unsafe { *self.row.add(word * R + r) }
    }
}

/// Adds the scaled products of block `BLOCK` of 32 inputs, and what its minima take away.
///
/// # Safety
/// The machine must have the instructions of `D`; `place` must be within `R` packed rows and a panel,
/// and its quad and those after it, `Q` in all, below [`QUADS`]; there must be such a block.
#[inline(always)]
unsafe fn add_block<B: Quads, D: Dot, const R: usize, const Q: usize, const BLOCK: usize>(
    place: &Place,
    sums: &mut [[float32x4_t; Q]; R],
) {
    let index = place.part * (ROW_BLOCK / B::BLOCK) + BLOCK;
    // SAFETY: as the caller vouches; a packed row has the words 0..9 and one for each block.
    unsafe {
        let dots = dots::<B, D, R, Q, BLOCK>(place);
        for q in 0..Q {
            let scales = B::scales(place.step, index, place.quad + q);
            for (r, (sums, dots)) in sums.iter_mut().zip(&dots).enumerate() {
                let scale = vmulq_n_f32(scales, f32::from_bits(place.at::<R>(8, r)));
                sums[q] = vfmaq_f32(sums[q], vcvtq_f32_s32(dots[q]), scale);
            }
            if B::HAS_MIN {
                let mins = B::mins(place.step, index, place.quad + q);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let taken_away = f32::from_bits(place.at::<R>(9 + BLOCK, r));
                    sums[q] = vfmaq_n_f32(sums[q], mins, taken_away);
                }
            }
        }
    }
}

/// The products of a block's quantities, less their zero where there are no minima.
///
/// # Safety
/// As [`add_block`].
#[inline(always)]
unsafe fn dots<B: Quads, D: Dot, const R: usize, const Q: usize, const BLOCK: usize>(
    place: &Place,
) -> [[int32x4_t; Q]; R] {
    let words = const { B::BLOCK / 4 };
    let together = D::words(B::LARGEST).min(words);
    // SAFETY: as the caller vouches.
    unsafe {
        let mut dots = [[vdupq_n_s32(0); Q]; R];
        if !B::HAS_MIN && !B::IS_SIGNED {
            for (r, dots) in dots.iter_mut().enumerate() {
                *dots = [vdupq_n_s32(place.at::<R>(9 + BLOCK, r).cast_signed()); Q];
            }
        }
        let mut some = [[D::begin(dots[0][0]); Q]; R];
        // Written out, so that a word's number is known where its quantities are taken apart.
        macro_rules! add_words {
            ($($word:literal)*) => {
                $(if const { $word / (B::BLOCK / 4) == BLOCK } {
                    if $word % together == 0 {
                        begin::<D, R, Q>(&dots, &mut some);
                    }
                    add_word::<B, D, R, Q, $word>(place, &mut some);
                    if ($word + 1) % together == 0 {
                        end::<D, R, Q>(&mut dots, &some);
                    }
                })*
            };
        }
        add_words!(0 1 2 3 4 5 6 7);
        dots
    }
}

/// Begins sums that are to be added to dot products. In loops, for the arrays' own `map` is not
/// always inlined.
#[inline(always)]
pub(super) fn begin<D: Dot, const R: usize, const Q: usize>(
    dots: &[[int32x4_t; Q]; R],
    some: &mut [[D::Sums; Q]; R],
) {
    for (dots, some) in dots.iter().zip(some) {
        for (dot, some) in dots.iter().zip(some) {
            *some = D::begin(*dot);
        }
    }
}

/// Adds to dot products the sums that [`begin`] began with them.
#[inline(always)]
pub(super) fn end<D: Dot, const R: usize, const Q: usize>(
    dots: &mut [[int32x4_t; Q]; R],
    some: &[[D::Sums; Q]; R],
) {
    for (dots, some) in dots.iter_mut().zip(some) {
        for (dot, some) in dots.iter_mut().zip(some) {
            *dot = D::end(*dot, *some);
        }
    }
}

/// Adds the products of word `WORD` of 32 inputs.
///
/// # Safety
/// As [`add_block`]; `WORD` must be below 8.
#[inline(always)]
unsafe fn add_word<B: Quads, D: Dot, const R: usize, const Q: usize, const WORD: usize>(
    place: &Place,
    some: &mut [[D::Sums; Q]; R],
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let lines = place.step.add(B::part(place.part));
        let mut weights = [vdupq_n_s8(0); Q];
        for (q, weights) in weights.iter_mut().enumerate() {
            *weights = B::word::<WORD>(lines, place.quad + q);
        }
        for (r, some) in some.iter_mut().enumerate() {
            for (some, weights) in some.iter_mut().zip(weights) {
                *some = D::add(*some, weights, place.at::<R>(WORD, r));
            }
        }
    }
}

//! Kernels with AVX-512's dot products of bytes, for weights in blocks.

mod formats;

use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::sync::atomic::{Ordering, compiler_fence};

use super::avx512::write;
use super::avx512_pack::pack_blocks;
use super::blocks::{Blocks, ROW_BLOCK, part_words, row_words};
use super::gemm;
use super::pack::Line;
use super::product::Product;
use super::{Kernel, Tile};
use crate::prefetch::{FIRST, ask_for};

/// The most rows whose sums and dot products of a whole panel fit in the registers.
const ROWS_OF_BOTH: usize = 6;
/// The most rows whose sums of a whole panel fit beside the dot products of one half.
const ROWS_OF_STEP: usize = 8;
/// The most rows that fit when one half of a panel's outputs is multiplied after the other.
const ROWS_OF_HALF: usize = 12;

/// Weights in the blocks of `B`, in tiles of up to `MOST` rows. Made only where the instructions
/// were detected.
struct Avx512Blocks<B, const MOST: usize>(PhantomData<B>);

/// Multiplies with weights in the blocks of `B`.
///
/// A tile of more rows than [`ROWS_OF_STEP`] reads a panel twice, which few rows would wait for.
///
/// # Safety
/// The machine must have the instructions that [`super::avx512::detected`] looks for.
pub(super) unsafe fn multiply<B: Vectors>(product: Product<'_>) {
    // SAFETY: the caller's promise.
    unsafe {
        if product.rows() > ROWS_OF_HALF {
            gemm::multiply(&Avx512Blocks::<B, ROWS_OF_HALF>::new(), product);
        } else {
            gemm::multiply(&Avx512Blocks::<B, ROWS_OF_STEP>::new(), product);
        }
    }
}

impl<B, const MOST: usize> Avx512Blocks<B, MOST> {
    /// # Safety
    /// The machine must have the instructions that [`super::avx512::detected`] looks for.
    const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B: Vectors, const MOST: usize> Kernel for Avx512Blocks<B, MOST> {
    const ROWS: usize = MOST;
    const STEP: usize = B::STEP;
    const ROW_WORDS: usize = row_words::<B>();
    const LINES: usize = B::LINES;
    // One row with fewer bits is read slower in long blocks, by a tenth and more.
    const BLOCK_STEPS: usize = match B::MOST {
        u8::MAX => gemm::LONG_BLOCK / Self::STEP,
        _ => gemm::block_steps(Self::LINES, Self::ROW_WORDS),
    };

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack_blocks::<B, R>(rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * Self::LINES, panel.len() * R * Self::ROW_WORDS);
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
        // whoever made the tile vouches for its places.
        unsafe { tile_blocks::<B, R>(rows, panel, tile) }
    }
}

/// How a format's lines become vectors, of outputs 0..16 (`half` 0) or 16..32 (1). Every function
/// wants the instructions.
pub(super) trait Vectors: Blocks {
    /// The quantities of word `word` of 32 inputs from line `part` on.
    ///
    /// # Safety
    /// `part` must point to the lines of 32 inputs; `half` be 0 or 1.
    unsafe fn word(part: *const Line, word: usize, half: usize) -> __m512i;
    /// The scales of block `block` of the stored block whose lines are at `step`.
    ///
    /// # Safety
    /// `step` must point to the lines of a stored block; `half` be 0 or 1.
    unsafe fn scales(step: *const Line, block: usize, half: usize) -> __m512;
    /// The minima of a block, as [`Vectors::scales`].
    ///
    /// # Safety
    /// As [`Vectors::scales`]; the format must have minima.
    unsafe fn mins(_step: *const Line, _block: usize, _half: usize) -> __m512 {
        // SAFETY: all zeros are a vector.
        unsafe { std::mem::zeroed() }
    }
    /// The first line of 32 inputs in a stored block.
    fn part(part: usize) -> usize {
        part * (Self::LINES / (Self::STEP / ROW_BLOCK))
    }
}

/// # Safety
/// There must be as many stored blocks in the `R` rows as in the panel; the tile's places must be
/// readable and writable, and no other task may touch them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile_blocks<B: Vectors, const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    // SAFETY: as the caller vouches.
    unsafe {
        if const { R <= ROWS_OF_STEP } {
            write(&sums_of::<B, R, 2>(rows, panel, 0), tile);
        } else {
            let left = sums_of::<B, R, 1>(rows, panel, 0);
            let right = sums_of::<B, R, 1>(rows, panel, 1);
            write::<R>(&std::array::from_fn(|r| [left[r][0], right[r][0]]), tile);
        }
    }
}

/// The products of `R` rows with `H` halves of a panel's outputs, from half `first` on.
///
/// # Safety
/// There must be as many stored blocks in the `R` rows as in the panel; `first + H` be at most 2.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sums_of<B: Vectors, const R: usize, const H: usize>(
    rows: &[u32],
    panel: &[Line],
    first: usize,
) -> [[__m512; H]; R] {
    let mut sums = [[_mm512_setzero_ps(); H]; R];
    let mut row = rows.as_ptr();
    for step in panel.chunks_exact(B::LINES) {
        // SAFETY: `row` is at this step of the packed rows, of which there are as many as of the
        // panel's; the lines are those of a stored block.
        unsafe {
            if const { R <= ROWS_OF_BOTH || H == 1 } {
                multiply_step::<B, R, H, H>(row, step, first, &mut sums);
            } else {
                multiply_step::<B, R, H, 1>(row, step, 0, &mut sums);
                // Both halves at a time, as the compiler likes it, would not fit.
                compiler_fence(Ordering::SeqCst);
                multiply_step::<B, R, H, 1>(row, step, 1, &mut sums);
            }
            row = row.add(row_words::<B>() * R);
        }
    }
    sums
}

/// Adds the products of a stored block with `D` halves of the outputs, from half `first` on, to
/// their sums among those of `H` halves.
///
/// # Safety
/// `row` must point to the packed words of the stored block's inputs of `R` rows, `step` be its
/// lines; `first + D` be at most 2.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn multiply_step<B: Vectors, const R: usize, const H: usize, const D: usize>(
    mut row: *const u32,
    step: &[Line],
    first: usize,
    sums: &mut [[__m512; H]; R],
) {
    let parts = B::STEP / ROW_BLOCK;
    for part in 0..parts {
        if const { R <= ROWS_OF_STEP && (R > 1 || B::MOST < u8::MAX) } {
            let end = if part + 1 < parts { B::part(part + 1) } else { B::LINES };
            let lines = &step[B::part(part)..end];
            // Half of them by each of two passes, lest one wait for memory that the other leaves idle.
            let (left, right) = lines.split_at(lines.len() / 2);
            ask_ahead(match (D == H, first) {
                (true, _) => lines,
                (false, 0) => left,
                (false, _) => right,
            });
        }
        for block in 0..ROW_BLOCK / B::BLOCK {
            // SAFETY: as the caller vouches.
            unsafe { multiply_block::<B, R, H, D>(row, step, first, (part, block), sums) }
        }
        // SAFETY: the rows have this many words for each part.
        row = unsafe { row.add(part_words::<B>() * R) };
    }
}

/// Asks for the lines that come 10 KiB after these: where there is much to do with each, the processor's
/// own reading ahead stops in between. With one row, bytes come one after the other too fast for asking
/// to help.
#[inline(always)]
pub(super) fn ask_ahead(lines: &[Line]) {
    const AHEAD: usize = 160;
    for line in lines {
        ask_for::<FIRST, _>(std::ptr::from_ref(line).wrapping_add(AHEAD));
    }
}

/// Adds the products of one block of the weight, as [`multiply_step`] does those of a stored one.
///
/// # Safety
/// `row` must point to the packed words of 32 inputs of `R` rows, `step` be the lines of a stored
/// block, part and block within it; `first + D` be at most 2.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn multiply_block<B: Vectors, const R: usize, const H: usize, const D: usize>(
    row: *const u32,
    step: &[Line],
    first: usize,
    (part, block): (usize, usize),
    sums: &mut [[__m512; H]; R],
) {
    let words = B::BLOCK / 4;
    // SAFETY: as the caller vouches; a packed row has the words 0..9 and one for each block.
    unsafe {
        let at = |word: usize, r: usize| *row.add(word * R + r);
        let mut dots = [[_mm512_setzero_si512(); D]; R];
        let to = if D == H { 0 } else { first };
        if !B::HAS_MIN {
            for (r, dots) in dots.iter_mut().enumerate() {
                *dots = [_mm512_set1_epi32(at(9 + block, r).cast_signed()); D];
            }
        }
        let lines = step.as_ptr().add(B::part(part));
        for word in block * words..(block + 1) * words {
            let weights: [_; D] = std::array::from_fn(|half| B::word(lines, word, first + half));
            for (r, dots) in dots.iter_mut().enumerate() {
                let row = _mm512_set1_epi32(at(word, r).cast_signed());
                for half in 0..D {
                    dots[half] = _mm512_dpbusd_epi32(dots[half], weights[half], row);
                }
            }
        }
        let index = part * (ROW_BLOCK / B::BLOCK) + block;
        for half in 0..D {
            let scales = B::scales(step.as_ptr(), index, first + half);
            for (r, (sums, dots)) in sums.iter_mut().zip(&dots).enumerate() {
                let scale = _mm512_mul_ps(scales, _mm512_set1_ps(f32::from_bits(at(8, r))));
                let sum = &mut sums[to + half];
                *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[half]), scale, *sum);
            }
        }
        if B::HAS_MIN {
            for half in 0..D {
                let mins = B::mins(step.as_ptr(), index, first + half);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let row = _mm512_set1_ps(f32::from_bits(at(9 + block, r)));
                    let sum = &mut sums[to + half];
                    *sum = _mm512_fmadd_ps(mins, row, *sum);
                }
            }
        }
    }
}

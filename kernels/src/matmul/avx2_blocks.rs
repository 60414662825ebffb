//! Kernels with AVX2's products of bytes, for weights in blocks.

mod dots;
mod formats;

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::blocks::{self, Blocks, ROW_BLOCK, part_words, row_words};
use super::pack::Line;
use super::{Kernel, PANEL, Tile, avx2::write};
use dots::unsigned_dots;
pub(super) use dots::{dot_signed, signed};
use formats::halves;

/// Outputs that a vector holds.
const LANES: usize = 8;
/// Vectors of a panel's outputs.
const OCTETS: usize = PANEL / LANES;

/// Weights in the blocks of `B`. Made only where the instructions were detected.
pub(super) struct Avx2Blocks<B>(PhantomData<B>);

impl<B> Avx2Blocks<B> {
    /// # Safety
    /// The machine must have the instructions that [`super::avx2::detected`] looks for.
    pub(super) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B: Octets> Kernel for Avx2Blocks<B> {
    const ROWS: usize = 4;
    const STEP: usize = B::STEP;
    const ROW_WORDS: usize = row_words::<B>();
    const LINES: usize = B::LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack_rows::<B, R>(rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * Self::LINES, panel.len() * R * Self::ROW_WORDS);
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
        // whoever made the tile vouches for its places.
        unsafe { tile_blocks::<B, R>(rows, panel, tile) }
    }
}

/// A block of a weight's inputs in the packed rows and in the panel.
#[derive(Clone, Copy)]
struct Place {
    /// The packed words of 32 inputs: 0 to 7 have the quantities, 8 the scale, and 9 on, for each
    /// block, what is taken away for its zero. Each word is there for all rows of the tile.
    row: *const u32,
    /// The lines of a stored block.
    step: *const Line,
    /// Which 32 inputs of the stored block.
    part: usize,
    /// Which block of these.
    block: usize,
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

    /// The same as a vector of whole numbers.
    ///
    /// # Safety
    /// As [`Place::at`].
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn all<const R: usize>(&self, word: usize, r: usize) -> __m256i {
        // SAFETY: as the caller vouches.
        unsafe { _mm256_set1_epi32(self.at::<R>(word, r).cast_signed()) }
    }
}

/// How a format's lines become vectors of 8 of the panel's outputs, octet by octet. Every function
/// wants the instructions.
trait Octets: Blocks {
    /// The quantities of word `word` of 32 inputs from line `part` on.
    ///
    /// # Safety
    /// `part` must point to the lines of 32 inputs.
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i;
    /// What all products of the stored block whose lines are at `step` are scaled by.
    ///
    /// # Safety
    /// `step` must point to the lines of a stored block.
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn factors(step: *const Line, octet: usize) -> __m256 {
        const { assert!(!Self::HAS_MIN, "where there are minima, scales are not the last line") };
        // SAFETY: without minima they are the last line.
        unsafe { halves(step.add(Self::LINES - 1), octet) }
    }
    /// What those of its block `block` are scaled by besides, where it has several.
    ///
    /// # Safety
    /// As [`Octets::factors`].
    unsafe fn scales(_step: *const Line, _block: usize, _octet: usize) -> __m256 {
        // SAFETY: all zeros are a vector.
        unsafe { std::mem::zeroed() }
    }
    /// As [`Octets::factors`], for the minima.
    ///
    /// # Safety
    /// As [`Octets::factors`]; the format must have minima.
    unsafe fn min_factors(_step: *const Line, _octet: usize) -> __m256 {
        // SAFETY: all zeros are a vector.
        unsafe { std::mem::zeroed() }
    }
    /// The minima of a block, before their factors, where the stored block has several.
    ///
    /// # Safety
    /// As [`Octets::min_factors`].
    unsafe fn mins(_step: *const Line, _block: usize, _octet: usize) -> __m256 {
        // SAFETY: all zeros are a vector.
        unsafe { std::mem::zeroed() }
    }
    /// The products of a block's quantities, less their zero where there are no minima, of `O` octets
    /// from `octet` on.
    ///
    /// # Safety
    /// `place` must be within `R` packed rows and a panel, and the octets within [`OCTETS`].
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn dots<const R: usize, const O: usize>(
        place: &Place,
        octet: usize,
    ) -> [[__m256i; O]; R] {
        // SAFETY: as the caller vouches.
        unsafe { unsigned_dots::<Self, R, O>(place, octet) }
    }
    /// The first line of 32 inputs in a stored block.
    fn part(part: usize) -> usize {
        part * (Self::LINES / (Self::STEP / ROW_BLOCK))
    }
}

#[target_feature(enable = "avx2,fma")]
fn pack_rows<B: Blocks, const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    blocks::pack_rows::<B, R>(rows, packed);
}

/// # Safety
/// There must be as many stored blocks in the `R` rows as in the panel; the tile's places must be
/// readable and writable, and no other task may touch them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile_blocks<B: Octets, const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    let mut sums = [[_mm256_setzero_ps(); OCTETS]; R];
    let mut row = rows.as_ptr();
    for step in panel.chunks_exact(B::LINES) {
        // SAFETY: `row` is at this stored block's inputs in the packed rows, of which there are as many
        // as of the panel's, and which have this many words for each 32 inputs; there are so many octets.
        unsafe {
            if R == 1 {
                // Lines are read in the order in which they lie, which is all that takes time here.
                multiply_step::<B, R, OCTETS>(row, step.as_ptr(), 0, &mut sums);
            } else {
                // Written out, so that the sums stay in registers.
                multiply_step::<B, R, 1>(row, step.as_ptr(), 0, &mut sums);
                multiply_step::<B, R, 1>(row, step.as_ptr(), 1, &mut sums);
                multiply_step::<B, R, 1>(row, step.as_ptr(), 2, &mut sums);
                multiply_step::<B, R, 1>(row, step.as_ptr(), 3, &mut sums);
            }
            row = row.add(row_words::<B>() * R);
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, 0) }
}

/// Adds the products of a stored block of the weight with the outputs of `O` octets from `octet` on.
///
/// # Safety
/// `row` must point to the packed words of its inputs of `R` rows, `step` to its lines, and `octet + O`
/// be at most [`OCTETS`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_step<B: Octets, const R: usize, const O: usize>(
    row: *const u32,
    step: *const Line,
    octet: usize,
    sums: &mut [[__m256; OCTETS]; R],
) {
    if const { B::STEP == B::BLOCK } {
        // SAFETY: as the caller vouches.
        return unsafe { add_only_block::<B, R, O>(row, step, octet, sums) };
    }
    let mut products = [[_mm256_setzero_ps(); O]; R];
    let mut minima = products;
    for part in 0..B::STEP / ROW_BLOCK {
        for block in 0..ROW_BLOCK / B::BLOCK {
            // SAFETY: as the caller vouches; the rows have this many words for each part.
            unsafe {
                let row = row.add(part * part_words::<B>() * R);
                let place = Place { row, step, part, block };
                add_block::<B, R, O>(&place, octet, &mut products, &mut minima);
            }
        }
    }
    for o in 0..O {
        // SAFETY: as the caller vouches.
        let (factors, min_factors) =
            unsafe { (B::factors(step, octet + o), min_factors::<B>(step, octet + o)) };
        for (r, sums) in sums.iter_mut().enumerate() {
            let sum = &mut sums[octet + o];
            *sum = _mm256_fmadd_ps(products[r][o], factors, *sum);
            if B::HAS_MIN {
                *sum = _mm256_fmadd_ps(minima[r][o], min_factors, *sum);
            }
        }
    }
}

/// The factors of the minima, or zeros where there are no minima.
///
/// # Safety
/// As [`Octets::factors`].
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn min_factors<B: Octets>(step: *const Line, octet: usize) -> __m256 {
    match B::HAS_MIN {
        // SAFETY: as the caller vouches; there are minima.
        true => unsafe { B::min_factors(step, octet) },
        false => _mm256_setzero_ps(),
    }
}

/// [`multiply_step`] where a stored block is one block.
///
/// # Safety
/// As [`multiply_step`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_only_block<B: Octets, const R: usize, const O: usize>(
    row: *const u32,
    step: *const Line,
    octet: usize,
    sums: &mut [[__m256; OCTETS]; R],
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let place = Place { row, step, part: 0, block: 0 };
        let dots = B::dots::<R, O>(&place, octet);
        for o in 0..O {
            let factors = B::factors(step, octet + o);
            let min_factors = min_factors::<B>(step, octet + o);
            for (r, sums) in sums.iter_mut().enumerate() {
                let scale = _mm256_set1_ps(f32::from_bits(place.at::<R>(8, r)));
                let (sum, scale) = (&mut sums[octet + o], _mm256_mul_ps(factors, scale));
                *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r][o]), scale, *sum);
                if B::HAS_MIN {
                    let taken_away = _mm256_set1_ps(f32::from_bits(place.at::<R>(9, r)));
                    *sum = _mm256_fmadd_ps(min_factors, taken_away, *sum);
                }
            }
        }
    }
}

/// Adds the scaled products of one block, and what its minima take away.
///
/// # Safety
/// As [`Octets::dots`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add_block<B: Octets, const R: usize, const O: usize>(
    place: &Place,
    octet: usize,
    products: &mut [[__m256; O]; R],
    minima: &mut [[__m256; O]; R],
) {
    let index = place.part * (ROW_BLOCK / B::BLOCK) + place.block;
    // SAFETY: as the caller vouches.
    unsafe {
        let dots = B::dots::<R, O>(place, octet);
        for o in 0..O {
            let scales = B::scales(place.step, index, octet + o);
            let mins = match B::HAS_MIN {
                true => B::mins(place.step, index, octet + o),
                false => _mm256_setzero_ps(),
            };
            for r in 0..R {
                let dot = _mm256_cvtepi32_ps(dots[r][o]);
                let scale = _mm256_set1_ps(f32::from_bits(place.at::<R>(8, r)));
                let scale = _mm256_mul_ps(scales, scale);
                products[r][o] = _mm256_fmadd_ps(dot, scale, products[r][o]);
                if B::HAS_MIN {
                    let taken_away = f32::from_bits(place.at::<R>(9 + place.block, r));
                    minima[r][o] = _mm256_fmadd_ps(mins, _mm256_set1_ps(taken_away), minima[r][o]);
                }
            }
        }
    }
}

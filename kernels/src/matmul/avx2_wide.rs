//! Weights of a byte or fewer bits as numbers of 16 bits, a block of a panel at a time, for products
//! of many rows.
//!
//! AVX2 multiplies bytes into 16 bits, which bytes of full range do not fit: their products take four
//! instructions for 32 of them. Numbers of 16 bits take two for 16, and no care. Where many rows meet
//! a block, its quantities are first widened, their zero taken away; what is computed is the same.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::avx2::write;
use super::avx2_blocks::{LANES, OCTETS, Octets};
use super::blocks::{ROW_BLOCK, round};
use super::int8::{self, Int8};
use super::pack::Line;
use super::{Kernel, PANEL, Tile};

/// Fewer rows are multiplied with the bytes as they are, and what is decoded together does not depend
/// on how many sequences there are.
pub(super) const LEAST_ROWS: usize = 64;

/// Lines of a panel's outputs, a number of 32 bits each.
const WORD_LINES: usize = PANEL / 16;
/// The most inputs that share a scale in a row.
const LARGEST_PART: usize = int8::STEP;

/// A form of weights whose quantities fit 16 bits. Every function of weights wants the instructions.
pub(super) trait Wide: Send + Sync {
    /// Inputs of one stored block, and the lines that hold it of each of a panel's outputs.
    const STEP: usize;
    /// See [`Wide::STEP`].
    const LINES: usize;
    /// Inputs that share a scale in a row.
    const PART: usize;
    /// Inputs that share a scale in the weight.
    const BLOCK: usize;
    /// Whether the weight has minima.
    const HAS_MIN: bool;

    /// Rounds up to [`Wide::PART`] values of a row to bytes; gives what a byte of 1 stands for.
    fn round(values: &[f32], bytes: &mut [i8]) -> f32;
    /// Four quantities of each of 8 outputs, unsigned bytes, and the number that stands for zero.
    ///
    /// # Safety
    /// `step` must point to the lines of a stored block, and `word` be one of part `part` of it.
    unsafe fn word(step: *const Line, part: usize, word: usize, octet: usize) -> (__m256i, i16);
    /// The scales and minima of block `block` of the stored block.
    ///
    /// # Safety
    /// `step` must point to the lines of a stored block.
    unsafe fn ends(step: *const Line, block: usize, octet: usize) -> (__m256, __m256);
}

impl<B: Octets> Wide for B {
    const STEP: usize = B::STEP;
    const LINES: usize = B::LINES;
    const PART: usize = ROW_BLOCK;
    const BLOCK: usize = B::BLOCK;
    const HAS_MIN: bool = B::HAS_MIN;

    #[inline(always)]
    fn round(values: &[f32], bytes: &mut [i8]) -> f32 {
        round_to::<ROW_BLOCK>(values, bytes)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn word(step: *const Line, part: usize, word: usize, octet: usize) -> (__m256i, i16) {
        // SAFETY: the caller's promise.
        (unsafe { B::word(step.add(B::part(part)), word, octet) }, i16::from(B::ZERO))
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn ends(step: *const Line, block: usize, octet: usize) -> (__m256, __m256) {
        // SAFETY: the caller's promise.
        unsafe { (B::scales(step, block, octet), B::mins(step, block, octet)) }
    }
}

impl Wide for Int8 {
    const STEP: usize = int8::STEP;
    const LINES: usize = int8::LINES;
    const PART: usize = int8::STEP;
    const BLOCK: usize = int8::STEP;
    const HAS_MIN: bool = false;

    #[inline(always)]
    fn round(values: &[f32], bytes: &mut [i8]) -> f32 {
        round_to::<{ int8::STEP }>(values, bytes)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn word(step: *const Line, _part: usize, word: usize, octet: usize) -> (__m256i, i16) {
        // SAFETY: a step has two lines for each word.
        let bytes = unsafe { _mm256_load_si256(step.add(2 * word).cast::<__m256i>().add(octet)) };
        (bytes, i16::from(int8::ZERO))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn ends(step: *const Line, _block: usize, octet: usize) -> (__m256, __m256) {
        // SAFETY: the scales are a step's last two lines.
        let scales = unsafe { step.add(2 * int8::WORDS).cast::<f32>().add(octet * LANES) };
        // SAFETY: as above.
        (unsafe { _mm256_load_ps(scales) }, _mm256_setzero_ps())
    }
}

/// Rounds up to `N` values, with zeros behind them.
#[inline(always)]
fn round_to<const N: usize>(values: &[f32], bytes: &mut [i8]) -> f32 {
    let (rounded, scale) = match values.first_chunk::<N>() {
        Some(values) => round(values),
        None => {
            let mut padded = [0.0; N];
            padded[..values.len()].copy_from_slice(values);
            round(&padded)
        }
    };
    bytes.copy_from_slice(&rounded);
    scale
}

/// Words of a packed row for each part: pairs of numbers, the scale, and for each of the weight's
/// blocks what its minimum takes away.
const fn part_words<W: Wide>() -> usize {
    W::PART / 2 + 1 + if W::HAS_MIN { W::PART / W::BLOCK } else { 0 }
}

/// Lines of a widened part: pairs of numbers, then for each block its scales and its minima.
const fn part_lines<W: Wide>() -> usize {
    WORD_LINES * (W::PART / 2 + W::PART / W::BLOCK * ends_of::<W>())
}

/// Words that a block has beside its quantities: a scale, and a minimum.
const fn ends_of<W: Wide>() -> usize {
    1 + W::HAS_MIN as usize
}

/// Weights of the form `W`. Made only where the instructions were detected.
pub(super) struct Avx2Wide<W>(PhantomData<W>);

impl<W> Avx2Wide<W> {
    /// # Safety
    /// The machine must have the instructions that [`super::avx2::detected`] looks for.
    pub(super) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl<W: Wide> Kernel for Avx2Wide<W> {
    const ROWS: usize = 6;
    const STEP: usize = W::STEP;
    const ROW_WORDS: usize = W::STEP / W::PART * part_words::<W>();
    const LINES: usize = W::LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack_rows::<W, R>(rows, packed) }
    }

    fn widen<'a>(&self, lines: &'a [Line], wide: &'a mut Vec<Line>) -> &'a [Line] {
        let step_lines = W::STEP / W::PART * part_lines::<W>();
        let count = lines.len() / W::LINES * step_lines;
        wide.resize(wide.len().max(count), Line([0; 16]));
        let wide = &mut wide[..count];
        for (step, wide) in lines.chunks_exact(W::LINES).zip(wide.chunks_exact_mut(step_lines)) {
            // SAFETY: the value exists, so the instructions were detected; the lines are a step's.
            unsafe { widen_step::<W>(step, wide) }
        }
        wide
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * part_lines::<W>(), panel.len() * R * part_words::<W>());
        for half in 0..2 {
            // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
            // whoever made the tile vouches for its places.
            unsafe { multiply::<W, R>(rows, panel, tile, half) }
        }
    }
}

/// Packs rows: of every four bytes the first and the third in one word, the others in the next, as
/// [`widen_step`] parts the weights' bytes.
#[target_feature(enable = "avx2,fma")]
fn pack_rows<W: Wide, const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    let pair = |first: i8, second: i8| {
        let word = |number: i8| u32::from(i16::from(number).cast_unsigned());
        word(first) | word(second) << 16
    };
    for (r, row) in rows.into_iter().enumerate() {
        let parts = packed.chunks_exact_mut(part_words::<W>() * R);
        for (values, packed) in row.chunks(W::PART).zip(parts) {
            let bytes = &mut [0; LARGEST_PART][..W::PART];
            let scale = W::round(values, bytes);
            for (bytes, packed) in
                bytes.as_chunks::<4>().0.iter().zip(packed.chunks_exact_mut(2 * R))
            {
                packed[r] = pair(bytes[0], bytes[2]);
                packed[R + r] = pair(bytes[1], bytes[3]);
            }
            let ends = &mut packed[W::PART / 2 * R..];
            ends[r] = scale.to_bits();
            if W::HAS_MIN {
                for (block, bytes) in bytes.chunks_exact(W::BLOCK).enumerate() {
                    let sum: i32 = bytes.iter().map(|&byte| i32::from(byte)).sum();
                    ends[(1 + block) * R + r] = (-scale * sum as f32).to_bits();
                }
            }
        }
    }
}

/// Widens a stored block.
///
/// # Safety
/// The machine must have the instructions; `step` must be the lines of a stored block, and `wide` as
/// many as its parts take.
#[target_feature(enable = "avx2,f16c")]
unsafe fn widen_step<W: Wide>(step: &[Line], wide: &mut [Line]) {
    let low = _mm256_set1_epi16(0xff);
    let blocks = W::PART / W::BLOCK;
    for (part, wide) in wide.chunks_exact_mut(part_lines::<W>()).enumerate() {
        let wide = wide.as_mut_ptr().cast::<__m256i>();
        for octet in 0..OCTETS {
            for word in 0..W::PART / 4 {
                // SAFETY: the word is one of the part, whose lines hold two for each.
                unsafe {
                    let (bytes, zero) = W::word(step.as_ptr(), part, word, octet);
                    let zero = _mm256_set1_epi16(zero);
                    let even = _mm256_sub_epi16(_mm256_and_si256(bytes, low), zero);
                    let odd = _mm256_sub_epi16(_mm256_srli_epi16::<8>(bytes), zero);
                    wide.add(2 * word * OCTETS + octet).write(even);
                    wide.add((2 * word + 1) * OCTETS + octet).write(odd);
                }
            }
            for block in 0..blocks {
                // SAFETY: the block is one of the stored block; the part's last lines hold its ends.
                unsafe {
                    let (scales, mins) = W::ends(step.as_ptr(), part * blocks + block, octet);
                    let ends = wide.add((W::PART / 2 + block * ends_of::<W>()) * OCTETS + octet);
                    ends.write(_mm256_castps_si256(scales));
                    if W::HAS_MIN {
                        ends.add(OCTETS).write(_mm256_castps_si256(mins));
                    }
                }
            }
        }
    }
}

/// Half a tile: 16 of its outputs.
///
/// # Safety
/// There must be as many parts of the `R` rows as of the panel, and `half` must be 0 or 1; the tile's
/// places must be readable and writable, and no other task may touch them.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply<W: Wide, const R: usize>(
    rows: &[u32],
    panel: &[Line],
    tile: &Tile,
    half: usize,
) {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    let rows = rows.chunks_exact(part_words::<W>() * R);
    for (row, part) in rows.zip(panel.chunks_exact(part_lines::<W>())) {
        let (row, part) = (row.as_ptr(), part.as_ptr().cast::<__m256i>());
        for block in 0..W::PART / W::BLOCK {
            let words = W::BLOCK / 2;
            // SAFETY: the block is one of the part's, and so are its words; a row has its scale behind
            // its words, and then a word for each block where there are minima.
            unsafe {
                let weights = part.add(block * words * OCTETS + 2 * half);
                let dots = dots::<R>(row.add(block * words * R), weights, words);
                let ends = part.add((W::PART / 2 + block * ends_of::<W>()) * OCTETS + 2 * half);
                let end = |at: usize| _mm256_load_ps(ends.add(at).cast());
                let row_end = |word: usize, r: usize| {
                    _mm256_set1_ps(f32::from_bits(*row.add((W::PART / 2 + word) * R + r)))
                };
                for (r, (sums, dots)) in sums.iter_mut().zip(dots).enumerate() {
                    for octet in 0..2 {
                        if W::HAS_MIN {
                            let min = end(OCTETS + octet);
                            sums[octet] = _mm256_fmadd_ps(min, row_end(1 + block, r), sums[octet]);
                        }
                        let scale = _mm256_mul_ps(end(octet), row_end(0, r));
                        let dots = _mm256_cvtepi32_ps(dots[octet]);
                        sums[octet] = _mm256_fmadd_ps(dots, scale, sums[octet]);
                    }
                }
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile, half * 2 * LANES) }
}

/// Sums of the products of `words` pairs of numbers, of `R` rows and 16 outputs.
///
/// # Safety
/// `rows` must point to so many words of `R` rows, and `weights` to the first of the two vectors in
/// each of as many words of a panel.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn dots<const R: usize>(
    rows: *const u32,
    weights: *const __m256i,
    words: usize,
) -> [[__m256i; 2]; R] {
    let mut dots = [[_mm256_setzero_si256(); 2]; R];
    for word in 0..words {
        // SAFETY: as the caller vouches; lines are aligned.
        unsafe {
            let weights = weights.add(word * OCTETS);
            let weights = [_mm256_load_si256(weights), _mm256_load_si256(weights.add(1))];
            for (r, dots) in dots.iter_mut().enumerate() {
                let row = _mm256_set1_epi32((*rows.add(word * R + r)).cast_signed());
                dots[0] = _mm256_add_epi32(dots[0], _mm256_madd_epi16(weights[0], row));
                dots[1] = _mm256_add_epi32(dots[1], _mm256_madd_epi16(weights[1], row));
            }
        }
    }
    dots
}

//! Kernels with AVX-512's dot products of bytes, for weights in blocks.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::avx512::write;
use super::blocks::{
    self, Blocks, Q4_0, Q4K, Q4K_PART, Q5_0, Q5_0_HIGH, Q6K, Q6K_PART, Q8_0, ROW_BLOCK, part_words,
    row_words,
};
use super::pack::Line;
use super::{Kernel, Tile};

/// Weights in the blocks of `B`. Made only where the instructions were detected.
pub(super) struct Avx512Blocks<B>(PhantomData<B>);

impl<B> Avx512Blocks<B> {
    /// # Safety
    /// The machine must have the instructions that [`super::avx512::detected`] looks for.
    pub(super) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B: Vectors> Kernel for Avx512Blocks<B> {
    const ROWS: usize = 6;
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

/// How a format's lines become vectors. Every function wants the instructions.
pub(super) trait Vectors: Blocks {
    /// The quantities of word `word` of 32 inputs from line `part` on: of outputs 0..16, 16..32.
    ///
    /// # Safety
    /// `part` must point to the lines of 32 inputs.
    unsafe fn word(part: *const Line, word: usize) -> [__m512i; 2];
    /// The scales of block `block` of the stored block whose lines are at `step`.
    ///
    /// # Safety
    /// `step` must point to the lines of a stored block.
    unsafe fn scales(step: *const Line, block: usize) -> [__m512; 2];
    /// The minima of a block, as [`Vectors::scales`].
    ///
    /// # Safety
    /// As [`Vectors::scales`].
    unsafe fn mins(_step: *const Line, _block: usize) -> [__m512; 2] {
        // SAFETY: all zeros are a vector.
        unsafe { std::mem::zeroed() }
    }
    /// The first line of 32 inputs in a stored block.
    fn part(part: usize) -> usize {
        part * (Self::LINES / (Self::STEP / ROW_BLOCK))
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn pack_rows<B: Blocks, const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    blocks::pack_rows::<B, R>(rows, packed);
}

/// # Safety
/// There must be as many stored blocks in the `R` rows as in the panel; the tile's places must be
/// readable and writable, and no other task may touch them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile_blocks<B: Vectors, const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    let mut row = rows.as_ptr();
    for step in panel.chunks_exact(B::LINES) {
        for part in 0..B::STEP / ROW_BLOCK {
            for block in 0..ROW_BLOCK / B::BLOCK {
                // SAFETY: `row` is at this part of the packed rows, of which there are as many as
                // of the panel's; the lines are those of a stored block.
                unsafe { multiply_block::<B, R>(row, step, part, block, &mut sums) }
            }
            // SAFETY: the rows have this many words for each part.
            row = unsafe { row.add(part_words::<B>() * R) };
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile) }
}

/// Adds the products of one block of the weight.
///
/// # Safety
/// `row` must point to the packed words of 32 inputs of `R` rows, `step` be the lines of a stored
/// block, and `part` and `block` within it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn multiply_block<B: Vectors, const R: usize>(
    row: *const u32,
    step: &[Line],
    part: usize,
    block: usize,
    sums: &mut [[__m512; 2]; R],
) {
    let words = B::BLOCK / 4;
    // SAFETY: as the caller vouches; a packed row has the words 0..9 and one for each block.
    unsafe {
        let at = |word: usize, r: usize| *row.add(word * R + r);
        let mut dots = [[_mm512_setzero_si512(); 2]; R];
        if !B::HAS_MIN {
            for (r, dots) in dots.iter_mut().enumerate() {
                *dots = [_mm512_set1_epi32(at(9 + block, r).cast_signed()); 2];
            }
        }
        let lines = step.as_ptr().add(B::part(part));
        for word in block * words..(block + 1) * words {
            let [left, right] = B::word(lines, word);
            for (r, dots) in dots.iter_mut().enumerate() {
                let row = _mm512_set1_epi32(at(word, r).cast_signed());
                dots[0] = _mm512_dpbusd_epi32(dots[0], left, row);
                dots[1] = _mm512_dpbusd_epi32(dots[1], right, row);
            }
        }
        let index = part * (ROW_BLOCK / B::BLOCK) + block;
        let scales = B::scales(step.as_ptr(), index);
        for (r, (sums, dots)) in sums.iter_mut().zip(dots).enumerate() {
            let row = _mm512_set1_ps(f32::from_bits(at(8, r)));
            for half in 0..2 {
                let scale = _mm512_mul_ps(scales[half], row);
                sums[half] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[half]), scale, sums[half]);
            }
        }
        if B::HAS_MIN {
            let mins = B::mins(step.as_ptr(), index);
            for (r, sums) in sums.iter_mut().enumerate() {
                let row = _mm512_set1_ps(f32::from_bits(at(9 + block, r)));
                sums[0] = _mm512_fmadd_ps(mins[0], row, sums[0]);
                sums[1] = _mm512_fmadd_ps(mins[1], row, sums[1]);
            }
        }
    }
}

impl Vectors for Q8_0 {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize) -> [__m512i; 2] {
        // SAFETY: 32 inputs have 8 words of two lines.
        unsafe { [load(part.add(2 * word)), load(part.add(2 * word + 1))] }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, _block: usize) -> [__m512; 2] {
        // SAFETY: the scales are the last line.
        unsafe { halves(step.add(16)) }
    }
}

impl Vectors for Q4_0 {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize) -> [__m512i; 2] {
        // SAFETY: 32 inputs start with 8 lines of nibbles.
        unsafe { nibbles(part, word) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, _block: usize) -> [__m512; 2] {
        // SAFETY: the scales are the last line.
        unsafe { halves(step.add(8)) }
    }
}

impl Vectors for Q5_0 {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize) -> [__m512i; 2] {
        // SAFETY: 32 inputs start with 8 lines of nibbles and 2 of bits.
        let (low, bits) = unsafe {
            (nibbles(part, word), [load(part.add(Q5_0_HIGH)), load(part.add(Q5_0_HIGH + 1))])
        };
        let high = bits.map(|bits| {
            let moved = match word {
                0 => _mm512_slli_epi32::<4>(bits),
                1 => _mm512_slli_epi32::<3>(bits),
                2 => _mm512_slli_epi32::<2>(bits),
                3 => _mm512_slli_epi32::<1>(bits),
                4 => bits,
                5 => _mm512_srli_epi32::<1>(bits),
                6 => _mm512_srli_epi32::<2>(bits),
                _ => _mm512_srli_epi32::<3>(bits),
            };
            _mm512_and_si512(moved, _mm512_set1_epi32(0x1010_1010))
        });
        [_mm512_or_si512(low[0], high[0]), _mm512_or_si512(low[1], high[1])]
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, _block: usize) -> [__m512; 2] {
        // SAFETY: the scales are the last line.
        unsafe { halves(step.add(10)) }
    }
}

impl Vectors for Q4K {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize) -> [__m512i; 2] {
        // SAFETY: 32 inputs start with 8 lines of nibbles.
        unsafe { nibbles(part, word) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, block: usize) -> [__m512; 2] {
        // SAFETY: each part ends with a line of 32 scales and 32 minima; the factor of the scales
        // is the line after the parts.
        unsafe {
            let factor = halves(step.add(8 * Q4K_PART));
            let bytes = step.add(block * Q4K_PART + 8).cast::<u8>();
            [scaled(unsigned(bytes), factor[0]), scaled(unsigned(bytes.add(16)), factor[1])]
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn mins(step: *const Line, block: usize) -> [__m512; 2] {
        // SAFETY: as for the scales; the factor of the minima is the last line.
        unsafe {
            let factor = halves(step.add(8 * Q4K_PART + 1));
            let bytes = step.add(block * Q4K_PART + 8).cast::<u8>().add(32);
            [scaled(unsigned(bytes), factor[0]), scaled(unsigned(bytes.add(16)), factor[1])]
        }
    }
}

impl Vectors for Q6K {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize) -> [__m512i; 2] {
        // SAFETY: 32 inputs start with 8 lines of nibbles and 4 of pairs of bits; a line of these
        // holds 4 words.
        unsafe {
            let low = nibbles(part, word);
            let high = |half: usize| {
                let pairs = load(part.add(8 + word / 4 * 2 + half));
                // Bits that are to be at 4 and 5 of each byte are at 2 · (word % 4).
                let moved = match word % 4 {
                    0 => _mm512_slli_epi32::<4>(pairs),
                    1 => _mm512_slli_epi32::<2>(pairs),
                    2 => pairs,
                    _ => _mm512_srli_epi32::<2>(pairs),
                };
                _mm512_and_si512(moved, _mm512_set1_epi32(0x3030_3030))
            };
            [_mm512_or_si512(low[0], high(0)), _mm512_or_si512(low[1], high(1))]
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, block: usize) -> [__m512; 2] {
        // SAFETY: each part ends with a line of two times 32 scales; the factor is the last line.
        unsafe {
            let factor = halves(step.add(8 * Q6K_PART));
            let bytes = step.add(block / 2 * Q6K_PART + 12).cast::<u8>().add(block % 2 * 32);
            let signed = |bytes: *const u8| _mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.cast()));
            [scaled(signed(bytes), factor[0]), scaled(signed(bytes.add(16)), factor[1])]
        }
    }
}

/// # Safety
/// `line` must point to a line.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(line: *const Line) -> __m512i {
    // SAFETY: a line is 64 bytes and aligned to them.
    unsafe { _mm512_load_si512(line.cast()) }
}

/// The nibbles of word `word` of 8.
///
/// # Safety
/// `lines` must point to 8 lines.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn nibbles(lines: *const Line, word: usize) -> [__m512i; 2] {
    let low = _mm512_set1_epi32(0x0f0f_0f0f);
    // SAFETY: two lines hold the low nibbles of one word and the high nibbles of another.
    let both = unsafe { [load(lines.add(word % 4 * 2)), load(lines.add(word % 4 * 2 + 1))] };
    match word / 4 {
        0 => [_mm512_and_si512(both[0], low), _mm512_and_si512(both[1], low)],
        _ => [
            _mm512_and_si512(_mm512_srli_epi32::<4>(both[0]), low),
            _mm512_and_si512(_mm512_srli_epi32::<4>(both[1]), low),
        ],
    }
}

/// A line of 32 f16.
///
/// # Safety
/// `line` must point to a line.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn halves(line: *const Line) -> [__m512; 2] {
    // SAFETY: a line is two times 32 bytes.
    unsafe {
        let line = line.cast::<__m256i>();
        [_mm512_cvtph_ps(_mm256_load_si256(line)), _mm512_cvtph_ps(_mm256_load_si256(line.add(1)))]
    }
}

/// # Safety
/// `bytes` must point to 16 bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn unsigned(bytes: *const u8) -> __m512i {
    // SAFETY: as the caller vouches.
    unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.cast())) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn scaled(values: __m512i, factor: __m512) -> __m512 {
    _mm512_mul_ps(_mm512_cvtepi32_ps(values), factor)
}

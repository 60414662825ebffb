//! Kernels with AVX2's products of bytes, for weights in blocks.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::blocks::{
    self, Blocks, Q4_0, Q4K, Q4K_PART, Q5_0, Q5_0_HIGH, Q6K, Q6K_PART, Q8_0, ROW_BLOCK, part_words,
    row_words,
};
use super::pack::Line;
use super::{Kernel, PANEL, Tile, avx2::write};

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

/// How a format's lines become vectors of 8 of the panel's outputs, octet by octet. Every function
/// wants the instructions.
trait Octets: Blocks {
    /// The quantities of word `word` of 32 inputs from line `part` on.
    ///
    /// # Safety
    /// `part` must point to the lines of 32 inputs.
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i;
    /// The scales of block `block` of the stored block whose lines are at `step`.
    ///
    /// # Safety
    /// `step` must point to the lines of a stored block.
    unsafe fn scales(step: *const Line, block: usize, octet: usize) -> __m256;
    /// The minima of a block, as [`Octets::scales`].
    ///
    /// # Safety
    /// As [`Octets::scales`].
    unsafe fn mins(_step: *const Line, _block: usize, _octet: usize) -> __m256 {
        // SAFETY: all zeros are a vector.
        unsafe { std::mem::zeroed() }
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
        for part in 0..B::STEP / ROW_BLOCK {
            for block in 0..ROW_BLOCK / B::BLOCK {
                for octet in 0..OCTETS {
                    // SAFETY: `row` is at this part of the packed rows, of which there are as many
                    // as of the panel's; the lines are those of a stored block.
                    unsafe { multiply_block::<B, R>(row, step, part, block, octet, &mut sums) }
                }
            }
            // SAFETY: the rows have this many words for each part.
            row = unsafe { row.add(part_words::<B>() * R) };
        }
    }
    for half in 0..2 {
        let sums = sums.map(|sums| [sums[2 * half], sums[2 * half + 1]]);
        // SAFETY: as the caller vouches.
        unsafe { write(&sums, tile, half * 2 * LANES) }
    }
}

/// Whether quantities take all of a byte, and are multiplied as signed ones.
const fn is_signed<B: Blocks>() -> bool {
    B::ZERO == 128
}

/// Adds the products of one block of the weight with 8 outputs.
///
/// # Safety
/// `row` must point to the packed words of 32 inputs of `R` rows, `step` be the lines of a stored
/// block, and `part`, `block` and `octet` within it.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_block<B: Octets, const R: usize>(
    row: *const u32,
    step: &[Line],
    part: usize,
    block: usize,
    octet: usize,
    sums: &mut [[__m256; OCTETS]; R],
) {
    let words = B::BLOCK / 4;
    let index = part * (ROW_BLOCK / B::BLOCK) + block;
    // SAFETY: as the caller vouches; a packed row has the words 0..9 and one for each block.
    unsafe {
        let at = |word: usize, r: usize| *row.add(word * R + r);
        let mut dots = [_mm256_setzero_si256(); R];
        let lines = step.as_ptr().add(B::part(part));
        for word in block * words..(block + 1) * words {
            let weights = B::word(lines, word, octet);
            for (r, dots) in dots.iter_mut().enumerate() {
                let row = _mm256_set1_epi32(at(word, r).cast_signed());
                let dot = if is_signed::<B>() {
                    dot_signed(signed(weights), row)
                } else {
                    dot(weights, row)
                };
                *dots = _mm256_add_epi32(*dots, dot);
            }
        }
        let scales = B::scales(step.as_ptr(), index, octet);
        let mins = B::mins(step.as_ptr(), index, octet);
        for (r, sums) in sums.iter_mut().enumerate() {
            let scale = _mm256_mul_ps(scales, _mm256_set1_ps(f32::from_bits(at(8, r))));
            let taken_away = at(9 + block, r);
            let sum = if B::HAS_MIN {
                let taken_away = _mm256_set1_ps(f32::from_bits(taken_away));
                sums[octet] = _mm256_fmadd_ps(mins, taken_away, sums[octet]);
                dots[r]
            } else if is_signed::<B>() {
                dots[r]
            } else {
                _mm256_add_epi32(dots[r], _mm256_set1_epi32(taken_away.cast_signed()))
            };
            sums[octet] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, sums[octet]);
        }
    }
}

/// Four products of bytes in each lane, the weights unsigned. The instruction sums two products in 16
/// bits, which holds those of quantities below 128.
#[inline]
#[target_feature(enable = "avx2")]
fn dot(weights: __m256i, row: __m256i) -> __m256i {
    _mm256_madd_epi16(_mm256_maddubs_epi16(weights, row), _mm256_set1_epi16(1))
}

/// Unsigned bytes, of which 128 is zero, as signed ones.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn signed(weights: __m256i) -> __m256i {
    _mm256_xor_si256(weights, _mm256_set1_epi8(i8::MIN))
}

/// As [`dot`], the weights signed: their sizes times the row with their signs. Rows have no −128, so two
/// products fit: 2 · 128 · 127.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn dot_signed(weights: __m256i, row: __m256i) -> __m256i {
    dot(_mm256_abs_epi8(weights), _mm256_sign_epi8(row, weights))
}

impl Octets for Q8_0 {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs have 8 words of two lines.
        unsafe { load(part.add(2 * word), octet) }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn scales(step: *const Line, _block: usize, octet: usize) -> __m256 {
        // SAFETY: the scales are the last line.
        unsafe { halves(step.add(16), octet) }
    }
}

impl Octets for Q4_0 {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs start with 8 lines of nibbles.
        unsafe { nibbles(part, word, octet) }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn scales(step: *const Line, _block: usize, octet: usize) -> __m256 {
        // SAFETY: the scales are the last line.
        unsafe { halves(step.add(8), octet) }
    }
}

impl Octets for Q5_0 {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs start with 8 lines of nibbles and 2 of bits.
        let (low, bits) = unsafe { (nibbles(part, word, octet), load(part.add(Q5_0_HIGH), octet)) };
        let moved = match word {
            0 => _mm256_slli_epi32::<4>(bits),
            1 => _mm256_slli_epi32::<3>(bits),
            2 => _mm256_slli_epi32::<2>(bits),
            3 => _mm256_slli_epi32::<1>(bits),
            4 => bits,
            5 => _mm256_srli_epi32::<1>(bits),
            6 => _mm256_srli_epi32::<2>(bits),
            _ => _mm256_srli_epi32::<3>(bits),
        };
        _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi32(0x1010_1010)))
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn scales(step: *const Line, _block: usize, octet: usize) -> __m256 {
        // SAFETY: the scales are the last line.
        unsafe { halves(step.add(10), octet) }
    }
}

impl Octets for Q4K {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs start with 8 lines of nibbles.
        unsafe { nibbles(part, word, octet) }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn scales(step: *const Line, block: usize, octet: usize) -> __m256 {
        // SAFETY: each part ends with a line of 32 scales and 32 minima; the factor of the scales
        // is the line after the parts.
        unsafe {
            let factor = halves(step.add(8 * Q4K_PART), octet);
            let bytes = step.add(block * Q4K_PART + 8).cast::<u8>().add(octet * LANES);
            let scales = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.cast()));
            _mm256_mul_ps(_mm256_cvtepi32_ps(scales), factor)
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn mins(step: *const Line, block: usize, octet: usize) -> __m256 {
        // SAFETY: as for the scales; the factor of the minima is the last line.
        unsafe {
            let factor = halves(step.add(8 * Q4K_PART + 1), octet);
            let bytes = step.add(block * Q4K_PART + 8).cast::<u8>().add(PANEL + octet * LANES);
            let mins = _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.cast()));
            _mm256_mul_ps(_mm256_cvtepi32_ps(mins), factor)
        }
    }
}

impl Octets for Q6K {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs start with 8 lines of nibbles and 4 of pairs of bits; a line of these
        // holds 4 words.
        let (low, pairs) =
            unsafe { (nibbles(part, word, octet), load(part.add(8 + word / 4 * 2), octet)) };
        // Bits that are to be at 4 and 5 of each byte are at 2 · (word % 4).
        let moved = match word % 4 {
            0 => _mm256_slli_epi32::<4>(pairs),
            1 => _mm256_slli_epi32::<2>(pairs),
            2 => pairs,
            _ => _mm256_srli_epi32::<2>(pairs),
        };
        _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi32(0x3030_3030)))
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn scales(step: *const Line, block: usize, octet: usize) -> __m256 {
        // SAFETY: each part ends with a line of two times 32 scales; the factor is the last line.
        unsafe {
            let factor = halves(step.add(8 * Q6K_PART), octet);
            let bytes = step.add(block / 2 * Q6K_PART + 12).cast::<u8>();
            let bytes = bytes.add(block % 2 * PANEL + octet * LANES);
            let scales = _mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.cast()));
            _mm256_mul_ps(_mm256_cvtepi32_ps(scales), factor)
        }
    }
}

/// An octet of two lines of words.
///
/// # Safety
/// `lines` must point to two lines, and `octet` be below [`OCTETS`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(lines: *const Line, octet: usize) -> __m256i {
    // SAFETY: two lines are 4 vectors, aligned to their size.
    unsafe { _mm256_load_si256(lines.cast::<__m256i>().add(octet)) }
}

/// The nibbles of word `word` of 8.
///
/// # Safety
/// `lines` must point to 8 lines, and `octet` be below [`OCTETS`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn nibbles(lines: *const Line, word: usize, octet: usize) -> __m256i {
    let low = _mm256_set1_epi32(0x0f0f_0f0f);
    // SAFETY: two lines hold the low nibbles of one word and the high nibbles of another.
    let both = unsafe { load(lines.add(word % 4 * 2), octet) };
    match word / 4 {
        0 => _mm256_and_si256(both, low),
        _ => _mm256_and_si256(_mm256_srli_epi32::<4>(both), low),
    }
}

/// An octet of a line of 32 f16.
///
/// # Safety
/// `line` must point to a line, and `octet` be below [`OCTETS`].
#[inline]
#[target_feature(enable = "avx2,f16c")]
unsafe fn halves(line: *const Line, octet: usize) -> __m256 {
    // SAFETY: a line is 4 times 16 bytes.
    unsafe { _mm256_cvtph_ps(_mm_load_si128(line.cast::<__m128i>().add(octet))) }
}

//! Where the formats keep their quantities and scales.

use std::arch::x86_64::*;

use super::super::PANEL;
use super::super::blocks::{Block, HIGH, Q6K, Q6K_PART, Q8_0, SuperBlock};
use super::super::pack::Line;
use super::Vectors;

impl Vectors for Q8_0 {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize, half: usize) -> __m512i {
        // SAFETY: 32 inputs have 8 words of two lines.
        unsafe { load(part.add(2 * word + half)) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, _block: usize, half: usize) -> __m512 {
        // SAFETY: the scales are the last line.
        unsafe { halves(step.add(16), half) }
    }
}

impl<const BITS: usize, const MIN: bool> Vectors for Block<BITS, MIN> {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize, half: usize) -> __m512i {
        // SAFETY: 32 inputs start with the lines of their quantities.
        unsafe { quantities::<BITS>(part, word, half) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, _block: usize, half: usize) -> __m512 {
        // SAFETY: there is a line of scales.
        unsafe { halves(step.add(Self::SCALES), half) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn mins(step: *const Line, _block: usize, half: usize) -> __m512 {
        // SAFETY: the format has minima, as the caller vouches, in the line after the scales.
        unsafe { halves(step.add(Self::SCALES + 1), half) }
    }
}

impl<const BITS: usize> Vectors for SuperBlock<BITS> {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize, half: usize) -> __m512i {
        // SAFETY: 32 inputs start with the lines of their quantities.
        unsafe { quantities::<BITS>(part, word, half) }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, block: usize, half: usize) -> __m512 {
        // SAFETY: each part ends with a line of 32 scales and 32 minima; the factor of the scales
        // is the line after the parts.
        unsafe {
            let ends = step.add(block * Self::PART + Self::ENDS).cast::<u8>();
            scaled(unsigned(ends.add(16 * half)), halves(step.add(Self::FACTORS), half))
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn mins(step: *const Line, block: usize, half: usize) -> __m512 {
        // SAFETY: as for the scales; the factor of the minima is the last line.
        unsafe {
            let ends = step.add(block * Self::PART + Self::ENDS).cast::<u8>();
            let mins = unsigned(ends.add(PANEL + 16 * half));
            scaled(mins, halves(step.add(Self::FACTORS + 1), half))
        }
    }
}

impl Vectors for Q6K {
    #[target_feature(enable = "avx512f")]
    unsafe fn word(part: *const Line, word: usize, half: usize) -> __m512i {
        // SAFETY: 32 inputs start with 8 lines of nibbles and 4 of pairs of bits; a line of these
        // holds 4 words.
        let (low, pairs) =
            unsafe { (nibbles(part, word, half), load(part.add(HIGH + word / 4 * 2 + half))) };
        // Bits that are to be at 4 and 5 of each byte are at 2 · (word % 4).
        let moved = match word % 4 {
            0 => _mm512_slli_epi32::<4>(pairs),
            1 => _mm512_slli_epi32::<2>(pairs),
            2 => pairs,
            _ => _mm512_srli_epi32::<2>(pairs),
        };
        _mm512_or_si512(low, _mm512_and_si512(moved, _mm512_set1_epi32(0x3030_3030)))
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn scales(step: *const Line, block: usize, half: usize) -> __m512 {
        // SAFETY: each part ends with a line of two times 32 scales; the factor is the last line.
        unsafe {
            let bytes = step.add(block / 2 * Q6K_PART + 12).cast::<u8>();
            let bytes = bytes.add(block % 2 * PANEL + 16 * half);
            let scales = _mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.cast()));
            scaled(scales, halves(step.add(8 * Q6K_PART), half))
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

/// Word `word` of 8 of quantities of 4 or 5 bits.
///
/// # Safety
/// `lines` must point to the lines of 32 inputs' quantities; `half` be 0 or 1.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn quantities<const BITS: usize>(lines: *const Line, word: usize, half: usize) -> __m512i {
    // SAFETY: the lines start with 8 of nibbles.
    let low = unsafe { nibbles(lines, word, half) };
    if BITS == 4 {
        return low;
    }
    // SAFETY: 2 lines of fifth bits follow.
    let bits = unsafe { load(lines.add(HIGH + half)) };
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
    _mm512_or_si512(low, _mm512_and_si512(moved, _mm512_set1_epi32(0x1010_1010)))
}

/// The nibbles of word `word` of 8.
///
/// # Safety
/// `lines` must point to 8 lines; `half` be 0 or 1.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn nibbles(lines: *const Line, word: usize, half: usize) -> __m512i {
    // SAFETY: a line holds the low nibbles of one word and the high nibbles of another.
    let both = unsafe { load(lines.add(word % 4 * 2 + half)) };
    let moved = if word < 4 { both } else { _mm512_srli_epi32::<4>(both) };
    _mm512_and_si512(moved, _mm512_set1_epi32(0x0f0f_0f0f))
}

/// Half of a line of 32 f16.
///
/// # Safety
/// `line` must point to a line; `half` be 0 or 1.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn halves(line: *const Line, half: usize) -> __m512 {
    // SAFETY: a line is two times 32 bytes.
    unsafe { _mm512_cvtph_ps(_mm256_load_si256(line.cast::<__m256i>().add(half))) }
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

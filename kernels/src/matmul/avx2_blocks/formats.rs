//! Where the formats keep their quantities and scales.

use std::arch::x86_64::*;

use super::super::PANEL;
use super::super::blocks::{Block, HIGH, Q6K, Q6K_PART, Q8_0, SuperBlock};
use super::super::pack::Line;
use super::dots::{nibble_dots, signed_dots};
use super::{LANES, Octets, Place};

impl Octets for Q8_0 {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs have 8 words of two lines.
        unsafe { load(part.add(2 * word), octet) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn dots<const R: usize, const O: usize>(
        place: &Place,
        octet: usize,
    ) -> [[__m256i; O]; R] {
        // SAFETY: as the caller vouches.
        unsafe {
            match R {
                1 => nibble_dots::<Self, R, O>(place, octet),
                _ => signed_dots::<Self, R, O>(place, octet),
            }
        }
    }
}

impl<const BITS: usize, const MIN: bool> Octets for Block<BITS, MIN> {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs start with the lines of their quantities.
        unsafe { quantities::<BITS>(part, word, octet) }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn factors(step: *const Line, octet: usize) -> __m256 {
        // SAFETY: there is a line of scales.
        unsafe { halves(step.add(Self::SCALES), octet) }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn min_factors(step: *const Line, octet: usize) -> __m256 {
        // SAFETY: the format has minima, as the caller vouches, in the line after the scales.
        unsafe { halves(step.add(Self::SCALES + 1), octet) }
    }
}

impl<const BITS: usize> Octets for SuperBlock<BITS> {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs start with the lines of their quantities.
        unsafe { quantities::<BITS>(part, word, octet) }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn factors(step: *const Line, octet: usize) -> __m256 {
        // SAFETY: the factor of the scales is the line after the parts.
        unsafe { halves(step.add(Self::FACTORS), octet) }
    }

    #[target_feature(enable = "avx2,f16c")]
    unsafe fn min_factors(step: *const Line, octet: usize) -> __m256 {
        // SAFETY: the factor of the minima is the last line.
        unsafe { halves(step.add(Self::FACTORS + 1), octet) }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn scales(step: *const Line, block: usize, octet: usize) -> __m256 {
        // SAFETY: each part ends with a line of 32 scales and 32 minima.
        unsafe {
            let bytes = step.add(block * Self::PART + Self::ENDS).cast::<u8>().add(octet * LANES);
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.cast())))
        }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn mins(step: *const Line, block: usize, octet: usize) -> __m256 {
        // SAFETY: as for the scales.
        unsafe {
            let ends = step.add(block * Self::PART + Self::ENDS).cast::<u8>();
            let bytes = ends.add(PANEL + octet * LANES);
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.cast())))
        }
    }
}

impl Octets for Q6K {
    #[target_feature(enable = "avx2")]
    unsafe fn word(part: *const Line, word: usize, octet: usize) -> __m256i {
        // SAFETY: 32 inputs start with 8 lines of nibbles and 4 of pairs of bits; a line of these
        // holds 4 words.
        let (low, pairs) =
            unsafe { (nibbles(part, word, octet), load(part.add(HIGH + word / 4 * 2), octet)) };
        // Bits that are to be at 4 and 5 of each byte are at 2 · (word % 4).
        let moved = match word % 4 {
            0 => _mm256_slli_epi32::<4>(pairs),
            1 => _mm256_slli_epi32::<2>(pairs),
            2 => pairs,
            _ => _mm256_srli_epi32::<2>(pairs),
        };
        _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi32(0x3030_3030)))
    }

    #[target_feature(enable = "avx2")]
    unsafe fn scales(step: *const Line, block: usize, octet: usize) -> __m256 {
        // SAFETY: each part ends with a line of two times 32 scales.
        unsafe {
            let bytes = step.add(block / 2 * Q6K_PART + 12).cast::<u8>();
            let bytes = bytes.add(block % 2 * PANEL + octet * LANES);
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.cast())))
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

/// Word `word` of 8 of quantities of 4 or 5 bits.
///
/// # Safety
/// `lines` must point to the lines of 32 inputs' quantities, and `octet` be below [`OCTETS`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn quantities<const BITS: usize>(lines: *const Line, word: usize, octet: usize) -> __m256i {
    // SAFETY: the lines start with 8 of nibbles.
    let low = unsafe { nibbles(lines, word, octet) };
    if BITS == 4 {
        return low;
    }
    // SAFETY: 2 lines of fifth bits follow.
    let bits = unsafe { load(lines.add(HIGH), octet) };
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
pub(super) unsafe fn halves(line: *const Line, octet: usize) -> __m256 {
    // SAFETY: a line is 4 times 16 bytes.
    unsafe { _mm256_cvtph_ps(_mm_load_si128(line.cast::<__m128i>().add(octet))) }
}

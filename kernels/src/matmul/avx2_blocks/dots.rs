//! Products of a block's bytes, summed in whole numbers.

use std::arch::x86_64::*;

use super::super::blocks::ROW_BLOCK;
use super::{Octets, Place};

/// Words of quantities up to `largest` whose products with a row's can be summed in 16 bits: an
/// instruction sums two products in each of them, and rows have no −128.
const fn words_in_16_bits(largest: u8) -> usize {
    i16::MAX as usize / (2 * 127 * largest as usize)
}

/// [`Octets::dots`] for quantities of less than 7 bits.
///
/// # Safety
/// As [`Octets::dots`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn unsigned_dots<B: Octets + ?Sized, const R: usize, const O: usize>(
    place: &Place,
    octet: usize,
) -> [[__m256i; O]; R] {
    let (words, ones) = (B::BLOCK / 4, _mm256_set1_epi16(1));
    let together = const { words_in_16_bits(B::MOST) };
    let mut dots = [[_mm256_setzero_si256(); O]; R];
    // SAFETY: as the caller vouches.
    unsafe {
        let lines = place.step.add(B::part(place.part));
        for first in (0..words).step_by(together) {
            let mut pairs = [[_mm256_setzero_si256(); O]; R];
            for word in first..words.min(first + together) {
                let word = place.block * words + word;
                let weights: [_; O] = std::array::from_fn(|o| B::word(lines, word, octet + o));
                for (r, pairs) in pairs.iter_mut().enumerate() {
                    let row = place.all::<R>(word, r);
                    for (pair, weights) in pairs.iter_mut().zip(weights) {
                        *pair = _mm256_add_epi16(*pair, _mm256_maddubs_epi16(weights, row));
                    }
                }
            }
            for (dot, pair) in dots.as_flattened_mut().iter_mut().zip(pairs.as_flattened()) {
                *dot = _mm256_add_epi32(*dot, _mm256_madd_epi16(*pair, ones));
            }
        }
        if !B::HAS_MIN {
            for (r, dots) in dots.iter_mut().enumerate() {
                let taken_away = place.all::<R>(9 + place.block, r);
                dots.iter_mut().for_each(|dot| *dot = _mm256_add_epi32(*dot, taken_away));
            }
        }
    }
    dots
}

/// [`Octets::dots`] for bytes, which are multiplied as signed ones: their sizes by the row with their
/// signs.
///
/// # Safety
/// As [`Octets::dots`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn signed_dots<B: Octets + ?Sized, const R: usize, const O: usize>(
    place: &Place,
    octet: usize,
) -> [[__m256i; O]; R] {
    let words = B::BLOCK / 4;
    let mut dots = [[_mm256_setzero_si256(); O]; R];
    // SAFETY: as the caller vouches.
    unsafe {
        let lines = place.step.add(B::part(place.part));
        for word in place.block * words..(place.block + 1) * words {
            let weights: [_; O] = std::array::from_fn(|o| signed(B::word(lines, word, octet + o)));
            for (r, dots) in dots.iter_mut().enumerate() {
                let row = place.all::<R>(word, r);
                for (dot, weights) in dots.iter_mut().zip(weights) {
                    *dot = _mm256_add_epi32(*dot, dot_signed(weights, row));
                }
            }
        }
    }
    dots
}

/// [`Octets::dots`] for bytes taken apart into nibbles, whose products are summed in 16 bits: more
/// instructions with many rows than [`signed_dots`], and fewer with one.
///
/// # Safety
/// As [`Octets::dots`].
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn nibble_dots<B: Octets + ?Sized, const R: usize, const O: usize>(
    place: &Place,
    octet: usize,
) -> [[__m256i; O]; R] {
    const { assert!(words_in_16_bits(15) >= ROW_BLOCK / 4) }
    let (words, nibble) = (B::BLOCK / 4, _mm256_set1_epi8(15));
    let mut low = [[_mm256_setzero_si256(); O]; R];
    let mut high = low;
    // SAFETY: as the caller vouches.
    unsafe {
        let lines = place.step.add(B::part(place.part));
        for word in place.block * words..(place.block + 1) * words {
            for o in 0..O {
                let weights = B::word(lines, word, octet + o);
                let halves = [weights, _mm256_srli_epi16::<4>(weights)];
                let [lower, upper] = halves.map(|half| _mm256_and_si256(half, nibble));
                for r in 0..R {
                    let row = place.all::<R>(word, r);
                    low[r][o] = _mm256_add_epi16(low[r][o], _mm256_maddubs_epi16(lower, row));
                    high[r][o] = _mm256_add_epi16(high[r][o], _mm256_maddubs_epi16(upper, row));
                }
            }
        }
        std::array::from_fn(|r| {
            let taken_away = place.all::<R>(9 + place.block, r);
            std::array::from_fn(|o| {
                let low = _mm256_madd_epi16(low[r][o], _mm256_set1_epi16(1));
                let high = _mm256_madd_epi16(high[r][o], _mm256_set1_epi16(16));
                _mm256_add_epi32(_mm256_add_epi32(low, high), taken_away)
            })
        })
    }
}

/// Unsigned bytes, of which 128 is zero, as signed ones.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::matmul) fn signed(weights: __m256i) -> __m256i {
    _mm256_xor_si256(weights, _mm256_set1_epi8(i8::MIN))
}

/// Four products of signed bytes in each lane: the weights' sizes by the row with their signs. Rows have
/// no −128, so that two products fit 16 bits: 2 · 128 · 127.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::matmul) fn dot_signed(weights: __m256i, row: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(row, weights));
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

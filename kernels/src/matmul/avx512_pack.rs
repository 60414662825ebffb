//! Packing rows with AVX-512: words of several rows are interleaved in registers.

use std::arch::x86_64::*;

/// Packs rows of f32, a value a word.
///
/// # Safety
/// The machine must have AVX-512F; the rows must be as long as there are words for each.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn pack_f32<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    let words = packed.len() / R;
    for first in (0..words).step_by(16) {
        let count = (words - first).min(16);
        let mask = first_of_16(count);
        // SAFETY: the mask keeps to the `count` values from `first` on, which each row has.
        let load = |row: &[f32]| unsafe {
            _mm512_castps_si512(_mm512_maskz_loadu_ps(mask, row.as_ptr().add(first)))
        };
        interleave(rows.map(load), &mut packed[first * R..][..count * R]);
    }
}

/// Packs rows rounded to bf16, two values a word.
///
/// # Safety
/// The machine must have AVX-512F and AVX512-BF16; the rows must all be of one length, and there
/// must be words for it.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn pack_bf16<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    let (words, inputs) = (packed.len() / R, rows.first().map_or(0, |row| row.len()));
    for first in (0..words).step_by(16) {
        let count = (words - first).min(16);
        let left = inputs - 2 * first;
        let (low, high) = (first_of_16(left.min(16)), first_of_16(left.saturating_sub(16).min(16)));
        // SAFETY: the masks keep to the `left` values from `2 · first` on, which each row has, and
        // no pointer goes past the end of a row. A vector of bf16 has the bits of one of words.
        let load = |row: &[f32]| unsafe {
            let values = row.as_ptr().add(2 * first);
            let low = _mm512_maskz_loadu_ps(low, values);
            let high = _mm512_maskz_loadu_ps(high, values.wrapping_add(16));
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
        };
        interleave(rows.map(load), &mut packed[first * R..][..count * R]);
    }
}

/// Writes up to 16 words of `R` rows: word `w` of row `r` to `w · R + r`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn interleave<const R: usize>(rows: [__m512i; R], packed: &mut [u32]) {
    if R == 1 {
        // SAFETY: the mask keeps to the words that there are.
        unsafe {
            let mask = first_of_16(packed.len());
            _mm512_mask_storeu_epi32(packed.as_mut_ptr().cast(), mask, rows[0]);
        }
        return;
    }
    let mut all = [_mm512_setzero_si512(); 16];
    all[..R].copy_from_slice(&rows);
    let mask = first_of_16(R);
    for (packed, words) in packed.chunks_exact_mut(R).zip(transpose(all)) {
        // SAFETY: the mask keeps to the `R` words of the chunk.
        unsafe { _mm512_mask_storeu_epi32(packed.as_mut_ptr().cast(), mask, words) };
    }
}

/// A mask of the first `count` of 16 lanes.
fn first_of_16(count: usize) -> u16 {
    ((1u32 << count) - 1) as u16
}

/// Turns 16 rows of 16 words into 16 columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = rows;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    // Quarter `q` of `fours[4 · i + j]` is column `4 · q + j` of rows `4 · i..4 · i + 4`.
    let mut fours = pairs;
    for i in (0..16).step_by(4) {
        fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let mut columns = fours;
    for j in 0..4 {
        let even_low = _mm512_shuffle_i32x4::<EVEN>(fours[j], fours[4 + j]);
        let even_high = _mm512_shuffle_i32x4::<EVEN>(fours[8 + j], fours[12 + j]);
        let odd_low = _mm512_shuffle_i32x4::<ODD>(fours[j], fours[4 + j]);
        let odd_high = _mm512_shuffle_i32x4::<ODD>(fours[8 + j], fours[12 + j]);
        columns[j] = _mm512_shuffle_i32x4::<EVEN>(even_low, even_high);
        columns[4 + j] = _mm512_shuffle_i32x4::<EVEN>(odd_low, odd_high);
        columns[8 + j] = _mm512_shuffle_i32x4::<ODD>(even_low, even_high);
        columns[12 + j] = _mm512_shuffle_i32x4::<ODD>(odd_low, odd_high);
    }
    columns
}

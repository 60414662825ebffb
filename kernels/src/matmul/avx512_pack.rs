//! Packing rows with AVX-512: words of several rows are interleaved in registers.

use std::arch::x86_64::*;

use super::blocks::{Blocks, ROW_BLOCK, part_words};

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
        interleave::<R>(|r| load(rows[r]), &mut packed[first * R..][..count * R]);
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
        interleave::<R>(|r| load(rows[r]), &mut packed[first * R..][..count * R]);
    }
}

/// Packs rows of values that are rounded to bf16 and stay f32, a value a word, with zeros up to an even
/// number of them.
///
/// # Safety
/// The machine must have AVX-512F; the rows must all be of one length, and there must be words for it.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn pack_rounded<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    let (words, inputs) = (packed.len() / R, rows.first().map_or(0, |row| row.len()));
    for first in (0..words).step_by(16) {
        let count = (words - first).min(16);
        let mask = first_of_16((inputs - first).min(16));
        // SAFETY: the mask keeps to the values that there are.
        let load = |row: &[f32]| unsafe {
            rounded_to_bf16(_mm512_maskz_loadu_ps(mask, row.as_ptr().add(first)))
        };
        interleave::<R>(|r| load(rows[r]), &mut packed[first * R..][..count * R]);
    }
}

/// The bits of values rounded to bf16, of two the even one, with zeros in the lower halves.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounded_to_bf16(values: __m512) -> __m512i {
    let bits = _mm512_castps_si512(values);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let half = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    let rounded = _mm512_add_epi32(bits, half);
    let none = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(values, values);
    let quiet = _mm512_set1_epi32(0x7fc0_0000); // whatever bits it had: some would round to a number
    _mm512_and_si512(_mm512_mask_mov_epi32(rounded, none, quiet), _mm512_set1_epi32(-1 << 16))
}

/// Packs rows for a format of blocks, as [`super::blocks::pack_rows`] does.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn pack_blocks<B: Blocks, const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    let parts = rows.map(|row| row.as_chunks().0);
    for (part, packed) in packed.chunks_exact_mut(part_words::<B>() * R).enumerate() {
        let words: [_; R] = std::array::from_fn(|r| part_of::<B>(&parts[r][part]));
        interleave::<R>(|r| words[r], packed);
    }
}

/// The words of 32 inputs: their bytes, their scale, and what the weights' blocks take away.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn part_of<B: Blocks>(values: &[f32; ROW_BLOCK]) -> __m512i {
    let (largest, factor) = scale_of(values);
    // SAFETY: there are 32 values.
    let rounded = [0, 16].map(|first| unsafe {
        let scaled = _mm512_mul_ps(_mm512_loadu_ps(values.as_ptr().add(first)), factor);
        _mm512_cvtps_epi32(scaled) // to the nearest, of two to the even
    });
    let pairs = _mm512_packs_epi32(rounded[0], rounded[1]);
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    let bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(pairs, pairs));
    let scale = largest / 127.0;
    let ends = |sum: i32| match B::HAS_MIN {
        true => (-scale * sum as f32).to_bits().cast_signed(),
        false => sum.wrapping_mul(-i32::from(B::ZERO)),
    };
    let words = _mm512_mask_set1_epi32(bytes, 1 << 8, scale.to_bits().cast_signed());
    if B::BLOCK == ROW_BLOCK {
        let sum = _mm512_reduce_add_epi32(_mm512_add_epi32(rounded[0], rounded[1]));
        return _mm512_mask_set1_epi32(words, 1 << 9, ends(sum));
    }
    let [first, second] = rounded.map(|half| ends(_mm512_reduce_add_epi32(half)));
    _mm512_mask_set1_epi32(_mm512_mask_set1_epi32(words, 1 << 9, first), 1 << 10, second)
}

/// The largest size among values, and what scales them to ±127. What is no number counts as larger
/// than any: its row's outputs are none either.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn scale_of<const N: usize>(values: &[f32; N]) -> (f32, __m512) {
    let mut largest = [_mm512_setzero_si512(); 2];
    for (part, values) in values.as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: there are 16 values.
        let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
        let size = _mm512_castps_si512(_mm512_abs_ps(values));
        largest[part % 2] = _mm512_max_epi32(largest[part % 2], size);
    }
    let largest = _mm512_reduce_max_epi32(_mm512_max_epi32(largest[0], largest[1]));
    let largest = f32::from_bits(largest.cast_unsigned());
    (largest, _mm512_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 }))
}

/// Writes up to 16 words of `R` rows: word `w` of row `r` to `w · R + r`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn interleave<const R: usize>(row: impl Fn(usize) -> __m512i, packed: &mut [u32]) {
    if R == 1 {
        // SAFETY: the mask keeps to the words that there are.
        unsafe {
            let mask = first_of_16(packed.len());
            _mm512_mask_storeu_epi32(packed.as_mut_ptr().cast(), mask, row(0));
        }
        return;
    }
    let all = std::array::from_fn(|r| if r < R { row(r) } else { _mm512_setzero_si512() });
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

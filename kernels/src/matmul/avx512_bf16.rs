//! Weights of bf16 with AVX-512: by dot products of bf16 where they are fast, else in f32.

use std::arch::x86_64::*;

use super::avx512::{self, load};
use super::avx512_blocks::ask_ahead;
use super::pack::{LINES, Line};
use super::{Kernel, Tile, avx512_pack};

/// Pairs of bf16 multiplied and added as they are. Made only where the instructions were detected.
pub(super) struct Dots(());

impl Dots {
    /// # Safety
    /// The machine must have the instructions that [`super::avx512::detected`] looks for, bf16 among
    /// them.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

impl Kernel for Dots {
    const ROWS: usize = 12;
    const STEP: usize = 2;
    const ROW_WORDS: usize = 1;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        assert!(rows.iter().all(|row| row.len().div_ceil(2) * R == packed.len()));
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and are
        // those of all rows, which are cut from one matrix.
        unsafe { avx512_pack::pack_bf16(rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * LINES, panel.len() * R);
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
        // whoever made the tile vouches for its places.
        unsafe { tile_dots::<R>(rows, panel, tile) }
    }
}

/// # Safety
/// There must be as many words of `R` rows as of the panel; the tile's places must be readable
/// and writable, and no other task may touch them.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn tile_dots<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    let mut sums = [[_mm512_setzero_ps(); LINES]; R];
    let (rows, weights) = (rows.as_ptr(), panel.as_ptr().cast::<i32>());
    for word in 0..panel.len() / LINES {
        // SAFETY: `word` is below the number of words in both. The vectors of bf16 have the bits
        // of the vectors of words.
        unsafe {
            let left = bf16s(_mm512_load_epi32(weights.add(word * 32)));
            let right = bf16s(_mm512_load_epi32(weights.add(word * 32 + 16)));
            for (r, sums) in sums.iter_mut().enumerate() {
                let row = bf16s(_mm512_set1_epi32((*rows.add(word * R + r)).cast_signed()));
                sums[0] = _mm512_dpbf16_ps(sums[0], row, left);
                sums[1] = _mm512_dpbf16_ps(sums[1], row, right);
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { avx512::write(&sums, tile) }
}

/// Words as pairs of bf16.
#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16s(words: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits, and any bits are a value of either.
    unsafe { std::mem::transmute::<__m512i, __m512bh>(words) }
}

/// Pairs of bf16 that become f32 in registers. Made only where the instructions were detected.
pub(super) struct Widened(());

impl Widened {
    /// # Safety
    /// The machine must have the instructions that [`super::avx512::detected`] looks for.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

impl Kernel for Widened {
    const ROWS: usize = 12;
    const STEP: usize = 2;
    const ROW_WORDS: usize = 2;
    const LINES: usize = LINES;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        assert!(rows.iter().all(|row| row.len().next_multiple_of(2) * R == packed.len()));
        // SAFETY: the value exists, so the instructions were detected; the lengths fit.
        unsafe { avx512_pack::pack_rounded(rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * LINES, 2 * panel.len() * R);
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
        // whoever made the tile vouches for its places.
        unsafe { tile_widened::<R>(rows, panel, tile) }
    }
}

/// # Safety
/// The tile's places must be readable and writable, and no other task may touch them.
#[target_feature(enable = "avx512f")]
unsafe fn tile_widened<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    let mut sums = [[_mm512_setzero_ps(); LINES]; R];
    for (pair, rows) in panel.chunks_exact(LINES).zip(rows.chunks_exact(2 * R)) {
        ask_ahead(pair);
        let words = [0, 1].map(|line| load(&pair[line]));
        let even = words.map(|words| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)));
        let odd = words.map(|words| _mm512_castsi512_ps(high_half(words)));
        for (rows, weights) in rows.chunks_exact(R).zip([even, odd]) {
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = _mm512_set1_ps(f32::from_bits(*row));
                sums[0] = _mm512_fmadd_ps(row, weights[0], sums[0]);
                sums[1] = _mm512_fmadd_ps(row, weights[1], sums[1]);
            }
        }
    }
    // SAFETY: as the caller vouches.
    unsafe { avx512::write(&sums, tile) }
}

/// The upper half of each word, and zeros below: the second of a pair of bf16 in f32.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn high_half(words: __m512i) -> __m512i {
    _mm512_and_si512(words, _mm512_set1_epi32(-1 << 16))
}

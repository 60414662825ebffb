//! The kernel with AVX-512's dot products of bytes, for weights of a byte each.

use std::arch::x86_64::*;

use super::avx512::write;
use super::avx512_blocks::ask_ahead;
use super::avx512_pack::{interleave, scale_of};
use super::gemm::LONG_BLOCK;
use super::int8::{LINES, ROW_WORDS, STEP, WORDS};
use super::pack::Line;
use super::{Kernel, Tile};
use crate::simd::signed_bytes;

/// Weights of a byte each. Made only where the instructions were detected.
pub(super) struct Avx512Int8(());

impl Avx512Int8 {
    /// # Safety
    /// The machine must have the instructions that [`super::avx512::detected`] looks for.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

impl Kernel for Avx512Int8 {
    const ROWS: usize = 12;
    const STEP: usize = STEP;
    const ROW_WORDS: usize = ROW_WORDS;
    const LINES: usize = LINES;
    // A tile's 24 dot products a word hide what its two lines take from the second-level cache.
    const BLOCK_STEPS: usize = LONG_BLOCK / STEP;

    fn pack<const R: usize>(&self, rows: [&[f32]; R], packed: &mut [u32]) {
        // SAFETY: the value exists, so the instructions were detected.
        unsafe { pack::<R>(rows, packed) }
    }

    fn tile<const R: usize>(&self, rows: &[u32], panel: &[Line], tile: &Tile) {
        assert_eq!(rows.len() * LINES, panel.len() * R * ROW_WORDS);
        // SAFETY: the value exists, so the instructions were detected; the lengths fit, and
        // whoever made the tile vouches for its places.
        unsafe { multiply::<R>(rows, panel, tile) }
    }
}

/// Packs rows of one length as [`super::int8::pack_rows`] does.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn pack<const R: usize>(rows: [&[f32]; R], packed: &mut [u32]) {
    for (step, packed) in packed.chunks_exact_mut(ROW_WORDS * R).enumerate() {
        let mut words = [[_mm512_setzero_si512(); WORDS / 16]; R];
        for (r, row) in rows.iter().enumerate() {
            let values = &row[step * STEP..row.len().min((step + 1) * STEP)];
            let (scale, sum) = match values.first_chunk() {
                Some(values) => round(values, &mut words[r]),
                None => {
                    let mut padded = [0.0; STEP];
                    padded[..values.len()].copy_from_slice(values);
                    round(&padded, &mut words[r])
                }
            };
            packed[WORDS * R + r] = scale.to_bits();
            packed[(WORDS + 1) * R + r] = (-128 * sum).cast_unsigned();
        }
        for (part, packed) in packed[..WORDS * R].chunks_exact_mut(16 * R).enumerate() {
            interleave::<R>(|r| words[r][part], packed);
        }
    }
}

/// Writes values as signed bytes; gives what a byte of 1 stands for, and the sum of the bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn round(values: &[f32; STEP], words: &mut [__m512i; WORDS / 16]) -> (f32, i32) {
    // SAFETY: there are 16 values from `16 · part` on.
    let load = |part: usize| unsafe { _mm512_loadu_ps(values.as_ptr().add(16 * part)) };
    let (largest, factor) = scale_of(values);
    let mut sums = _mm512_setzero_si512();
    for (part, words) in words.iter_mut().enumerate() {
        let scaled = |quarter| _mm512_mul_ps(load(4 * part + quarter), factor);
        *words = signed_bytes(std::array::from_fn(scaled));
        sums = _mm512_dpbusd_epi32(sums, _mm512_set1_epi8(1), *words);
    }
    (largest / 127.0, _mm512_reduce_add_epi32(sums))
}

/// # Safety
/// There must be as many steps of the `R` rows as of the panel; the tile's places must be readable
/// and writable, and no other task may touch them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn multiply<const R: usize>(rows: &[u32], panel: &[Line], tile: &Tile) {
    let mut steps = rows.chunks_exact(ROW_WORDS * R).zip(panel.chunks_exact(LINES));
    // The first step apart, so that no zeros need to be laid down for it to be added to.
    let mut sums = match steps.next() {
        // SAFETY: both are a step.
        Some((rows, lines)) => unsafe {
            step::<R>(rows, lines, |_, _, product, scale| _mm512_mul_ps(product, scale))
        },
        None => [[_mm512_setzero_ps(); 2]; R],
    };
    for (rows, lines) in steps {
        // SAFETY: both are a step.
        sums = unsafe {
            step::<R>(rows, lines, |r, half, product, scale| {
                _mm512_fmadd_ps(product, scale, sums[r][half])
            })
        };
    }
    // SAFETY: as the caller vouches.
    unsafe { write(&sums, tile) }
}

/// What `add` makes of each row's and half's products and of their scale.
///
/// # Safety
/// There must be a step of `R` rows and one of a panel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn step<const R: usize>(
    rows: &[u32],
    lines: &[Line],
    add: impl Fn(usize, usize, __m512, __m512) -> __m512,
) -> [[__m512; 2]; R] {
    let (row, weights) = (rows.as_ptr(), lines.as_ptr().cast::<__m512i>());
    // SAFETY: a step of the rows has the words 0..WORDS, a scale and what is taken away, `R`
    // of each; one of the panel two lines for each word and two of scales. Lines are aligned.
    unsafe {
        let at = |word: usize, r: usize| *row.add(word * R + r);
        let mut dots: [_; R] =
            std::array::from_fn(|r| [_mm512_set1_epi32(at(WORDS + 1, r).cast_signed()); 2]);
        for (word, pair) in lines.chunks_exact(2).take(WORDS).enumerate() {
            if R > 1 && R < Avx512Int8::ROWS {
                ask_ahead(pair);
            }
            let left = _mm512_load_si512(weights.add(2 * word));
            let right = _mm512_load_si512(weights.add(2 * word + 1));
            for (r, dots) in dots.iter_mut().enumerate() {
                let row = _mm512_set1_epi32(at(word, r).cast_signed());
                dots[0] = _mm512_dpbusd_epi32(dots[0], left, row);
                dots[1] = _mm512_dpbusd_epi32(dots[1], right, row);
            }
        }
        let scales = weights.add(2 * WORDS).cast::<f32>();
        let scales = [_mm512_load_ps(scales), _mm512_load_ps(scales.add(16))];
        std::array::from_fn(|r| {
            let row = _mm512_set1_ps(f32::from_bits(at(WORDS, r)));
            std::array::from_fn(|half| {
                let scale = _mm512_mul_ps(scales[half], row);
                add(r, half, _mm512_cvtepi32_ps(dots[r][half]), scale)
            })
        })
    }
}

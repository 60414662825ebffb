//! Weights of a few bits as bf16, a block of a panel at a time, for products with AMX.

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::amx::Weights;
use super::avx512_blocks::Vectors;
use super::avx512_bytes::scaled;
use super::blocks::ROW_BLOCK;
use super::int8;
use super::pack::Line;

/// Weights in the blocks of `B`.
pub(super) struct WideBlocks<B>(PhantomData<B>);

impl<B: Vectors> Weights for WideBlocks<B> {
    const STEP: usize = B::STEP;
    const LINES: usize = B::LINES;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn widen(lines: &[Line], wide: &mut [Line]) {
        // SAFETY: the caller's promise.
        unsafe { widen_blocks::<B>(lines, wide) }
    }
}

/// Weights of a byte each.
pub(super) struct WideBytes;

impl Weights for WideBytes {
    const STEP: usize = int8::STEP;
    const LINES: usize = int8::LINES;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn widen(lines: &[Line], wide: &mut [Line]) {
        // SAFETY: the caller's promise.
        unsafe { widen_bytes(lines, wide) }
    }
}

/// Writes the bf16 weights of a stored block of each of a panel's outputs.
///
/// # Safety
/// The machine must have what [`super::avx512::detected`] looks for; `lines` must be those of a
/// stored block.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn widen_blocks<B: Vectors>(lines: &[Line], wide: &mut [Line]) {
    let words = B::BLOCK / 4;
    let mut wide = wide.as_chunks_mut::<4>().0.iter_mut();
    for part in 0..B::STEP / ROW_BLOCK {
        for block in 0..ROW_BLOCK / B::BLOCK {
            let index = part * (ROW_BLOCK / B::BLOCK) + block;
            // SAFETY: as the caller vouches; `part` and `block` are within a stored block.
            unsafe {
                let (scales, offsets) = scaled::<B>(lines.as_ptr(), index);
                let lines = lines.as_ptr().add(B::part(part));
                for word in block * words..(block + 1) * words {
                    let quantities = [0, 1].map(|half| B::word(lines, word, half));
                    if let Some(wide) = wide.next() {
                        widen_word(quantities, scales, offsets, wide);
                    }
                }
            }
        }
    }
}

/// Writes the bf16 weights of a step of bytes.
///
/// # Safety
/// As [`widen_blocks`]; `lines` must be those of a step.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn widen_bytes(lines: &[Line], wide: &mut [Line]) {
    // SAFETY: a step has two lines for each word and two of scales; lines are aligned.
    unsafe {
        let at = |line: usize| lines.as_ptr().add(line).cast::<__m512i>();
        let scales = [0, 1].map(|half| _mm512_castsi512_ps(*at(2 * int8::WORDS + half)));
        let offsets = scales.map(|scale| _mm512_mul_ps(scale, _mm512_set1_ps(-128.0)));
        for (word, wide) in wide.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            widen_word([*at(2 * word), *at(2 * word + 1)], scales, offsets, wide);
        }
    }
}

/// Four quantities of each output, `scale · q + offset`, as two lines of pairs for outputs 0..16 and
/// 16..32 each: those of inputs 0 and 1, then of 2 and 3.
#[inline]
#[target_feature(enable = "avx512f")]
fn widen_word(
    words: [__m512i; 2],
    scales: [__m512; 2],
    offsets: [__m512; 2],
    wide: &mut [Line; 4],
) {
    let byte = _mm512_set1_epi32(0xff);
    let value = |half: usize, quantity: __m512i| {
        let quantity = _mm512_cvtepi32_ps(quantity);
        _mm512_castps_si512(_mm512_fmadd_ps(quantity, scales[half], offsets[half]))
    };
    for (half, word) in words.into_iter().enumerate() {
        let first = value(half, _mm512_and_si512(word, byte));
        let second = value(half, _mm512_and_si512(_mm512_srli_epi32::<8>(word), byte));
        let third = value(half, _mm512_and_si512(_mm512_srli_epi32::<16>(word), byte));
        let fourth = value(half, _mm512_srli_epi32::<24>(word));
        // SAFETY: a line is 64 bytes and aligned to them.
        unsafe {
            wide.as_mut_ptr().add(half).cast::<__m512i>().write(pair(first, second));
            wide.as_mut_ptr().add(2 + half).cast::<__m512i>().write(pair(third, fourth));
        }
    }
}

/// The bits of f32 values rounded to bf16, the first of each pair in the low half of a word.
#[inline]
#[target_feature(enable = "avx512f")]
fn pair(first: __m512i, second: __m512i) -> __m512i {
    const LOW_OF_FIRST_HIGH_OF_SECOND: i32 = 0xd8; // mask ? second : first, bit by bit
    let half = _mm512_set1_epi32(0x8000);
    let first = _mm512_srli_epi32::<16>(_mm512_add_epi32(first, half));
    let second = _mm512_add_epi32(second, half);
    let mask = _mm512_set1_epi32(0xffff_0000u32.cast_signed());
    _mm512_ternarylogic_epi32::<LOW_OF_FIRST_HIGH_OF_SECOND>(first, second, mask)
}

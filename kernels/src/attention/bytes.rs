//! Queries and keys as bytes.

#![allow(unsafe_code, reason = "the loops work on registers")]

use super::format::{Format, KeyFormat, Pairs};
use crate::simd::Lanes;

/// Queries and keys rounded to bytes, four a word, each row scaled to ±127 by its largest value;
/// weights and values are in bf16. Keys are unsigned, as dot products of bytes want them: their zero
/// is 128. The ends of a query are its scale and what that zero adds to its products, the end of
/// a key its scale.
///
/// Source: Zhang et al. 2024, "SageAttention", which rounds queries and keys so, and neither
/// weights nor values.
#[derive(Clone, Copy)]
pub(super) struct Bytes;

/// The byte that stands for a key's zero.
const ZERO: u8 = 128;

impl Format for Bytes {
    const VALUES: usize = 4;
    const ENDS: usize = 2;

    #[inline(always)]
    unsafe fn dot<L: Lanes>(a: L, b: L, sum: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { b.dot_bytes(a, sum) }
    }

    #[inline(always)]
    unsafe fn seed<L: Lanes>(left: *const f32) -> L {
        // SAFETY: the caller's promise: the second of the ends.
        unsafe { L::splat(*left.add(1)) }
    }

    #[inline(always)]
    unsafe fn scaled<L: Lanes>(sum: L, left: *const f32, right: *const f32) -> L {
        // SAFETY: the caller's promise: the first of the ends, and those of a register's columns.
        unsafe { sum.integers_to_values().mul(L::splat(*left)).mul(L::load(right)) }
    }
}

impl KeyFormat for Bytes {
    type Values = Pairs;

    #[inline(always)]
    fn query(row: &[f32], scale: f32, to: &mut [f32]) {
        let (words, ends) = to.split_at_mut(Self::words(row.len()));
        let (step, sum) = round(row, 0, words);
        ends.copy_from_slice(&[step * scale, word((-i32::from(ZERO) * sum).to_ne_bytes())]);
    }

    #[inline(always)]
    fn key(row: &[f32], to: &mut [f32]) {
        let (words, ends) = to.split_at_mut(Self::words(row.len()));
        let (step, _) = round(row, ZERO, words);
        ends.copy_from_slice(&[step, 0.0]);
    }
}

/// Four bytes, the first the lowest, as the bits of a value.
#[inline(always)]
fn word(bytes: [u8; 4]) -> f32 {
    f32::from_bits(u32::from_le_bytes(bytes))
}

/// Writes values as signed bytes, of which some bits are `flipped`; returns what a byte of 1 stands
/// for, NaN where a value is NaN or infinite, and the sum of the bytes.
#[inline(always)]
fn round(values: &[f32], flipped: u8, words: &mut [f32]) -> (f32, i32) {
    // Adding it leaves the nearest whole number in the lowest bits, of two the even one.
    const WHOLE: f32 = 12_582_912.0; // 1.5 · 2²³
    let (chunks, rest) = values.as_chunks::<16>();
    let mut largest = [0.0f32; 16];
    let mut see = |values: &[f32]| {
        for (largest, value) in largest.iter_mut().zip(values) {
            let size = value.abs();
            *largest = if size > *largest { size } else { *largest };
        }
    };
    chunks.iter().for_each(|values| see(values));
    see(rest);
    let largest = largest.into_iter().fold(0.0, f32::max);
    // Of numbers so small that 127 of them have no whole, nothing is left.
    let factor = if largest > 127.0 / f32::MAX { 127.0 / largest } else { 0.0 };
    let mut sum = 0;
    let mut odd = false;
    for (values, words) in values.chunks(16).zip(words.chunks_mut(4)) {
        let mut bytes = [0u8; 16];
        for (byte, value) in bytes.iter_mut().zip(values) {
            *byte = (value * factor + WHOLE).to_bits() as u8;
            sum += i32::from(byte.cast_signed());
            odd |= !value.is_finite();
        }
        for (to, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *to = word(bytes.map(|byte| byte ^ flipped));
        }
    }
    (if odd { f32::NAN } else { largest / 127.0 }, sum)
}

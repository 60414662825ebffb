//! Queries and keys as bytes.

#![allow(unsafe_code, reason = "the loops work on registers")]

use super::format::{Format, KeyFormat, ValueFormat};
use crate::simd::{Lanes, MOST_LANES};
use std::marker::PhantomData;

/// Queries and keys rounded to bytes, four a word, each row scaled to ±127 by its largest value;
/// weights and values are kept as `V`. Keys are unsigned, as dot products of bytes want them: their zero
/// is 128. The ends of a query are its scale and what that zero adds to its products, the end of
/// a key its scale.
///
/// Source: Zhang et al. 2024, "SageAttention", which rounds queries and keys so, and neither
/// weights nor values.
#[derive(Clone, Copy)]
pub(super) struct Bytes<V>(PhantomData<V>);

/// The byte that stands for a key's zero.
const ZERO: u8 = 128;

impl<V: ValueFormat> Format for Bytes<V> {
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

impl<V: ValueFormat> KeyFormat for Bytes<V> {
    type Values = V;

    #[inline(always)]
    unsafe fn query<L: Lanes>(row: &[f32], scale: f32, to: &mut [f32]) {
        let (words, ends) = to.split_at_mut(Self::words(row.len()));
        // SAFETY: the caller's promise.
        let (step, sum) = unsafe { round::<L>(row, false, words) };
        let of_zero = f32::from_bits((-i32::from(ZERO) * sum as i32).cast_unsigned());
        ends.copy_from_slice(&[step * scale, of_zero]);
    }

    #[inline(always)]
    unsafe fn key<L: Lanes>(row: &[f32], to: &mut [f32]) {
        let (words, ends) = to.split_at_mut(Self::words(row.len()));
        // SAFETY: the caller's promise.
        let (step, _) = unsafe { round::<L>(row, true, words) };
        ends.copy_from_slice(&[step, 0.0]);
    }
}

/// Writes values as bytes, as [`Lanes::bytes`] gives them; returns what a byte of 1 stands for, NaN
/// where a value is NaN or infinite, and the sum of the bytes where they are signed.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn round<L: Lanes>(values: &[f32], unsigned: bool, words: &mut [f32]) -> (f32, f32) {
    // SAFETY: the caller's promise; four registers are loaded where there are so many values, and
    // the widest register's words are room for any's.
    unsafe {
        let (mut largest, mut odd, mut sums) = (L::splat(0.0), L::splat(0.0), L::splat(0.0));
        for values in values.chunks(4 * L::COUNT) {
            for value in registers::<L>(values) {
                largest = largest.max(value.max(L::splat(0.0).sub(value)));
                odd = odd.add(value.sub(value)); // NaN but for numbers
            }
        }
        let largest = largest.largest();
        // Of numbers so small that 127 of them have no whole, nothing is left.
        let factor = if largest > 127.0 / f32::MAX { 127.0 / largest } else { 0.0 };
        let ones = L::splat(f32::from_bits(0x0101_0101));
        for (values, to) in values.chunks(4 * L::COUNT).zip(words.chunks_mut(L::COUNT)) {
            let scaled = registers::<L>(values).map(|value| value.mul(L::splat(factor)));
            let bytes = L::bytes(scaled, unsigned);
            sums = ones.dot_bytes(bytes, sums);
            match to.len() == L::COUNT {
                true => bytes.store(to.as_mut_ptr()),
                false => to.copy_from_slice(&bytes.to_array()[..to.len()]),
            }
        }
        (largest / 127.0 + odd.sum(), sums.integers_to_values().sum())
    }
}

/// Four registers of values, with zeros where there are fewer.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn registers<L: Lanes>(values: &[f32]) -> [L; 4] {
    // SAFETY: the caller's promise, and there are four registers of values, or room for them.
    unsafe {
        let load = |from: *const f32| std::array::from_fn(|i| L::load(from.add(i * L::COUNT)));
        if values.len() == 4 * L::COUNT {
            return load(values.as_ptr());
        }
        let mut filled = [0.0; 4 * MOST_LANES];
        filled[..values.len()].copy_from_slice(values);
        load(filled.as_ptr())
    }
}

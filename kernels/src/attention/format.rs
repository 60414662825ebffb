//! How the operands of attention's products are kept.

#![allow(unsafe_code, reason = "the loops work on registers")]

use crate::simd::{Lanes, bf16_pair};

/// Operands in words of 32 bits, kept as values of f32 are. A word holds one or two values, which
/// are neighbours along what a product sums over.
pub(super) trait Format: Copy + Send + Sync + 'static {
    /// Values of a word.
    const VALUES: usize;

    /// The word of a value and, where words hold two, its neighbour.
    fn word(first: f32, second: f32) -> f32;

    /// `sum` and the products of what the words of each lane hold. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn dot<L: Lanes>(a: L, b: L, sum: L) -> L;

    /// Writes the words of [`Self::VALUES`] registers, whose values follow one another. Must be
    /// `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn store<L: Lanes>(values: [L; 2], to: *mut f32);

    /// Writes the words of a row whose values, times `scale`, are summed over.
    #[inline(always)]
    fn along(row: &[f32], scale: f32, to: &mut [f32]) {
        let whole = row.chunks_exact(Self::VALUES);
        if let (Some(last), [rest]) = (to.last_mut(), whole.remainder()) {
            *last = Self::word(rest * scale, 0.0);
        }
        for (to, values) in to.iter_mut().zip(whole) {
            *to = Self::word(values[0] * scale, values[Self::VALUES - 1] * scale);
        }
    }

    /// Writes the words of rows that are neighbours, of which there is a second where words hold
    /// two values.
    #[inline(always)]
    fn across(row: &[f32], next: &[f32], to: &mut [f32]) {
        for ((to, value), next) in to.iter_mut().zip(row).zip(next) {
            *to = Self::word(*value, *next);
        }
    }
}

/// f32, a value a word.
#[derive(Clone, Copy)]
pub(super) struct Single;

impl Format for Single {
    const VALUES: usize = 1;

    #[inline(always)]
    fn word(first: f32, _: f32) -> f32 {
        first
    }

    #[inline(always)]
    unsafe fn dot<L: Lanes>(a: L, b: L, sum: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { a.mul_add(b, sum) }
    }

    #[inline(always)]
    unsafe fn store<L: Lanes>(values: [L; 2], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values[0].store(to) }
    }
}

/// Values rounded to bf16, two a word.
#[derive(Clone, Copy)]
pub(super) struct Pairs;

impl Format for Pairs {
    const VALUES: usize = 2;

    #[inline(always)]
    fn word(first: f32, second: f32) -> f32 {
        bf16_pair(first, second)
    }

    #[inline(always)]
    unsafe fn dot<L: Lanes>(a: L, b: L, sum: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { a.dot_pairs(b, sum) }
    }

    #[inline(always)]
    unsafe fn store<L: Lanes>(values: [L; 2], to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values[0].pairs(values[1]).store(to) }
    }
}

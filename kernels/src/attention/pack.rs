//! Keys and values laid out as the products read them.

#![allow(unsafe_code, reason = "the loops are compiled for the registers at hand")]

use super::blocked::Problem;
use super::format::{Format, KeyFormat, ValueFormat};
use crate::buffer::Buffer;
use crate::simd::{Lanes, Task};
use std::marker::PhantomData;

/// Words of a packed block: keys as `(panels, words of a row, panel)`, then values as
/// `(words of the block's keys, padded d)`.
pub(super) struct BlockSize<'a, F>(pub(super) &'a Problem<'a>, pub(super) PhantomData<F>);

impl<F: KeyFormat> Task for BlockSize<'_, F> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> usize {
        block_words::<L, F>(self.0)
    }
}

/// See [`BlockSize`].
#[inline(always)]
pub(super) fn block_words<L: Lanes, F: KeyFormat>(problem: &Problem<'_>) -> usize {
    let keys = F::Values::BLOCK;
    keys * problem.row_words::<F>() + F::Values::words(keys) * problem.padded_d::<L, F>()
}

/// Lays a block of keys and values of one head out.
pub(super) struct Pack<'a, F> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) kv_head: usize,
    pub(super) block: usize,
    pub(super) to: &'a mut [f32],
    pub(super) format: PhantomData<F>,
}

impl<F: KeyFormat> Task for Pack<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        let Problem { keys, .. } = *self.problem;
        let words = self.problem.row_words::<F>();
        let block = F::Values::BLOCK;
        let first = self.block * block;
        let count = block.min(keys - first);
        let (to_keys, to_values) = std::mem::take(&mut self.to).split_at_mut(block * words);
        // SAFETY: the caller's promise.
        unsafe {
            self.pack_keys::<L>(first, count, to_keys);
            self.pack_values::<L>(first, count, to_values);
        }
    }
}

impl<F: KeyFormat> Pack<'_, F> {
    /// Keys in panels; those that fill the last panel up are zeros.
    #[inline(always)]
    unsafe fn pack_keys<L: Lanes>(&self, first: usize, count: usize, to: &mut [f32]) {
        let Problem { k, d, .. } = *self.problem;
        let panel = L::COUNT * L::PANEL;
        let words = self.problem.row_words::<F>();
        let (mut row, mut room) = (Buffer::take(words), Buffer::take(d));
        for (key, panel_start) in (0..count.next_multiple_of(panel)).map(|key| (key, key / panel)) {
            match key < count {
                // SAFETY: the caller's promise.
                true => unsafe {
                    F::key::<L>(k.row::<L>(self.kv_head, first + key, &mut room), &mut row);
                },
                false => row.fill(0.0),
            }
            let to = &mut to[panel_start * panel * words..];
            for (word, value) in row.iter().enumerate() {
                to[word * panel + key % panel] = *value;
            }
        }
    }

    #[inline(always)]
    unsafe fn pack_values<L: Lanes>(&self, first: usize, count: usize, to: &mut [f32]) {
        let Problem { v, d, .. } = *self.problem;
        let padded_d = self.problem.padded_d::<L, F>();
        let mut rooms = [Buffer::take(d), Buffer::take(d)];
        let zeros = Buffer::zeros(d);
        let rows = to.chunks_exact_mut(padded_d).take(F::Values::words(count));
        for (word, to) in rows.enumerate() {
            let key = word * F::Values::VALUES;
            let [one, next] = &mut rooms;
            let [one, next] =
                [(key, one), (key + F::Values::VALUES - 1, next)].map(|(key, room)| {
                    match key < count {
                        // SAFETY: the caller's promise.
                        true => unsafe { v.row::<L>(self.kv_head, first + key, room) },
                        false => &zeros,
                    }
                });
            // SAFETY: the caller's promise.
            unsafe { F::Values::across::<L>(one, next, &mut to[..d]) };
            to[d..].fill(0.0);
        }
    }
}

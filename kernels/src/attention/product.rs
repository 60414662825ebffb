//! Small matrix products out of buffers that fit the cache.

#![allow(unsafe_code, reason = "the inner loops work on raw buffers")]

use super::format::Format;
use crate::simd::Lanes;

/// Rows of a tile; with [`Lanes::PANEL`] registers in each they fill the register file.
pub(super) const TILE_ROWS: usize = 6;

/// A matrix product of `rows × depth` by `depth × registers · COUNT`, the depth in words.
pub(super) struct Product {
    /// Rows of the left side and of the result; buffers have [`padded`] rows.
    pub(super) rows: usize,
    /// Columns of the left side, rows of the right; behind them are [`Format::ENDS`] more.
    pub(super) depth: usize,
    /// Registers that a row of the right side and of the result takes; at most [`Lanes::PANEL`].
    pub(super) registers: usize,
    /// Values from one row to the next of the left side, the right side and the result.
    pub(super) strides: [usize; 3],
    /// Whether the result adds to what is there.
    pub(super) adds: bool,
}

/// Rows that buffers must have for `rows` rows: tiles run over the last one by at most one.
pub(super) fn padded(rows: usize) -> usize {
    rows + 1
}

impl Product {
    /// Multiplies.
    ///
    /// # Safety
    /// The processor must have the instructions of `L`; `left` and `result` must have
    /// [`padded`]`(rows)` rows and `right` `depth` rows and the ends behind them.
    #[inline(always)]
    pub(super) unsafe fn run<L: Lanes, F: Format>(
        &self,
        left: *const f32,
        right: *const f32,
        result: *mut f32,
    ) {
        // SAFETY: the caller's promise.
        if unsafe { F::multiply(self, left, right, result) } {
            return;
        }
        let mut row = 0;
        while row < self.rows {
            // SAFETY: the caller's promise; no tile takes more rows than are padded.
            unsafe {
                let left = left.add(row * self.strides[0]);
                let result = result.add(row * self.strides[2]);
                row += match self.rows - row {
                    1 | 2 => self.rows_of::<L, F, 2>(left, right, result),
                    3 | 4 => self.rows_of::<L, F, 4>(left, right, result),
                    _ => self.rows_of::<L, F, TILE_ROWS>(left, right, result),
                };
            }
        }
    }

    /// One tile of `R` rows; returns how many that are.
    #[inline(always)]
    unsafe fn rows_of<L: Lanes, F: Format, const R: usize>(
        &self,
        left: *const f32,
        right: *const f32,
        result: *mut f32,
    ) -> usize {
        // SAFETY: the caller's promise.
        unsafe {
            match self.registers {
                1 => self.tile::<L, F, R, 1>(left, right, result),
                2 if L::PANEL >= 2 => self.tile::<L, F, R, 2>(left, right, result),
                3 if L::PANEL >= 3 => self.tile::<L, F, R, 3>(left, right, result),
                _ if L::PANEL >= 4 => self.tile::<L, F, R, 4>(left, right, result),
                _ => {}
            }
        }
        R
    }

    #[inline(always)]
    unsafe fn tile<L: Lanes, F: Format, const R: usize, const C: usize>(
        &self,
        left: *const f32,
        mut right: *const f32,
        result: *mut f32,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let left_end = |r: usize| left.add(r * self.strides[0] + self.depth);
            let mut sums: [[L; C]; R] = std::array::from_fn(|r| [F::seed(left_end(r)); C]);
            for k in 0..self.depth {
                let mut columns = [L::splat(0.0); C];
                for (c, column) in columns.iter_mut().enumerate() {
                    *column = L::load(right.add(c * L::COUNT));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let value = L::splat(*left.add(r * self.strides[0] + k));
                    for (sum, column) in sums.iter_mut().zip(&columns) {
                        *sum = F::dot(value, *column, *sum);
                    }
                }
                right = right.wrapping_add(self.strides[1]); // past the last row in the end
            }
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    let sum = F::scaled(*sum, left_end(r), right.wrapping_add(c * L::COUNT));
                    let to = result.add(r * self.strides[2] + c * L::COUNT);
                    if self.adds { sum.add(L::load(to)).store(to) } else { sum.store(to) }
                }
            }
        }
    }
}

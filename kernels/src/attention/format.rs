//! How the operands of attention's products are kept.

#![allow(unsafe_code, reason = "the loops work on registers")]

use super::product::Product;
use crate::simd::{Lanes, bf16_pair};
#[cfg(target_arch = "x86_64")]
use crate::tiles;

/// Operands of a product in words of 32 bits, kept as values of f32 are. A word holds one, two or
/// four values, which are neighbours along what the product sums over.
pub(super) trait Format: Copy + Send + Sync + 'static {
    /// Values of a word.
    const VALUES: usize;
    /// Words that a product sums over together: rows are filled up with zeros to whole ones of them.
    const STEP: usize = 1;
    /// Words after those that are summed over, with which [`Format::seed`] and [`Format::scaled`]
    /// make f32 of the sums.
    const ENDS: usize = 0;
    /// Registers that a product's columns come in.
    const REGISTERS: usize = 1;

    /// Words of so many values, without the ends.
    fn words(values: usize) -> usize {
        values.div_ceil(Self::VALUES).next_multiple_of(Self::STEP)
    }

    /// `sum` and the products of what the words of each lane hold: of the left side in `a`, of the
    /// right in `b`. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn dot<L: Lanes>(a: L, b: L, sum: L) -> L;

    /// What sums begin with, beside a row of the left side whose ends are at `left`.
    ///
    /// # Safety
    /// As for all of [`Lanes`]; the row must have its ends.
    #[inline(always)]
    unsafe fn seed<L: Lanes>(_left: *const f32) -> L {
        // SAFETY: the caller's promise.
        unsafe { L::splat(0.0) }
    }

    /// The sums in f32; `left` as for [`Format::seed`], the first ends of the right side's columns
    /// at `right`.
    ///
    /// # Safety
    /// As for all of [`Lanes`]; row and columns must have their ends.
    #[inline(always)]
    unsafe fn scaled<L: Lanes>(sum: L, _left: *const f32, _right: *const f32) -> L {
        sum
    }

    /// Multiplies where products are not made of [`Self::dot`]; says whether it has.
    ///
    /// # Safety
    /// As [`Product::run`].
    #[inline(always)]
    unsafe fn multiply(
        _product: &Product,
        _left: *const f32,
        _right: *const f32,
        _result: *mut f32,
    ) -> bool {
        false
    }

    /// Ends a thread's products of one task.
    #[inline(always)]
    fn finish() {}
}

/// How queries and keys are kept.
pub(super) trait KeyFormat: Format {
    /// How weights and values are kept beside them.
    type Values: ValueFormat;
    /// Whether words are values of f32.
    const IS_F32: bool = false;

    /// Writes the words of a query times `scale`, and its ends. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn query<L: Lanes>(row: &[f32], scale: f32, to: &mut [f32]);

    /// Writes the words of a key, and its ends. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    #[inline(always)]
    unsafe fn key<L: Lanes>(row: &[f32], to: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { Self::query::<L>(row, 1.0, to) }
    }
}

/// How the softmax's weights and the values are kept, of which a word holds one or two.
pub(super) trait ValueFormat: Format {
    /// Keys of a block: with their values they fit the first and second level of cache.
    const BLOCK: usize;

    /// The word of a value and, where words hold two, its neighbour.
    fn word(first: f32, second: f32) -> f32;

    /// 2^x as near as what words keep of it. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn exp2<L: Lanes>(exponent: L) -> L;

    /// The words of [`Format::VALUES`] registers, whose values follow one another. Must be
    /// `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn words_along<L: Lanes>(values: [L; 2]) -> L;

    /// The words of two registers of neighbouring rows, as [`Self::word`] makes one of two values.
    /// Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn words_across<L: Lanes>(first: L, second: L) -> L;

    /// Writes the words of a row whose values, times `scale`, are summed over.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    #[inline(always)]
    unsafe fn along<L: Lanes>(row: &[f32], scale: f32, to: &mut [f32]) {
        let (to, rest) = to.split_at_mut(row.len().div_ceil(Self::VALUES));
        rest.fill(0.0);
        let stored = L::COUNT * Self::VALUES;
        let whole = row.len() / stored * stored;
        for (to, values) in to.chunks_exact_mut(L::COUNT).zip(row.chunks_exact(stored)) {
            // SAFETY: the caller's promise; there are as many values as are stored together.
            unsafe {
                let scaled = |first| L::load(values.as_ptr().add(first)).mul(L::splat(scale));
                let words = Self::words_along([scaled(0), scaled(stored - L::COUNT)]);
                words.store(to.as_mut_ptr());
            }
        }
        let rest = row[whole..].chunks(Self::VALUES);
        for (to, values) in to[whole / Self::VALUES..].iter_mut().zip(rest) {
            let second = if values.len() == Self::VALUES { values[Self::VALUES - 1] } else { 0.0 };
            *to = Self::word(values[0] * scale, second * scale);
        }
    }

    /// Writes the words of rows that are neighbours, of which there is a second where words hold
    /// two values.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    #[inline(always)]
    unsafe fn across<L: Lanes>(row: &[f32], next: &[f32], to: &mut [f32]) {
        let whole = row.len() / L::COUNT * L::COUNT;
        let rows = row.chunks_exact(L::COUNT).zip(next.chunks_exact(L::COUNT));
        for (to, (row, next)) in to.chunks_exact_mut(L::COUNT).zip(rows) {
            // SAFETY: the caller's promise; there are as many values as a register has.
            unsafe {
                let words = Self::words_across(L::load(row.as_ptr()), L::load(next.as_ptr()));
                words.store(to.as_mut_ptr());
            }
        }
        for ((to, value), next) in to[whole..].iter_mut().zip(&row[whole..]).zip(&next[whole..]) {
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
    unsafe fn dot<L: Lanes>(a: L, b: L, sum: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { a.mul_add(b, sum) }
    }
}

impl KeyFormat for Single {
    type Values = Self;
    const IS_F32: bool = true;

    #[inline(always)]
    unsafe fn query<L: Lanes>(row: &[f32], scale: f32, to: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { Self::along::<L>(row, scale, to) }
    }
}

impl ValueFormat for Single {
    const BLOCK: usize = 128;

    #[inline(always)]
    fn word(first: f32, _: f32) -> f32 {
        first
    }

    #[inline(always)]
    unsafe fn exp2<L: Lanes>(exponent: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { exponent.exp2() }
    }

    #[inline(always)]
    unsafe fn words_along<L: Lanes>(values: [L; 2]) -> L {
        values[0]
    }

    #[inline(always)]
    unsafe fn words_across<L: Lanes>(first: L, _: L) -> L {
        first
    }
}

/// Values rounded to bf16, two a word.
#[derive(Clone, Copy)]
pub(super) struct Pairs;

impl Format for Pairs {
    const VALUES: usize = 2;

    #[inline(always)]
    unsafe fn dot<L: Lanes>(a: L, b: L, sum: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { a.dot_pairs(b, sum) }
    }
}

impl KeyFormat for Pairs {
    type Values = Self;

    #[inline(always)]
    unsafe fn query<L: Lanes>(row: &[f32], scale: f32, to: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { Self::along::<L>(row, scale, to) }
    }
}

impl ValueFormat for Pairs {
    const BLOCK: usize = 256;

    #[inline(always)]
    fn word(first: f32, second: f32) -> f32 {
        bf16_pair(first, second)
    }

    #[inline(always)]
    unsafe fn exp2<L: Lanes>(exponent: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { exponent.coarse_exp2() }
    }

    #[inline(always)]
    unsafe fn words_along<L: Lanes>(values: [L; 2]) -> L {
        // SAFETY: the caller's promise.
        unsafe { values[0].pairs(values[1]) }
    }

    #[inline(always)]
    unsafe fn words_across<L: Lanes>(first: L, second: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { first.pairs_across(second) }
    }
}

/// Values rounded to bf16, two a word, which AMX multiplies. Used only where its tiles were detected.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Tiled;

#[cfg(target_arch = "x86_64")]
impl Format for Tiled {
    const VALUES: usize = 2;
    const STEP: usize = tiles::WORDS;
    const REGISTERS: usize = 2;

    #[inline(always)]
    unsafe fn dot<L: Lanes>(a: L, b: L, sum: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { Pairs::dot(a, b, sum) }
    }

    #[inline(always)]
    unsafe fn multiply(
        product: &Product,
        left: *const f32,
        right: *const f32,
        result: *mut f32,
    ) -> bool {
        const ZEROS: &[f32] = &[0.0; tiles::COLUMNS];
        let [left_stride, right_stride, out_stride] = product.strides;
        for row in (0..product.rows).step_by(tiles::ROWS) {
            for column in (0..product.registers * 16).step_by(tiles::COLUMNS) {
                // SAFETY: rows and columns are those of the caller's promise; registers are even
                // in number, and the depth is whole steps, by this format's own constants. Tiles
                // were detected where the format is used.
                unsafe {
                    let out = result.add(row * out_stride + column);
                    let (seed, seed_stride) = match product.adds {
                        true => (out.cast_const(), out_stride),
                        false => (ZEROS.as_ptr(), 0),
                    };
                    tiles::Product {
                        seed,
                        seed_stride,
                        out,
                        out_stride,
                        left: left.add(row * left_stride).cast(),
                        left_stride,
                        left_step: tiles::WORDS,
                        right: right.add(column).cast(),
                        right_stride,
                        steps: product.depth / tiles::WORDS,
                    }
                    .run((product.rows - row).min(tiles::ROWS));
                }
            }
        }
        true
    }

    fn finish() {
        // SAFETY: tiles were detected where the format is used.
        unsafe { tiles::release() };
    }
}

#[cfg(target_arch = "x86_64")]
impl KeyFormat for Tiled {
    type Values = Self;

    #[inline(always)]
    unsafe fn query<L: Lanes>(row: &[f32], scale: f32, to: &mut [f32]) {
        // SAFETY: the caller's promise.
        unsafe { Self::along::<L>(row, scale, to) }
    }
}

#[cfg(target_arch = "x86_64")]
impl ValueFormat for Tiled {
    const BLOCK: usize = Pairs::BLOCK;

    #[inline(always)]
    fn word(first: f32, second: f32) -> f32 {
        Pairs::word(first, second)
    }

    #[inline(always)]
    unsafe fn exp2<L: Lanes>(exponent: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { Pairs::exp2(exponent) }
    }

    #[inline(always)]
    unsafe fn words_along<L: Lanes>(values: [L; 2]) -> L {
        // SAFETY: the caller's promise.
        unsafe { Pairs::words_along(values) }
    }

    #[inline(always)]
    unsafe fn words_across<L: Lanes>(first: L, second: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { Pairs::words_across(first, second) }
    }
}

//! Vector registers of f32 behind one interface, chosen when the program runs.
//!
//! A piece of work implements [`Task`] once, over any [`Lanes`]; [`run`] calls it with the widest
//! registers that the processor has. All of it must be `#[inline(always)]`: only what ends up inside
//! the function that has the processor's features is compiled to its instructions.

#![allow(unsafe_code, reason = "instructions of one processor are used after asking for it")]

mod level;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use half::f16;
pub(crate) use level::Level;
#[cfg(target_arch = "x86_64")]
pub(crate) use level::has_slow_pairs;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::signed_bytes;

/// Minimax coefficients of 2^f for f in -0.5..=0.5, lowest power first; the relative error of the
/// polynomial, rounding included, is below 1e-7.
const EXP2: [f32; 7] = [
    1.0,
    std::f32::consts::LN_2,
    0.240_226_46,
    0.055_503_286,
    0.009_618_489,
    0.001_339_993_1,
    0.000_153_458_11,
];

/// The same for results that are rounded to bf16: the relative error is below 1.1e-4, a twentieth of
/// what that rounding may take away, and 2^0 is 1.
const COARSE_EXP2: [f32; 4] = [1.0, 0.693_282_9, 0.242_210_97, 0.055_008_933];

/// log2(e).
pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// A register of f32 values.
///
/// # Safety
/// All methods need a processor with the implementor's instructions, which [`run`] sees to; those
/// that take a pointer need [`Self::COUNT`] values there.
pub(crate) trait Lanes: Copy + 'static {
    /// Values in a register.
    const COUNT: usize;
    /// Registers side by side in a tile of a matrix product; with six rows of them, and their
    /// operands, they fill the register file.
    const PANEL: usize;

    /// The same value in all lanes.
    unsafe fn splat(value: f32) -> Self;
    /// Reads [`Self::COUNT`] values.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes [`Self::COUNT`] values.
    unsafe fn store(self, to: *mut f32);

    /// Reads [`Self::COUNT`] values of f16.
    #[inline(always)]
    unsafe fn load_halves(from: *const f16) -> Self {
        // SAFETY: the caller's promise; the array has room for the widest register.
        unsafe {
            let mut values = [0.0; MOST_LANES];
            for (i, value) in values.iter_mut().take(Self::COUNT).enumerate() {
                *value = value_of(from.add(i).read_unaligned());
            }
            Self::load(values.as_ptr())
        }
    }

    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self − other`.
    unsafe fn sub(self, other: Self) -> Self;
    /// `self · other`.
    unsafe fn mul(self, other: Self) -> Self;
    /// `self / other`.
    unsafe fn div(self, other: Self) -> Self;
    /// The larger of the two.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller of the two.
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = Self::splat(0.0);
            zero.sub(zero.sub(self).max(zero.sub(other)))
        }
    }

    /// `self · factor + summand`.
    unsafe fn mul_add(self, factor: Self, summand: Self) -> Self;
    /// The nearest whole number, ties to even.
    unsafe fn round(self) -> Self;
    /// `self · 2^exponent` for whole exponents of at least -126; 0 where the exponent is less.
    unsafe fn scale(self, exponent: Self) -> Self;

    /// 2^x for x of at most 127, with a relative error below 1e-7; 0 below -126.
    #[inline(always)]
    unsafe fn exp2(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let exponent = self.max(Self::splat(-200.0)); // what is below becomes 0 all the same
            let whole = exponent.round();
            let rest = exponent.sub(whole);
            let mut sum = Self::splat(EXP2[6]);
            for power in (0..6).rev() {
                sum = sum.mul_add(rest, Self::splat(EXP2[power]));
            }
            sum.scale(whole)
        }
    }

    /// 2^x for x of at most 127, with a relative error below 1.1e-4, for results that are rounded to
    /// bf16; below -126 nothing that is more than 2^-126.
    #[inline(always)]
    unsafe fn coarse_exp2(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.exp2() }
    }

    /// The values of `self`, then those of `next`, rounded to bf16, two neighbours in the bits of
    /// each lane, the first in the low half.
    #[inline(always)]
    unsafe fn pairs(self, next: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { pairs_one_by_one(self, next) }
    }

    /// The values of `self` and `next` rounded to bf16, those of one lane in its bits, the first in
    /// the low half.
    #[inline(always)]
    unsafe fn pairs_across(self, next: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { pairs_across_one_by_one(self, next) }
    }

    /// The values of four registers, one after the other, rounded to whole numbers, ties to even, as
    /// bytes, four neighbours in the bits of each lane, the first the lowest; the highest bit of each
    /// byte is turned where `unsigned`, which adds 128. Values must lie within ±127.
    #[inline(always)]
    unsafe fn bytes(values: [Self; 4], unsigned: bool) -> Self {
        // SAFETY: the caller's promise.
        unsafe { bytes_one_by_one(values, unsigned) }
    }

    /// `sum` and the products of both halves of the [`Self::pairs`] in `self` and `other`.
    #[inline(always)]
    unsafe fn dot_pairs(self, other: Self, sum: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { dot_pairs_one_by_one(self, other, sum) }
    }

    /// `sum`, an integer of 32 bits in each lane, and the products of the lane's four unsigned bytes
    /// with the four signed ones of `other`.
    #[inline(always)]
    unsafe fn dot_bytes(self, other: Self, sum: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { dot_bytes_one_by_one(self, other, sum) }
    }

    /// The values of the integers of 32 bits that the lanes hold.
    #[inline(always)]
    unsafe fn integers_to_values(self) -> Self {
        // SAFETY: the caller's promise; the array has room for the widest register.
        unsafe {
            let lanes = self.to_array().map(|lane| lane.to_bits().cast_signed() as f32);
            Self::load(lanes.as_ptr())
        }
    }

    /// The sum of all lanes.
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: the caller's promise; `lanes` has room for the widest register.
        let lanes = unsafe { self.to_array() };
        lanes[..Self::COUNT].iter().sum()
    }

    /// The sum of all lanes of each.
    #[inline(always)]
    unsafe fn sums(registers: [Self; 4]) -> [f32; 4] {
        // SAFETY: the caller's promise.
        registers.map(|register| unsafe { register.sum() })
    }

    /// The largest lane.
    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        // SAFETY: the caller's promise; `lanes` has room for the widest register.
        let lanes = unsafe { self.to_array() };
        lanes[..Self::COUNT].iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }

    /// The lanes, and zeros after them.
    #[inline(always)]
    unsafe fn to_array(self) -> [f32; MOST_LANES] {
        const { assert!(Self::COUNT <= MOST_LANES) };
        let mut lanes = [0.0; MOST_LANES];
        // SAFETY: the caller's promise; `lanes` has room for the widest register.
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }
}

/// The value of an f16, without branches, so that loops of it become vector instructions.
#[inline(always)]
fn value_of(half: f16) -> f32 {
    // What the exponents of the two types differ by, as a factor: it makes subnormals right too.
    const RAISED: f32 = f32::from_bits((127 + 127 - 15) << 23);
    let bits = u32::from(half.to_bits());
    let size = f32::from_bits((bits & 0x7fff) << 13) * RAISED;
    let odd = if bits & 0x7c00 == 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(size.to_bits() | odd | (bits & 0x8000) << 16)
}

/// [`Lanes::pairs`] without an instruction for it.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn pairs_one_by_one<L: Lanes>(low: L, high: L) -> L {
    // SAFETY: the caller's promise; the array has room for the widest register.
    unsafe {
        let values = [low.to_array(), high.to_array()];
        let value = |i: usize| values[i / L::COUNT][i % L::COUNT];
        let mut pairs = [0.0; MOST_LANES];
        for (i, pair) in pairs.iter_mut().take(L::COUNT).enumerate() {
            *pair = bf16_pair(value(2 * i), value(2 * i + 1));
        }
        L::load(pairs.as_ptr())
    }
}

/// [`Lanes::pairs_across`] without an instruction for it.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn pairs_across_one_by_one<L: Lanes>(low: L, high: L) -> L {
    // SAFETY: the caller's promise; the array has room for the widest register.
    unsafe {
        let (mut pairs, high) = (low.to_array(), high.to_array());
        for (pair, high) in pairs.iter_mut().zip(high) {
            *pair = bf16_pair(*pair, high);
        }
        L::load(pairs.as_ptr())
    }
}

/// [`Lanes::bytes`] without instructions for it.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn bytes_one_by_one<L: Lanes>(values: [L; 4], unsigned: bool) -> L {
    let flipped = if unsigned { 0x80 } else { 0 };
    // SAFETY: the caller's promise; the array has room for the widest register.
    unsafe {
        let values = values.map(|register| register.round().to_array());
        let byte = |i: usize| (values[i / L::COUNT][i % L::COUNT] as i8).cast_unsigned() ^ flipped;
        let mut words = [0.0; MOST_LANES];
        for (i, word) in words.iter_mut().take(L::COUNT).enumerate() {
            let bytes = std::array::from_fn(|part| byte(4 * i + part));
            *word = f32::from_bits(u32::from_le_bytes(bytes));
        }
        L::load(words.as_ptr())
    }
}

/// [`Lanes::dot_pairs`] without an instruction for it.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn dot_pairs_one_by_one<L: Lanes>(a: L, b: L, sum: L) -> L {
    let halves = |pair: f32| [pair.to_bits() << 16, pair.to_bits() & !0xffff].map(f32::from_bits);
    // SAFETY: the caller's promise; the array has room for the widest register.
    unsafe {
        let (a, b, mut sums) = (a.to_array(), b.to_array(), sum.to_array());
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            let ([a, next_a], [b, next_b]) = (halves(a), halves(b));
            *sum += a * b + next_a * next_b;
        }
        L::load(sums.as_ptr())
    }
}

/// [`Lanes::dot_bytes`] without an instruction for it.
///
/// # Safety
/// As for all of [`Lanes`].
#[inline(always)]
unsafe fn dot_bytes_one_by_one<L: Lanes>(unsigned: L, signed: L, sum: L) -> L {
    // SAFETY: the caller's promise; the array has room for the widest register.
    unsafe {
        let (unsigned, signed, mut sums) = (unsigned.to_array(), signed.to_array(), sum.to_array());
        for ((sum, a), b) in sums.iter_mut().zip(unsigned).zip(signed) {
            let bytes = a.to_bits().to_ne_bytes().into_iter().zip(b.to_bits().to_ne_bytes());
            let products = bytes.map(|(a, b)| i32::from(a) * i32::from(b.cast_signed()));
            let total = sum.to_bits().cast_signed().wrapping_add(products.sum());
            *sum = f32::from_bits(total.cast_unsigned());
        }
        L::load(sums.as_ptr())
    }
}

/// Two values rounded to bf16, the first in the low half of a value's bits. Without branches, so
/// that loops of it become vector instructions.
#[inline(always)]
pub(crate) fn bf16_pair(first: f32, second: f32) -> f32 {
    let rounded = |x: f32| {
        let bits = x.to_bits();
        let up = bits.wrapping_add(0x7fff + (bits >> 16 & 1)); // to the nearest, ties to even
        if x.is_nan() { bits | 0x40_0000 } else { up }
    };
    f32::from_bits(rounded(first) >> 16 | rounded(second) & !0xffff)
}

/// The most values in any register.
pub(crate) const MOST_LANES: usize = 16;

/// Work that is written once for all registers.
pub(crate) trait Task {
    /// What comes out of it.
    type Output;

    /// Does the work. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// The processor must have the instructions of `L`.
    unsafe fn run<L: Lanes>(self) -> Self::Output;
}

/// Does the work with the widest registers of this processor.
pub(crate) fn run<T: Task>(task: T) -> T::Output {
    run_at(Level::widest(), task)
}

/// Does the work with registers of one kind, which the processor must have; otherwise with plain
/// ones.
pub(crate) fn run_at<T: Task>(level: Level, task: T) -> T::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Bf16 if level.is_here() => {
            // SAFETY: the processor has these instructions, as was just asked.
            unsafe { x86::run_avx512_bf16(task) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if level.is_here() => {
            // SAFETY: the processor has these instructions, as was just asked.
            unsafe { x86::run_avx512(task) }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 if level.is_here() => {
            // SAFETY: the processor has these instructions, as was just asked.
            unsafe { x86::run_avx2(task) }
        }
        #[cfg(target_arch = "aarch64")]
        Level::NeonBf16 if level.is_here() => {
            // SAFETY: the processor has these instructions, as was just asked.
            unsafe { neon::run_neon_bf16(task) }
        }
        #[cfg(target_arch = "aarch64")]
        Level::Neon if level.is_here() => neon::run_neon(task),
        // SAFETY: arrays need no particular instructions.
        _ => unsafe { task.run::<plain::Array>() },
    }
}

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
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use level::Level;

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

#[cfg(test)]
mod tests {
    use super::*;

    struct Exp2<'a>(&'a mut [f32]);

    impl Task for Exp2<'_> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<L: Lanes>(self) {
            for chunk in self.0.chunks_exact_mut(L::COUNT) {
                // SAFETY: the chunk is as long as a register; the rest is the caller's promise.
                unsafe { L::load(chunk.as_ptr()).exp2().store(chunk.as_mut_ptr()) };
            }
        }
    }

    #[test]
    fn powers_of_two_are_within_the_stated_error() {
        let arguments: Vec<f32> = (-126 * 512..=0).map(|i| i as f32 / 512.0 + 0.000_31).collect();
        for level in Level::available() {
            let mut powers = arguments.clone();
            powers.resize(arguments.len().next_multiple_of(MOST_LANES), 0.0);
            run_at(level, Exp2(&mut powers));
            for (x, power) in arguments.iter().zip(&powers) {
                let wanted = f64::from(*x).exp2();
                let error = (f64::from(*power) / wanted - 1.0).abs();
                assert!(error < 1e-7, "{level:?}: 2^{x} is {wanted}, not {power}");
            }
        }
    }

    struct CoarseExp2<'a>(&'a mut [f32]);

    impl Task for CoarseExp2<'_> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<L: Lanes>(self) {
            for chunk in self.0.chunks_exact_mut(L::COUNT) {
                // SAFETY: the chunk is as long as a register; the rest is the caller's promise.
                unsafe { L::load(chunk.as_ptr()).coarse_exp2().store(chunk.as_mut_ptr()) };
            }
        }
    }

    #[test]
    fn coarse_powers_of_two_are_within_the_stated_error() {
        let mut arguments: Vec<f32> =
            (-125 * 512..=2).map(|i| i as f32 / 512.0 - 0.000_31).collect();
        arguments.resize(arguments.len().next_multiple_of(MOST_LANES), -7.5);
        for level in Level::available() {
            let mut powers = arguments.clone();
            run_at(level, CoarseExp2(&mut powers));
            for (x, power) in arguments.iter().zip(&powers) {
                let error = (f64::from(*power) / f64::from(*x).exp2() - 1.0).abs();
                assert!(error < 1.1e-4, "{level:?}: 2^{x} is not {power}");
            }
            let mut powers =
                [f32::NEG_INFINITY, -1e30, -127.3, -126.0, 0.0, 1.0, 7.0, -1.0].repeat(2);
            run_at(level, CoarseExp2(&mut powers));
            assert!(powers[..4].iter().all(|power| (0.0..=2f32.powi(-126)).contains(power)));
            assert_eq!(powers[4..8], [1.0, 2.0, 128.0, 0.5], "{level:?}");
        }
    }

    #[test]
    fn the_power_of_minus_infinity_is_nothing() {
        for level in Level::available() {
            let mut powers =
                [f32::NEG_INFINITY, -1e30, -300.0, -127.0, 0.0, 1.0, 7.0, -1.0].repeat(2);
            run_at(level, Exp2(&mut powers));
            assert_eq!(powers[..8], [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 128.0, 0.5], "{level:?}");
        }
    }

    struct DotPairs<'a>(&'a [f32], &'a mut [f32]);

    impl Task for DotPairs<'_> {
        type Output = usize;

        #[inline(always)]
        unsafe fn run<L: Lanes>(self) -> usize {
            // SAFETY: the caller's promise, and room for three of the widest registers.
            unsafe {
                let at = |i: usize| L::load(self.0.as_ptr().add(i * L::COUNT));
                at(0).pairs(at(1)).dot_pairs(at(1).pairs(at(2)), at(0)).store(self.1.as_mut_ptr());
            }
            L::COUNT
        }
    }

    #[test]
    fn products_of_pairs_are_those_of_rounded_values() {
        use half::bf16;
        let values: Vec<f32> = (0..3 * MOST_LANES).map(|i| (i as f32 * 0.7).sin() * 5.0).collect();
        for level in Level::available() {
            let mut found = [0.0; MOST_LANES];
            let count = run_at(level, DotPairs(&values, &mut found));
            let rounded = |i: usize| bf16::from_f32(values[i]).to_f32();
            for (i, found) in found.iter().enumerate().take(count) {
                let product = |j: usize| rounded(j) * rounded(j + count);
                let wanted = values[i] + product(2 * i) + product(2 * i + 1);
                assert!((found - wanted).abs() < 1e-5, "{level:?}: {found} is not {wanted}");
            }
        }
    }

    #[test]
    fn a_pair_holds_what_half_rounds_to() {
        let mut bits = 1u32;
        let odd = [f32::NAN, f32::from_bits(0x7fff_ffff), f32::INFINITY, f32::MAX, -0.0, 1e-40];
        let random = std::iter::repeat_with(|| {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from_bits(bits)
        });
        for value in random.take(10_000).chain(odd) {
            let half = half::bf16::from_f32(value).to_bits();
            let pair = bf16_pair(value, 1.0).to_bits();
            assert_eq!(pair & 0xffff, u32::from(half), "{value}");
            assert_eq!(bf16_pair(1.0, value).to_bits() >> 16, u32::from(half), "{value}");
        }
    }

    struct Folds<'a>(&'a [f32]);

    impl Task for Folds<'_> {
        type Output = (f32, f32);

        #[inline(always)]
        unsafe fn run<L: Lanes>(self) -> (f32, f32) {
            // SAFETY: the caller's promise, and more values than the widest register has.
            unsafe {
                let register = L::load(self.0.as_ptr());
                (register.sum() / L::COUNT as f32, register.largest())
            }
        }
    }

    #[test]
    fn folds_go_over_all_lanes() {
        let values = [3.0; MOST_LANES];
        for level in Level::available() {
            assert_eq!(run_at(level, Folds(&values)), (3.0, 3.0), "{level:?}");
            let mut values = values;
            values[1] = 5.0;
            assert_eq!(run_at(level, Folds(&values)).1, 5.0, "{level:?}");
        }
    }
}

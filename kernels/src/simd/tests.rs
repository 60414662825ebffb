use super::*;

struct Halves<'a>(&'a [f16], &'a mut [f32]);

impl Task for Halves<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let chunks = self.1.chunks_exact_mut(L::COUNT);
        for (to, halves) in chunks.zip(self.0.chunks_exact(L::COUNT)) {
            // SAFETY: both are as long as a register; the rest is the caller's promise.
            unsafe { L::load_halves(halves.as_ptr()).store(to.as_mut_ptr()) };
        }
    }
}

#[test]
fn every_half_is_its_value() {
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for level in Level::available() {
        let mut found = vec![1.0; halves.len()];
        run_at(level, Halves(&halves, &mut found));
        for (half, found) in halves.iter().zip(found) {
            let wanted = half.to_f32();
            let same = wanted.to_bits() == found.to_bits() || wanted.is_nan() && found.is_nan();
            assert!(same, "{level:?}: {half:?} is not {found}");
        }
    }
}

/// 2^x of each value; where they are to become bf16, the coarser one.
struct Exp2<'a, const COARSE: bool>(&'a mut [f32]);

impl<const COARSE: bool> Task for Exp2<'_, COARSE> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for chunk in self.0.chunks_exact_mut(L::COUNT) {
            // SAFETY: the chunk is as long as a register; the rest is the caller's promise.
            unsafe {
                let exponent = L::load(chunk.as_ptr());
                let power = if COARSE { exponent.coarse_exp2() } else { exponent.exp2() };
                power.store(chunk.as_mut_ptr());
            }
        }
    }
}

#[test]
fn powers_of_two_are_within_the_stated_error() {
    let arguments: Vec<f32> = (-126 * 512..=0).map(|i| i as f32 / 512.0 + 0.000_31).collect();
    for level in Level::available() {
        let mut powers = arguments.clone();
        powers.resize(arguments.len().next_multiple_of(MOST_LANES), 0.0);
        run_at(level, Exp2::<false>(&mut powers));
        for (x, power) in arguments.iter().zip(&powers) {
            let wanted = f64::from(*x).exp2();
            let error = (f64::from(*power) / wanted - 1.0).abs();
            assert!(error < 1e-7, "{level:?}: 2^{x} is {wanted}, not {power}");
        }
    }
}

#[test]
fn coarse_powers_of_two_are_within_the_stated_error() {
    let mut arguments: Vec<f32> = (-125 * 512..=2).map(|i| i as f32 / 512.0 - 0.000_31).collect();
    arguments.resize(arguments.len().next_multiple_of(MOST_LANES), -7.5);
    for level in Level::available() {
        let mut powers = arguments.clone();
        run_at(level, Exp2::<true>(&mut powers));
        for (x, power) in arguments.iter().zip(&powers) {
            let error = (f64::from(*power) / f64::from(*x).exp2() - 1.0).abs();
            assert!(error < 1.1e-4, "{level:?}: 2^{x} is not {power}");
        }
        let mut powers = [f32::NEG_INFINITY, -1e30, -127.3, -126.0, 0.0, 1.0, 7.0, -1.0].repeat(2);
        run_at(level, Exp2::<true>(&mut powers));
        assert!(powers[..4].iter().all(|power| (0.0..=2f32.powi(-126)).contains(power)));
        assert_eq!(powers[4..8], [1.0, 2.0, 128.0, 0.5], "{level:?}");
    }
}

#[test]
fn the_power_of_minus_infinity_is_nothing() {
    for level in Level::available() {
        let mut powers = [f32::NEG_INFINITY, -1e30, -300.0, -127.0, 0.0, 1.0, 7.0, -1.0].repeat(2);
        run_at(level, Exp2::<false>(&mut powers));
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

struct PairsAcross<'a>(&'a [f32], &'a mut [f32]);

impl Task for PairsAcross<'_> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> usize {
        // SAFETY: the caller's promise, and room for two of the widest registers.
        unsafe {
            let next = L::load(self.0.as_ptr().add(L::COUNT));
            L::load(self.0.as_ptr()).pairs_across(next).store(self.1.as_mut_ptr());
        }
        L::COUNT
    }
}

#[test]
fn pairs_across_are_of_values_in_one_lane() {
    let mut values: Vec<f32> = (0..2 * MOST_LANES).map(|i| (i as f32 * 0.7).sin() * 5.0).collect();
    values[3] = f32::INFINITY;
    for level in Level::available() {
        let mut found = [0.0; MOST_LANES];
        let count = run_at(level, PairsAcross(&values, &mut found));
        for lane in 0..count {
            let wanted = bf16_pair(values[lane], values[lane + count]);
            assert_eq!(found[lane].to_bits(), wanted.to_bits(), "{level:?}, lane {lane}");
        }
    }
}

struct Bytes<'a>(&'a [f32], bool, &'a mut [f32]);

impl Task for Bytes<'_> {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> usize {
        // SAFETY: the caller's promise, and room for four of the widest registers.
        unsafe {
            let values = std::array::from_fn(|i| L::load(self.0.as_ptr().add(i * L::COUNT)));
            L::bytes(values, self.1).store(self.2.as_mut_ptr());
        }
        L::COUNT
    }
}

#[test]
fn bytes_are_the_nearest_whole_numbers_in_order() {
    let mut values: Vec<f32> =
        (0..4 * MOST_LANES).map(|i| (i as f32 * 0.7).sin() * 127.0).collect();
    values[..6].copy_from_slice(&[127.0, -127.0, 0.5, 1.5, -2.5, -0.4]);
    for level in Level::available() {
        for unsigned in [false, true] {
            let mut found = [0.0f32; MOST_LANES];
            let count = run_at(level, Bytes(&values, unsigned, &mut found));
            let bytes = found.iter().flat_map(|word| word.to_bits().to_le_bytes());
            for (i, byte) in bytes.take(4 * count).enumerate() {
                let zero = if unsigned { 128 } else { 0 };
                let value = i32::from(byte.wrapping_sub(zero).cast_signed());
                let wanted = values[i].round_ties_even() as i32;
                assert_eq!(value, wanted, "{level:?}, unsigned: {unsigned}, value {i}");
            }
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

struct Sums<'a>(&'a [[f32; MOST_LANES]; 4]);

impl Task for Sums<'_> {
    type Output = [[f32; 4]; 2];

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> [[f32; 4]; 2] {
        // SAFETY: the caller's promise, and as many values as the widest register has.
        unsafe {
            let registers: [L; 4] = std::array::from_fn(|i| L::load(self.0[i].as_ptr()));
            [L::sums(registers), registers.map(|register| register.sum())]
        }
    }
}

/// Whole numbers, so that the order in which they are summed does not show; each register has its own sum.
#[test]
fn four_registers_are_summed_as_one_is() {
    let value = |i: usize, lane: usize| (100 * i + 7 * lane) as f32;
    let values = std::array::from_fn(|i| std::array::from_fn(|lane| value(i, lane)));
    for level in Level::available() {
        let [together, alone] = run_at(level, Sums(&values));
        assert_eq!(together, alone, "{level:?}");
        assert!(alone.is_sorted_by(|a, b| a < b), "{level:?}");
    }
}

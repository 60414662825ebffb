//! What is done to every value by itself: activations and residual sums.

#![allow(unsafe_code, reason = "the loops work on registers")]

use crate::rows::{filled, lock, readable, rows_of};
use crate::simd::{LOG2_E, Lanes, MOST_LANES, Task, run};
use candle_core::{Result, Tensor};

/// `SiLU(gate) · up`, with `SiLU(x) = x / (1 + e^(−x))`; both of one shape. On the CPU the relative
/// error is below `3e-7 · (1 + |gate|)`.
///
/// # Errors
/// When shapes, types or devices differ.
pub fn silu_times(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    apply::<SiluTimes>(gate, up, || gate.silu()? * up)
}

/// [`silu_times`] with `gate` cut at `limit` from above and `up` at `±limit`, where there is one.
///
/// Source: transformers `Glm5NextTextMLP`.
///
/// # Errors
/// When shapes, types or devices differ.
pub fn clamped_silu_times(gate: &Tensor, up: &Tensor, limit: Option<f64>) -> Result<Tensor> {
    match limit {
        None => silu_times(gate, up),
        Some(limit) => silu_times(&gate.minimum(limit)?, &up.clamp(-limit, limit)?),
    }
}

/// The exact GELU, `x · (1 + erf(x / √2)) / 2`. On the CPU the error is below `2e-7 · max(1, |x|)`.
///
/// # Errors
/// When a tensor operation fails.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    apply::<Gelu>(x, x, || x.gelu_erf())
}

/// `a + b`, both of one shape.
///
/// # Errors
/// When shapes, types or devices differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    apply::<Add>(a, b, || a + b)
}

/// Applies a formula on the CPU, and does `otherwise` elsewhere.
fn apply<F: Formula>(
    a: &Tensor,
    b: &Tensor,
    otherwise: impl FnOnce() -> Result<Tensor>,
) -> Result<Tensor> {
    let (Some(left), Some(right)) = (readable(a)?, readable(b)?) else { return otherwise() };
    if a.dims() != b.dims() {
        candle_core::bail!("{:?} and {:?} are not of one shape", a.dims(), b.dims());
    }
    let (left_values, right_values) = (lock(&left), lock(&right));
    let (left, right) = (rows_of(&left, &left_values)?, rows_of(&right, &right_values)?);
    filled(a.dims(), |row, to| {
        run(Apply::<F> {
            a: left.get(row),
            b: right.get(row),
            to,
            formula: std::marker::PhantomData,
        });
    })
}

/// A function of two values.
pub(crate) trait Formula {
    /// The function's value in each lane. Must be `#[inline(always)]`.
    ///
    /// # Safety
    /// As for all of [`Lanes`].
    unsafe fn of<L: Lanes>(a: L, b: L) -> L;
}

pub(crate) struct SiluTimes;
pub(crate) struct Gelu;
pub(crate) struct Add;

impl Formula for SiluTimes {
    #[inline(always)]
    unsafe fn of<L: Lanes>(a: L, b: L) -> L {
        // SAFETY: the caller's promise.
        unsafe {
            // Bounded, for the power of two stays finite; beyond it the quotient is 0 in f32 anyway.
            let exponent = a.mul(L::splat(-LOG2_E)).min(L::splat(126.0));
            let divisor = exponent.exp2().add(L::splat(1.0));
            a.mul(b).div(divisor)
        }
    }
}

/// Coefficients of the complementary error function, and what scales its argument: Abramowitz &
/// Stegun 1964, formula 7.1.26, whose absolute error is below 1.5e-7.
const ERFC: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_8, -1.453_152_1, 1.061_405_4];
const ERFC_SCALE: f32 = 0.327_591_1;

impl Formula for Gelu {
    #[inline(always)]
    unsafe fn of<L: Lanes>(a: L, _: L) -> L {
        // SAFETY: the caller's promise.
        unsafe {
            let size = a.max(L::splat(0.0).sub(a));
            let z = size.mul(L::splat(std::f32::consts::FRAC_1_SQRT_2));
            let one = L::splat(1.0);
            let t = one.div(z.mul_add(L::splat(ERFC_SCALE), one));
            let mut sum = L::splat(ERFC[4]);
            for power in (0..4).rev() {
                sum = sum.mul_add(t, L::splat(ERFC[power]));
            }
            let decay = z.mul(z).mul(L::splat(-LOG2_E)).exp2();
            // x ≥ 0 keeps x less half of x · erfc; x < 0 is that half itself.
            let half = size.mul(L::splat(0.5)).mul(sum).mul(t).mul(decay);
            a.max(L::splat(0.0)).sub(half)
        }
    }
}

impl Formula for Add {
    #[inline(always)]
    unsafe fn of<L: Lanes>(a: L, b: L) -> L {
        // SAFETY: the caller's promise.
        unsafe { a.add(b) }
    }
}

/// A formula over slices of one length.
pub(crate) struct Apply<'a, F> {
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
    pub(crate) to: &'a mut [f32],
    pub(crate) formula: std::marker::PhantomData<F>,
}

impl<F: Formula> Task for Apply<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { a, b, to, .. } = self;
        let whole = to.len() - to.len() % L::COUNT;
        let (a_whole, a_rest) = a.split_at(whole);
        let (b_whole, b_rest) = b.split_at(whole);
        let (to_whole, to_rest) = to.split_at_mut(whole);
        // SAFETY: the three are of one length, a multiple of the register's values, and the part
        // at the end is laid out in arrays with room for the widest register.
        unsafe {
            for i in (0..whole).step_by(L::COUNT) {
                let value =
                    F::of(L::load(a_whole.as_ptr().add(i)), L::load(b_whole.as_ptr().add(i)));
                value.store(to_whole.as_mut_ptr().add(i));
            }
            if !to_rest.is_empty() {
                let (mut a, mut b) = ([0.0; MOST_LANES], [0.0; MOST_LANES]);
                a[..a_rest.len()].copy_from_slice(a_rest);
                b[..b_rest.len()].copy_from_slice(b_rest);
                let value = F::of(L::load(a.as_ptr()), L::load(b.as_ptr())).to_array();
                to_rest.copy_from_slice(&value[..to_rest.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, run_at};
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    fn values_at<F: Formula>(level: Level, a: &[f32], b: &[f32]) -> Vec<f32> {
        let mut to = vec![f32::NAN; a.len()];
        run_at(level, Apply::<F> { a, b, to: &mut to, formula: std::marker::PhantomData });
        to
    }

    /// Values over the whole range where the functions bend, and beyond.
    fn spread(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 / count.max(2) as f32 - 0.5) * 60.0).collect()
    }

    #[test]
    fn gelu_is_exact_within_its_bound() {
        let x = spread(10_007);
        let wide: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let wanted = Tensor::from_vec(wide, x.len(), &Device::Cpu).unwrap().gelu_erf().unwrap();
        let wanted: Vec<f64> = wanted.to_vec1().unwrap();
        for level in Level::available() {
            for ((x, found), wanted) in x.iter().zip(values_at::<Gelu>(level, &x, &x)).zip(&wanted)
            {
                let error = (f64::from(found) - wanted).abs();
                assert!(error < 2e-7 * f64::from(x.abs().max(1.0)), "{level:?}: {x} gives {found}");
            }
        }
    }

    #[test]
    fn silu_equals_its_definition() {
        let gate = spread(10_007);
        let up: Vec<f32> = gate.iter().map(|x| (x * 7.0).sin()).collect();
        for level in Level::available() {
            let found = values_at::<SiluTimes>(level, &gate, &up);
            for ((g, u), found) in gate.iter().zip(&up).zip(found) {
                let (g, u) = (f64::from(*g), f64::from(*u));
                let wanted = g / (1.0 + (-g).exp()) * u;
                let bound = 3e-7 * (1.0 + g.abs()) * wanted.abs().max(1e-30);
                assert!((f64::from(found) - wanted).abs() < bound, "{level:?}: {g} gives {found}");
            }
        }
        let far = [-1e4, -200.0, 200.0, 1e4];
        let found = silu_times(
            &Tensor::new(&[far], &Device::Cpu).unwrap(),
            &Tensor::new(&[[1f32; 4]], &Device::Cpu).unwrap(),
        );
        let found: Vec<Vec<f32>> = found.unwrap().to_vec2().unwrap();
        assert!(found[0][0].abs() < 1e-30 && found[0][1].abs() < 1e-30);
        assert_eq!(found[0][2..], far[2..]);
    }

    proptest! {
        #[test]
        fn halves_of_a_fused_projection_are_read_where_they_lie(rows in 1usize..5, width in 1usize..70) {
            let fused = spread(rows * 2 * width);
            let fused = Tensor::from_vec(fused, (rows, 2 * width), &Device::Cpu).unwrap();
            let half = |i: usize| fused.narrow(1, i * width, width).unwrap();
            let found: Vec<Vec<f32>> = add(&half(0), &half(1)).unwrap().to_vec2().unwrap();
            let wanted: Vec<Vec<f32>> = (half(0) + half(1)).unwrap().to_vec2().unwrap();
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn shapes_must_agree() {
        let zeros =
            |shape: (usize, usize)| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu);
        assert!(add(&zeros((2, 3)).unwrap(), &zeros((3, 2)).unwrap()).is_err());
    }
}
